"""The engine's images as a registry: what pushes make of them, what goes when names go, what stays."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labdock.engine import holdings as module
from labdock.engine.arrivals import Kept
from labdock.engine.holdings import ImageHoldings
from labdock.errors import NotFound
from labdock.images import platforms
from labdock.images.image import Image
from labdock.images.store import Images
from labdock.registry.server import manifests
from labdock.registry.server.refusals import Code, Refusal
from labdock.schema import oci
from labdock.store.content import ContentStore, hash_bytes
from labdock.store.leases import Leases
from labdock.store.metadata import Database
from labdock.store.snapshots import Layer


class NoSnapshots:
    """A snapshotter that has none: nothing here is unpacked."""

    name = "none"

    def has(self, key: str) -> bool:
        return False

    def walk(self) -> Iterator[Any]:
        return iter(())

    def remove(self, key: str) -> None:
        raise NotFound(key)


@dataclass
class World:
    images: Images
    holdings: ImageHoldings
    told: list[tuple[str, str]]
    used: dict[str, list[str]] = field(default_factory=dict)

    def blobs(self) -> set[str]:
        return {digest for digest, _ in self.images.content.walk()}

    def upload(self, data: bytes) -> str:
        arriving = self.holdings.begin()
        arriving.write(data)
        arriving.commit(hash_bytes(data))
        arriving.drop()
        return hash_bytes(data)

    def push(self, name: str, reference: str, data: bytes) -> manifests.Parsed:
        parsed = manifests.read(data, "")
        self.holdings.put(name, "" if ":" in reference else reference, parsed, data)
        return parsed

    def image(self, text: bytes, *, packed: bool = False, **more: Any) -> bytes:
        """The manifest of an uploaded image of one layer that holds *text*."""
        tar = make_tar(text)
        layer = gzip.compress(tar, mtime=0) if packed else tar
        kind = oci.LAYER_GZIP if packed else oci.LAYER_TAR
        config = make_config(hash_bytes(tar))
        return describe(self.upload(config), len(config), [(kind, self.upload(layer), len(layer))], **more)

    def load(self, text: bytes, name: str) -> Image:
        """An image that comes by another way than a push."""
        tar = make_tar(text)
        self.images.content.write(tar)
        layer = Layer(oci.LAYER_TAR, hash_bytes(tar), len(tar), hash_bytes(tar))
        return self.images.adopt(make_config(hash_bytes(tar)), [layer], [name])

    def serves(self, name: str, reference: str) -> bytes:
        return self.holdings.manifest(name, reference).data

    def lacks(self, name: str, reference: str) -> bool:
        with pytest.raises(Refusal) as caught:
            self.holdings.manifest(name, reference)
        return caught.value.kind is Code.MANIFEST_UNKNOWN

    def settle(self) -> None:
        """As time does: what was kept for a manifest is let go."""
        self.holdings.close()


def make_tar(text: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return out.getvalue()


def make_config(*diff_ids: str) -> bytes:
    return msgspec.json.encode(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    )


def describe(config: str, size: int, layers: list[tuple[str, str, int]], **more: Any) -> bytes:
    parts = [{"mediaType": kind, "digest": digest, "size": size} for kind, digest, size in layers]
    head = {"mediaType": oci.CONFIG, "digest": config, "size": size}
    return msgspec.json.encode({"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": head, "layers": parts, **more})


def index(*children: bytes, architectures: tuple[str, ...] = ()) -> bytes:
    native = platforms.native().architecture
    named = architectures or (native, *("s390x" for _ in children[1:]))
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": oci.INDEX,
            "manifests": [
                {
                    "mediaType": oci.MANIFEST,
                    "digest": hash_bytes(child),
                    "size": len(child),
                    "platform": {"os": "linux", "architecture": architecture},
                }
                for child, architecture in zip(children, named, strict=True)
            ],
        }
    )


@contextmanager
def opened(folder: Path) -> Iterator[World]:
    db = Database(folder / "labdock.db")
    content = ContentStore(folder / "content")
    snapshotter: Any = NoSnapshots()
    images = Images(db, content, snapshotter, Leases(content, snapshotter))
    told: list[tuple[str, str]] = []
    used: dict[str, list[str]] = {}

    def untag(name: str) -> None:
        images.remove(name, force=True, in_use=used)

    holdings = ImageHoldings(
        db,
        images,
        untag=untag,
        tell=lambda image, name: told.append((image, name)),
        others=set,
    )
    try:
        yield World(images, holdings, told, used)
    finally:
        db.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path) as found:
        yield found


def test_what_the_engine_has_is_served(world: World) -> None:
    app = world.load(b"x", "app:1")
    world.images.tag(app.id, "ghcr.io/a/b:2")
    world.images.tag(app.id, "localhost:5000/c:3")
    assert world.holdings.repositories() == {"app", "ghcr.io/a/b"}
    assert world.holdings.tags("app") == {"1"}
    held = world.holdings.manifest("app", "1")
    assert (held.digest, held.media_type) == (app.manifest.digest, oci.MANIFEST)
    # The same repository in full.
    assert world.serves("library/app", "1") == world.serves("app", held.digest) == held.data
    assert world.lacks("app", "2")
    assert world.lacks("other", held.digest)
    with pytest.raises(Refusal) as caught:
        world.holdings.tags("other")
    assert caught.value.kind is Code.NAME_UNKNOWN
    with pytest.raises(Refusal) as caught:
        world.holdings.manifest("a_b.c/app", "x")
    assert caught.value.kind is Code.NAME_INVALID


@pytest.mark.parametrize("packed", [False, True])
def test_a_push_is_an_image_with_the_bytes_that_came(world: World, packed: bool) -> None:
    data = world.image(b"x", packed=packed)
    world.push("team/app", "1", data)
    image = world.images.get("team/app:1")
    assert world.serves("team/app", "1") == data
    assert image.manifest.digest == hash_bytes(data)
    assert image.size == len(make_tar(b"x"))
    assert world.told == [(image.id, "team/app:1")]
    # `docker rmi`, and nothing of it is left.
    world.settle()
    world.images.remove("team/app:1", force=False, in_use={})
    assert world.blobs() == set()
    assert world.lacks("team/app", "1")
    assert world.lacks("team/app", hash_bytes(data))


def test_the_same_image_packed_otherwise_keeps_both_forms(world: World) -> None:
    image = world.load(b"x", "app:1")
    data = world.image(b"x", packed=True)
    world.push("app", "2", data)
    assert world.images.get("app:2").id == image.id
    assert world.serves("app", "2") == data
    assert world.holdings.manifest("app", "1").digest == image.manifest.digest
    world.settle()
    assert world.images.collect().blobs == ()
    world.images.remove("app:2", force=False, in_use={})
    gone = world.images.collect().blobs
    assert set(gone) >= {hash_bytes(data), manifests.read(data, "").layers[0].digest}
    assert world.holdings.manifest("app", "1").digest == image.manifest.digest


def test_who_names_another_image_so_has_changed_the_tag(world: World) -> None:
    data = world.image(b"x", packed=True)
    world.push("app", "1", data)
    other = world.load(b"y", "app:1")
    assert world.holdings.manifest("app", "1").digest == other.manifest.digest
    assert world.holdings.tags("app") == {"1"}


def test_an_image_that_lies_about_its_layers_is_kept_as_a_manifest_alone(world: World) -> None:
    config = make_config(hash_bytes(b"something else"))
    layer = gzip.compress(make_tar(b"x"), mtime=0)
    data = describe(world.upload(config), len(config), [(oci.LAYER_GZIP, world.upload(layer), len(layer))])
    world.push("app", "1", data)
    assert world.images.list() == ()
    assert world.serves("app", "1") == data
    assert world.holdings.repositories() == {"app"}
    deep = b'{"a":' * 100_000
    data = describe(world.upload(deep), len(deep), [(oci.LAYER_GZIP, hash_bytes(layer), len(layer))])
    world.push("app", "3", data)
    assert world.images.list() == ()
    broken = describe(world.upload(b"no json"), 7, [(oci.LAYER_GZIP, world.upload(b"\x1f\x8b"), 2)])
    world.push("app", "2", broken)
    assert world.images.list() == ()
    assert world.serves("app", "2") == broken


def test_a_layer_that_unpacks_without_end_makes_no_image(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labdock.engine.arrivals.ALWAYS", 1000)
    bomb = bytes(10_000_000)
    layer = gzip.compress(bomb, mtime=0)
    config = make_config(hash_bytes(bomb))
    data = describe(world.upload(config), len(config), [(oci.LAYER_GZIP, world.upload(layer), len(layer))])
    world.push("app", "1", data)
    assert world.images.list() == ()


def test_an_index_is_served_whole_and_names_this_machines_image(world: World) -> None:
    here, there = world.image(b"here"), world.image(b"there")
    for child in (here, there):
        world.push("app", hash_bytes(child), child)
    whole = index(here, there)
    world.push("app", "1", whole)
    assert world.holdings.manifest("app", "1").media_type == oci.INDEX
    assert world.serves("app", "1") == whole
    image = world.images.get("app:1")
    assert image.manifest.digest == hash_bytes(here)
    world.settle()
    assert world.images.collect().blobs == ()
    assert world.serves("app", hash_bytes(there)) == there
    world.images.remove("app:1", force=False, in_use={})
    assert world.lacks("app", "1")
    world.images.collect()
    assert world.blobs() == set()


def test_referrers_stay_with_their_subject(world: World) -> None:
    data = world.image(b"x")
    subject = {"mediaType": oci.MANIFEST, "digest": hash_bytes(data), "size": len(data)}
    world.push("app", "1", data)
    config = world.upload(b"{}")
    signature = describe(config, 2, [], subject=subject, artifactType="text/sig", annotations={"a": "b"})
    world.push("app", hash_bytes(signature), signature)
    (found,) = world.holdings.referrers("app", hash_bytes(data))
    assert (found.digest, found.artifact_type, found.annotations) == (hash_bytes(signature), "text/sig", {"a": "b"})
    assert list(world.holdings.referrers("other", hash_bytes(data))) == []
    world.settle()
    grown_old(world)
    assert world.serves("app", hash_bytes(signature)) == signature
    world.images.remove("app:1", force=False, in_use={})
    world.images.prune(everything=False, in_use={})
    assert world.lacks("app", hash_bytes(signature))
    assert world.blobs() == set()


def grown_old(world: World) -> None:
    """A prune at which no pinned manifest is young any more."""
    before, module.YOUNG = module.YOUNG, -1.0
    try:
        world.images.prune(everything=False, in_use={})
    finally:
        module.YOUNG = before


def test_manifests_without_a_tag_stay_until_a_prune(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = describe(world.upload(b"{}"), 2, [], artifactType="text/x")
    other = describe(world.upload(b"[]"), 2, [], artifactType="text/x")
    world.push("app", "1", artifact)
    world.push("app", "1", other)
    world.settle()
    world.images.collect()
    # The tag went to another; who knows the digest still has it, and a prune spares what is young.
    world.images.prune(everything=False, in_use={})
    assert world.serves("app", hash_bytes(artifact)) == artifact
    monkeypatch.setattr(module, "YOUNG", -1.0)
    world.images.prune(everything=False, in_use={})
    assert world.lacks("app", hash_bytes(artifact))
    assert world.serves("app", "1") == other
    assert world.blobs() == {hash_bytes(other), hash_bytes(b"[]")}


def test_deleting_a_tag_and_a_manifest(world: World) -> None:
    first, second = world.image(b"x", packed=True), world.image(b"y", packed=True)
    world.push("app", "1", first)
    world.push("app", "2", first)
    world.push("app", "3", second)
    world.settle()
    world.holdings.delete_manifest("app", "1")
    assert world.lacks("app", "1")
    assert world.serves("app", "2") == first
    world.holdings.delete_manifest("app", hash_bytes(first))
    assert world.holdings.tags("app") == {"3"}
    assert world.lacks("app", hash_bytes(first))
    assert [name.familiar for image in world.images.list() for name in image.names] == ["app:3"]
    world.holdings.delete_manifest("app", "3")
    assert world.blobs() == set()
    with pytest.raises(Refusal):
        world.holdings.delete_manifest("app", "3")


def test_an_image_with_a_container_loses_its_name_and_stays(world: World) -> None:
    world.push("app", "1", world.image(b"x", packed=True))
    image = world.images.get("app:1")
    world.used[image.id] = ["c" * 64]
    world.holdings.delete_manifest("app", "1")
    assert world.images.get(image.id).names == ()
    world.settle()
    assert world.images.collect().blobs == ()


def test_deleting_blobs(world: World) -> None:
    data = world.image(b"x")
    world.push("app", "1", data)
    loose = world.upload(b"loose")
    world.holdings.delete_blob(loose)
    assert loose not in world.blobs()
    for digest in (loose, "sha256:" + "0" * 64):
        with pytest.raises(Refusal) as caught:
            world.holdings.delete_blob(digest)
        assert caught.value.kind is Code.BLOB_UNKNOWN
    for part in manifests.read(data, "").blobs:
        with pytest.raises(Refusal) as caught:
            world.holdings.delete_blob(part.digest)
        assert caught.value.http == 405
    assert world.serves("app", "1") == data


def test_a_blob_waits_for_its_manifest_and_not_for_ever(world: World) -> None:
    now = [0.0]
    world.holdings._kept = kept = Kept(world.images, set, lambda: now[0])
    first = world.upload(b"first")
    assert world.images.collect().blobs == ()
    now[0] = 599
    world.holdings.blob(first, keep=True)
    now[0] = 700
    world.upload(b"second")
    assert first in world.blobs()
    now[0] = 1200
    third = world.upload(b"third")
    assert first not in world.blobs()
    kept.expire(most=1)
    assert world.blobs() == {third}


def test_a_blob_that_was_asked_for_and_is_an_images_outlives_the_asking(world: World) -> None:
    image = world.load(b"x", "app:1")
    layer = image.layers[0].digest
    world.holdings.blob(layer, keep=True)
    world.settle()
    assert layer in world.blobs()
    with pytest.raises(Refusal):
        world.holdings.blob("sha256:" + "0" * 64, keep=True)


def test_all_of_it_is_there_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as world:
        data = world.image(b"x", packed=True)
        artifact = describe(world.upload(b"{}"), 2, [], artifactType="text/x")
        world.push("app", "1", data)
        world.push("notes", "1", artifact)
        world.upload(b"no manifest came for this")
        half = world.holdings.begin()
        half.write(b"half of a blob")
    with opened(tmp_path) as world:
        world.images.content.recover()
        world.images.collect()
        assert world.serves("app", "1") == data
        assert world.serves("notes", "1") == artifact
        assert len(world.blobs()) == 5
        assert not list((tmp_path / "content" / "ingest").iterdir())
    half.drop()
