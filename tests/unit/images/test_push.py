"""Pushing to a client made of dicts, as root of a sandbox."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any, cast

import pytest

from labdock.errors import Unavailable
from labdock.images import references
from labdock.images.manifests import digest_of, read_manifest
from labdock.images.push import Pushed, Pusher
from labdock.images.store import Images
from labdock.registry import Progress, Repository, Source
from labdock.registry.client import RegistryClient
from labdock.schema import oci
from labdock.schema.oci import Descriptor
from tests.unit.images.test_pull import Shelf, pull
from tests.unit.images.test_store import add, cleared, make_tar, store


class Shop:
    """What a push asks of a RegistryClient. ``sent`` has the digests of blobs that went over."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.sent: list[str] = []
        self.broken = False

    async def blob_exists(self, repository: Repository, blob: Descriptor) -> bool:
        return (repository.path, blob.digest) in self.blobs

    async def upload_blob(
        self,
        repository: Repository,
        blob: Descriptor,
        source: Source,
        mount_from: Repository | None = None,
        on_progress: Progress = lambda sent: None,
    ) -> bool:
        if mount_from is not None and (mount_from.path, blob.digest) in self.blobs:
            self.blobs[repository.path, blob.digest] = self.blobs[mount_from.path, blob.digest]
            return False
        if self.broken:
            raise Unavailable("the cable was pulled")
        for _ in range(2):  # a client may begin anew
            data = b""
            async for piece in source():
                data += piece
                on_progress(len(data))
        assert (digest_of(data), len(data)) == (blob.digest, blob.size)
        self.sent.append(blob.digest)
        self.blobs[repository.path, blob.digest] = data
        return True

    async def put_manifest(self, repository: Repository, reference: str, body: bytes, media_type: str) -> str:
        for descriptor in (manifest := read_manifest(body)).layers:
            assert (repository.path, descriptor.digest) in self.blobs
        assert (repository.path, manifest.config.digest) in self.blobs
        self.manifests[repository.path, reference] = (body, media_type)
        return digest_of(body)


def push(images: Images, shop: Shop, name: str, scratch: Path) -> tuple[Pushed, list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    scratch.mkdir(exist_ok=True)
    client = cast(RegistryClient, shop)

    async def run() -> Pushed:
        return await Pusher(images, scratch).push(client, images.get(name), references.parse(name), told.append)

    return asyncio.run(run()), told


@pytest.mark.sandbox
def test_plain_layers_are_compressed_once_and_the_same_bytes_come_again(tmp_path: Path) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        made = add(images, "host.test/a:1", one=b"1" * 100_000)
        images.tag(made.id, "host.test/b:1")
        shop = Shop()
        first, told = push(images, shop, "host.test/a:1", tmp_path / "scratch")
        manifest = read_manifest(shop.manifests["a", "1"][0])
        (layer,) = manifest.layers
        assert layer.media_type == oci.LAYER_GZIP
        assert gzip.decompress(shop.blobs["a", layer.digest]) == images.content.read(made.layers[0].digest)
        assert shop.sent == [layer.digest, made.id]
        aux = {"Tag": "1", "Digest": first.digest, "Size": first.size}
        assert told[-1] == {"progressDetail": {}, "aux": aux}
        assert told[-2] == {"status": f"1: digest: {first.digest} size: {first.size}"}
        assert [x.familiar for x in images.get(made.id).digests] == [f"host.test/a@{first.digest}"]

        again, told = push(images, shop, "host.test/a:1", tmp_path / "scratch")
        assert again == first and len(shop.sent) == 2
        assert "Layer already exists" in [line.get("status") for line in told]
        # To another registry it is compressed again, to the same bytes.
        other = Shop()
        assert push(images, other, "host.test/a:1", tmp_path / "scratch")[0] == first
        assert list((tmp_path / "scratch").iterdir()) == []
        assert {d: images.content.read(d)[:300] for d, _ in images.content.walk() if d not in images.roots()} == {}
        assert images.collect().blobs == ()


@pytest.mark.sandbox
def test_what_came_from_a_registry_goes_back_as_it_was(tmp_path: Path) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        shelf = Shelf()
        shelf.image(make_tar({"a": b"1"}), make_tar({"b": b"2"}), kind=oci.DOCKER_LAYER_GZIP)
        pulled, _ = pull(images, shelf, "host.test/from")
        images.tag(pulled.image.id, "host.test/to:1")
        shop = Shop()
        for digest, data in shelf.blobs.items():
            shop.blobs["from", digest] = data
        done, told = push(images, shop, "host.test/to:1", tmp_path / "scratch")
        assert done.digest == pulled.digest and shop.manifests["to", "1"] == shelf.manifests["latest"]
        said = [line.get("status") for line in told]
        assert said.count("Mounted from from") == 2 and shop.sent == [pulled.image.id]


@pytest.mark.sandbox
def test_a_push_that_fails_puts_no_manifest_and_leaves_nothing(tmp_path: Path) -> None:
    with cleared(tmp_path), store(tmp_path) as images:
        made = add(images, "host.test/a:1", one=b"1", two=b"2")
        shop = Shop()
        shop.broken = True
        with pytest.raises(Unavailable, match="cable"):
            push(images, shop, "host.test/a:1", tmp_path / "scratch")
        assert shop.manifests == {} and images.get(made.id).digests == () and images.leases.held() == set()
        assert list((tmp_path / "scratch").iterdir()) == []
