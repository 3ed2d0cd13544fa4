"""Pulling from a source made of dicts, as root of a sandbox: what is fetched, skipped, resumed, refused and left."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from labdock.errors import Corrupt, LabdockError, NotFound, StorageFull, Unsupported
from labdock.images import platforms, references
from labdock.images.manifests import digest_of
from labdock.images.pull import Pulled, Puller
from labdock.images.store import Images
from labdock.schema import oci
from labdock.schema.oci import Descriptor
from labdock.store.content import Ingest
from tests.unit.images.test_store import add, cleared, make_tar, store

NAME = "host.test/team/app"


class Shelf:
    """A source: manifests by tag and digest, blobs by digest; ``asked`` has (digest, offset) of each blob asked for.

    ``around`` gives the bytes of a blob from an offset, in place of the plain ones.
    """

    def __init__(self) -> None:
        self.manifests: dict[str, tuple[bytes, str]] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[tuple[str, int]] = []
        self.rejected: list[str] = []
        self.at_once = self.most = 0
        self.around: Callable[[str, bytes, int], AsyncIterator[bytes]] | None = None

    def put(self, body: dict[str, Any], kind: str, tag: str = "latest") -> dict[str, Any]:
        data = json.dumps({"schemaVersion": 2, "mediaType": kind, **body}).encode()
        self.manifests[tag] = self.manifests[digest_of(data)] = (data, kind)
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}

    def add(self, data: bytes, kind: str) -> dict[str, Any]:
        self.blobs[digest_of(data)] = data
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}

    def image(self, *tars: bytes, kind: str = oci.LAYER_GZIP, tag: str = "latest", **config: Any) -> dict[str, Any]:
        packed = [pack(tar, kind) for tar in tars]
        diff_ids = [digest_of(tar) for tar in tars]
        described = {"os": "linux", "architecture": platforms.native().architecture, **config}
        data = json.dumps({**described, "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
        layers = [self.add(blob, kind) for blob in packed]
        return self.put({"config": self.add(data, oci.CONFIG), "layers": layers}, oci.MANIFEST, tag)

    async def manifest(self, name: str) -> tuple[bytes, str]:
        if name not in self.manifests:
            raise NotFound("manifest unknown")
        return self.manifests[name]

    async def blob(self, descriptor: Descriptor, offset: int) -> AsyncIterator[bytes]:
        self.asked.append((descriptor.digest, offset))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            data = self.blobs[descriptor.digest]
            if self.around is not None:
                async for piece in self.around(descriptor.digest, data, offset):
                    yield piece
                return
            for start in range(offset, len(data), 65536):
                await asyncio.sleep(0)
                yield data[start : start + 65536]
        finally:
            self.at_once -= 1

    def reject(self, descriptor: Descriptor) -> None:
        self.rejected.append(descriptor.digest)


def pack(tar: bytes, kind: str) -> bytes:
    if kind.endswith("zstd"):
        return zstandard.ZstdCompressor().compress(tar)
    return gzip.compress(tar, 1, mtime=0) if kind.endswith("gzip") else tar


def pull(images: Images, shelf: Shelf, name: str = NAME, platform: str = "") -> tuple[Pulled, list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []

    async def run() -> Pulled:
        wanted = platforms.parse(platform) if platform else None
        return await Puller(images).pull(shelf, references.parse(name), wanted, told.append)

    return asyncio.run(run()), told


def leftovers(images: Images) -> tuple[list[str], list[str]]:
    """Snapshots' keys and arriving files."""
    return [x.key for x in images.snapshotter.walk()], os.listdir(images.content.root / "ingest")


@pytest.mark.sandbox
@pytest.mark.parametrize(
    "kind", [oci.LAYER_TAR, oci.LAYER_GZIP, oci.LAYER_ZSTD, oci.DOCKER_LAYER_GZIP], ids=lambda kind: kind[-12:]
)
def test_an_image_comes_with_its_manifest_and_its_layers_unpacked(tmp_path: Path, kind: str) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        shelf = Shelf()
        one, two = make_tar({"a": b"1", "dir/b": os.urandom(3 << 20)}), make_tar({"dir/.wh.b": b"", "c": b"3"})
        described = shelf.image(one, two, kind=kind, config={"Cmd": ["x"], "Env": None})
        pulled, told = pull(images, shelf)
        assert pulled.changed and pulled.digest == described["digest"]
        image = images.get(NAME)
        assert image == pulled.image and image.foreign and image.manifest.digest == described["digest"]
        assert [name.familiar for name in image.digests] == [f"{NAME}@{described['digest']}"]
        assert image.sizes == (len(one), len(two)) and image.config.config.cmd == ("x",)
        assert images.get(f"{NAME}@{described['digest']}") == image
        assert image.top is not None and images.snapshotter.has(image.top)
        layer = image.layers[0].digest[7:19]
        mine = [line for line in told if line.get("id") == layer]
        assert [line["status"] for line in mine if not line["progressDetail"]] == [
            "Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete",
        ]  # fmt: skip
        moving = [line["progressDetail"] for line in mine if line["status"] == "Downloading"]
        assert moving[-1] == {"current": image.layers[0].size, "total": image.layers[0].size}
        assert [line["status"] for line in told[-2:]] == [
            f"Digest: {described['digest']}",
            f"Status: Downloaded newer image for {NAME}:latest",
        ]
        assert len(leftovers(images)[0]) == 2 and leftovers(images)[1] == []

        asked = len(shelf.asked)
        again, told = pull(images, shelf)
        assert not again.changed and len(shelf.asked) == asked
        assert told[-1] == {"status": f"Status: Image is up to date for {NAME}:latest"}
        assert images.collect().blobs == ()


