"""Caches and layouts that builds hand over: what is written is read again, and what others wrote is not trusted."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from labdock.build import StepRecord
from labdock.engine.exports import CacheEntry, Exports, read_cache, write_cache
from labdock.errors import Corrupt, NotFound, Unavailable
from labdock.images.store import Images
from labdock.store.content import ContentStore
from labdock.store.layers import headers
from labdock.store.layers.headers import BLOCK, Entry
from labdock.store.leases import Leases
from labdock.store.metadata import Database
from labdock.store.snapshots import Layer
from labdock.store.snapshots.overlay import OverlaySnapshotter


def open_images(folder: Path) -> Images:
    folder.mkdir(parents=True)
    content = ContentStore(folder / "content")
    snapshotter = OverlaySnapshotter(folder / "snapshots")
    return Images(Database(folder / "db"), content, snapshotter, Leases(content, snapshotter))


def make_layer(images: Images, name: str, parent: str | None) -> tuple[Layer, str]:
    images.snapshotter.prepare(name, parent)
    (images.snapshotter.changes(name) / name).write_text(name)
    return images.commit_layer(name, parent)


def make_record(key: str, layer: Layer, snapshot: str) -> StepRecord:
    return StepRecord(key=key, created="2026-01-01T00:00:00Z", layer=layer, snapshot=snapshot, text=key)


@pytest.mark.sandbox
def test_a_cache_goes_from_one_store_to_another(tmp_path: Path) -> None:
    here, there = open_images(tmp_path / "here"), open_images(tmp_path / "there")
    one, first = make_layer(here, "one", None)
    two, second = make_layer(here, "two", first)
    written = [(make_record("a", one, first), (one,)), (make_record("b", two, second), (one, two))]
    written.append((StepRecord(key="c", created="x"), (one, two)))
    out = io.BytesIO()
    write_cache(here, written, out)
    out.seek(0)
    assert read_cache(there, out) == [record for record, _ in written]
    assert there.snapshotter.has(first) and there.snapshotter.has(second)


def tar(**files: bytes) -> io.BytesIO:
    out = io.BytesIO()
    for name, data in files.items():
        out.write(headers.encode(Entry(name.encode(), size=len(data))) + data + bytes(-len(data) % BLOCK))
    out.write(bytes(2 * BLOCK))
    out.seek(0)
    return out


@pytest.mark.sandbox
def test_a_cache_that_lies_is_refused(tmp_path: Path) -> None:
    images = open_images(tmp_path / "here")
    one, first = make_layer(images, "one", None)
    two, second = make_layer(images, "two", first)

    def forge(record: StepRecord, *layers: Layer) -> io.BytesIO:
        out = io.BytesIO()
        write_cache(images, [(record, layers)], out)
        out.seek(0)
        return out

    forgeries: list[Callable[[], io.BytesIO]] = [
        lambda: forge(make_record("a", two, first), one),
        lambda: forge(make_record("a", one, second), one),
        lambda: forge(make_record("a", two, second), two),
        lambda: tar(**{f"blobs/sha256/{'0' * 64}": b"not that"}),
        lambda: tar(**{"index.json": b"{}"}),
        lambda: tar(**{"../../etc/x": b"{}"}),
        lambda: io.BytesIO(b"no tar at all" * 100),
    ]
    for make in forgeries:
        with pytest.raises(Corrupt):
            read_cache(images, make())
    assert msgspec.json.decode(msgspec.json.encode([CacheEntry(make_record("a", one, first), (one,))]), type=list)


def test_an_export_is_handed_out_once_and_only_so_many_wait(tmp_path: Path) -> None:
    async def work() -> None:
        exports = Exports(tmp_path)
        file = exports.create()
        file.write(b"data")
        token = exports.offer(file)
        assert b"".join([piece async for piece in exports.take(token)]) == b"data"
        for bad in (token, "", "../x"):
            with pytest.raises(NotFound):
                exports.take(bad)
        tokens = [exports.offer(exports.create()) for _ in range(64)]
        with pytest.raises(Unavailable):
            exports.offer(exports.create())
        for each in tokens:
            assert [piece async for piece in exports.take(each)] == []
        assert list(tmp_path.iterdir()) == []

    asyncio.run(work())
