"""Bundles: what is found in which folder, and what a damaged one does."""

from __future__ import annotations

import asyncio
import io
import tarfile
from pathlib import Path

import pytest

from labdock.errors import Corrupt
from labdock.images import archive, platforms, references
from labdock.images.bundles import Bundles, read_paths
from labdock.images.pull import Puller
from labdock.images.store import Images
from tests.unit.images.test_pull import Shelf, pull
from tests.unit.images.test_store import cleared, make_tar, store

NAME = "host.test/team/app"


def bundle(images: Images, folder: Path, *, plain: bool) -> str:
    """Save the image NAME as a folder or as a tar in *folder*, and forget it; gives its digest."""
    out = io.BytesIO()
    archive.save(images, [NAME], out)
    digest = images.get(NAME).manifest.digest
    images.remove(NAME, force=True, in_use={})
    folder.mkdir()
    if plain:
        (folder / "app.tar").write_bytes(out.getvalue())
    else:
        with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
            tar.extractall(folder / "app")
    return digest


def take(images: Images, bundles: Bundles, name: str = NAME) -> str:
    async def run() -> str:
        wanted = references.parse(name)
        source = await bundles.find(wanted)
        assert source is not None
        return (await Puller(images).pull(source, wanted, None, lambda line: None)).digest

    return asyncio.run(run())


@pytest.mark.sandbox
@pytest.mark.parametrize("plain", [True, False], ids=["tar", "folder"])
def test_an_image_is_found_by_name_and_by_digest(tmp_path: Path, plain: bool) -> None:
    (tmp_path / "store").mkdir()
    with cleared(tmp_path), store(tmp_path / "store") as images:
        shelf = Shelf()
        shelf.image(make_tar({"a": b"1" * 100_000}), make_tar({"b": b"2"}))
        pull(images, shelf)
        digest = bundle(images, tmp_path / "bundles", plain=plain)
        inside = "app.tar" if plain else "app"
        (tmp_path / "bundles" / "broken.tar").write_bytes(b"no tar")
        for path in (tmp_path / "bundles", tmp_path / "bundles" / inside):
            bundles = Bundles((tmp_path / "none", path))
            assert take(images, bundles) == digest
            assert images.get(NAME).config.architecture == platforms.native().architecture
            assert take(images, bundles, f"{NAME}@{digest}") == digest
            for other in (f"{NAME}:2", "host.test/team/other", "app", f"{NAME}@sha256:{'0' * 64}"):
                assert asyncio.run(bundles.find(references.parse(other))) is None
            images.remove(images.get(NAME).id, force=True, in_use={})


@pytest.mark.sandbox
def test_a_damaged_bundle_gives_an_error_and_no_image(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with cleared(tmp_path), store(tmp_path / "store") as images:
        shelf = Shelf()
        shelf.image(make_tar({"a": b"1" * 100_000}))
        pulled, _ = pull(images, shelf)
        layer = pulled.image.layers[0].digest
        bundle(images, tmp_path / "bundles", plain=False)
        blob = tmp_path / "bundles/app/blobs/sha256" / layer[7:]
        blob.write_bytes(blob.read_bytes()[:-9] + b"x" * 9)
        with pytest.raises(Corrupt, match=layer):
            take(images, Bundles((tmp_path / "bundles",)))
        assert images.list() == ()


def test_the_variable_is_a_list_like_path(tmp_path: Path) -> None:
    assert read_paths({"LABDOCK_BUNDLES": f"{tmp_path}::/else:relative"}) == (tmp_path, Path("/else"))
    assert read_paths({}) == ()