@pytest.mark.sandbox
def test_layers_that_are_here_are_not_fetched_and_few_come_at_once(tmp_path: Path) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        shelf = Shelf()
        tars = [make_tar({str(n): os.urandom(200_000)}) for n in range(8)]
        shelf.image(*tars[:4], tag="1")
        shelf.image(*tars, tars[0], tag="2")
        pull(images, shelf, f"{NAME}:1")
        asked = len(shelf.asked)
        pulled, told = pull(images, shelf, f"{NAME}:2")
        assert len(shelf.asked) - asked == 5 and 1 < shelf.most <= 3
        assert len([line for line in told if line["status"] == "Already exists"]) == 4
        # The same layer twice in one image is fetched once and unpacked twice.
        assert len(pulled.image.layers) == 9 and len(images.list()) == 2


@pytest.mark.sandbox
def test_the_platform_is_chosen_from_an_index_and_pins_hold(tmp_path: Path) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        shelf = Shelf()
        entries = []
        for architecture in ("arm64", "amd64", "s390x"):
            described = shelf.image(
                make_tar({"arch": architecture.encode()}), tag=architecture, architecture=architecture
            )
            entries.append({**described, "platform": {"os": "linux", "architecture": architecture}})
        top = shelf.put({"manifests": entries}, oci.INDEX)
        pulled, _ = pull(images, shelf, platform="linux/s390x")
        assert pulled.image.config.architecture == "s390x" and pulled.digest == top["digest"]
        pulled, _ = pull(images, shelf)
        assert pulled.image.config.architecture == platforms.native().architecture
        with pytest.raises(NotFound, match="no matching manifest for linux/riscv64"):
            pull(images, shelf, platform="linux/riscv64")
        pinned, _ = pull(images, shelf, f"{NAME}@{top['digest']}")
        assert pinned.image == images.get(f"{NAME}@{top['digest']}")
        with pytest.raises(NotFound, match="does not match the specified platform"):
            pull(images, shelf, f"{NAME}:arm64", platform="linux/s390x")
        data, kind = shelf.manifests[top["digest"]]
        shelf.manifests[top["digest"]] = data + b" ", kind
        with pytest.raises(Corrupt, match="arrived as"):
            pull(images, shelf, f"{NAME}@{top['digest']}")


@pytest.mark.sandbox
def test_a_pull_that_broke_off_goes_on_and_damaged_bytes_are_fetched_anew(tmp_path: Path) -> None:
    tar = make_tar({"a": os.urandom(5 << 20)})
    with cleared(tmp_path):
        shelf = Shelf()
        shelf.image(tar)
        (layer,) = (digest for digest, data in shelf.blobs.items() if len(data) > 1 << 20)

        async def broken(digest: str, data: bytes, offset: int) -> AsyncIterator[bytes]:
            yield data[offset : offset + (3 << 20)]
            if digest == layer:
                raise NotFound("the cable was pulled")

        with store(tmp_path) as images:
            shelf.around = broken
            with pytest.raises(NotFound, match="cable"):
                pull(images, shelf)
            assert images.list() == () and leftovers(images)[0] == [] and len(leftovers(images)[1]) == 1
            images.content.recover()
            shelf.around = None
            pull(images, shelf)
            assert (layer, 3 << 20) in shelf.asked and leftovers(images)[1] == []
            images.remove(NAME, force=True, in_use={})

            shelf.around = broken
            with pytest.raises(NotFound):
                pull(images, shelf)
            (part,) = (images.content.root / "ingest").iterdir()
            with part.open("r+b") as file:
                file.write(b"damaged by a power cut")
            shelf.around = None
            pull(images, shelf)
            assert shelf.rejected == [layer] and shelf.asked[-2:] == [(layer, 3 << 20), (layer, 0)]
            assert images.get(NAME).sizes == (len(tar),)
            assert images.content.forget_kept() == 0


@pytest.mark.sandbox
def test_a_cancelled_pull_ends_at_once_and_leaves_no_snapshot(tmp_path: Path) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        shelf = Shelf()
        shelf.image(make_tar({"a": os.urandom(3 << 20)}), make_tar({"b": b"2"}))
        reached = asyncio.Event()

        async def stalled(digest: str, data: bytes, offset: int) -> AsyncIterator[bytes]:
            if len(data) < 1 << 20:
                yield data
                return
            yield data[: 2 << 20]
            reached.set()
            await asyncio.get_running_loop().create_future()

        async def run() -> None:
            shelf.around = stalled
            work = asyncio.create_task(Puller(images).pull(shelf, references.parse(NAME), None, lambda line: None))
            await asyncio.wait_for(reached.wait(), 10)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(work, 5)

        asyncio.run(run())
        assert images.list() == () and leftovers(images)[0] == [] and leftovers(images)[1]
        assert images.leases.held() == set()


@pytest.mark.sandbox
@pytest.mark.parametrize(
    "flaw", ["foreign", "artifact", "short layer", "long layer", "other bytes", "diff id", "no tar", "count", "config"]
)
def test_what_is_wrong_is_refused_and_nothing_is_listed(tmp_path: Path, flaw: str) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        shelf = Shelf()
        tar = make_tar({"a": os.urandom(100_000)})
        shelf.image(tar if flaw != "no tar" else b"this is no tar" * 100)
        body = json.loads(shelf.manifests["latest"][0])
        layer, config = body["layers"][0]["digest"], body["config"]["digest"]
        match flaw:
            case "foreign":
                body["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar"
            case "artifact":
                body["config"]["mediaType"] = "application/vnd.test"
            case "short layer":
                shelf.blobs[layer] = shelf.blobs[layer][:-1]
            case "long layer":
                shelf.blobs[layer] += b"x"
            case "other bytes":
                shelf.blobs[layer] = shelf.blobs[layer][:-5] + b"xxxxx"
            case "diff id":
                other = json.dumps({"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}).encode()
                body["config"] = shelf.add(other, oci.CONFIG)
            case "count":
                body["layers"] *= 2
            case "config":
                shelf.blobs[config] = b"{" + shelf.blobs[config][1:-1] + b" "
        shelf.put(body, oci.MANIFEST)
        expected: type[LabdockError] = Unsupported if flaw in ("foreign", "artifact") else Corrupt
        with pytest.raises(expected):
            pull(images, shelf)
        assert images.list() == () and leftovers(images)[0] == [] and images.leases.held() == set()
        assert leftovers(images)[1] == []
        images.collect()
        assert list(images.content.walk()) == []


@pytest.mark.sandbox
def test_a_full_disk_ends_a_pull_and_frees_what_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        shelf = Shelf()
        shelf.image(make_tar({"a": os.urandom(4 << 20)}))
        write = Ingest.write

        def full(self: Ingest, data: bytes | memoryview) -> int:
            if self.tell() > 2 << 20:
                raise StorageFull("writing a blob: No space left on device")
            return write(self, data)

        with monkeypatch.context() as patch:
            patch.setattr(Ingest, "write", full)
            with pytest.raises(StorageFull):
                pull(images, shelf)
        assert images.list() == () and leftovers(images) == ([], [])
        pull(images, shelf)
        assert images.get(NAME).foreign


@pytest.mark.sandbox
def test_an_image_made_here_is_the_same_image_when_it_is_pulled(tmp_path: Path) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        made = add(images, "mine", a=b"1")
        shelf = Shelf()
        tar = images.content.read(made.layers[0].digest)
        config = images.content.read(made.id)
        layer = shelf.add(gzip.compress(tar, mtime=0), oci.LAYER_GZIP)
        shelf.put({"config": shelf.add(config, oci.CONFIG), "layers": [layer]}, oci.MANIFEST)
        pulled, _ = pull(images, shelf)
        assert pulled.image.id == made.id and pulled.changed and shelf.asked == []
        assert [x.familiar for x in images.get(made.id).names] == ["mine:latest", f"{NAME}:latest"]
        assert not pulled.image.foreign and pulled.image.layers == made.layers
        # With the last tag of a repository its digests go too; the image stays for its other name.
        assert [kind for kind, _ in images.remove(f"{NAME}:latest", force=False, in_use={})] == ["Untagged"] * 2
        assert images.get("mine").digests == ()
