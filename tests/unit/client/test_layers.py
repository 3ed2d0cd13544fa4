"""What each layer adds and what is wasted, of archives made here."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator

import pytest

from labdock.client.layers import explore
from labdock.errors import Corrupt


def layer(*entries: tuple[str, int]) -> bytes:
    """A tar with files of so many bytes; -1: a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, size in entries:
            info = tarfile.TarInfo(name)
            if size < 0:
                info.type = tarfile.DIRTYPE
            else:
                info.size = size
            tar.addfile(info, io.BytesIO(b"x" * max(size, 0)))
    return out.getvalue()


def archive(*layers: bytes, order: list[str] | None = None) -> Iterator[bytes]:
    out = io.BytesIO()
    names = [f"blobs/{number}" for number in range(len(layers))]
    manifest = json.dumps([{"Config": "blobs/config", "Layers": names if order is None else order}]).encode()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in (("blobs/config", b"{}"), *zip(names, layers, strict=True), ("manifest.json", manifest)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = out.getvalue()
    yield from (data[place : place + 700] for place in range(0, len(data), 700))


def test_sizes_and_the_largest_files() -> None:
    low, top = explore(archive(layer(("./a", 10), ("d", -1), ("d/b", 30)), gzip.compress(layer(("c", 5)))))
    assert (low.size, low.files, low.largest, low.wasted) == (40, 2, [("d/b", 30), ("a", 10)], 0)
    assert (top.size, top.files) == (5, 1)


@pytest.mark.parametrize(
    ("upper", "wasted"),
    [
        ((("a", 3),), 10),
        (((".wh.a", 0),), 10),
        ((("d/.wh.b", 0),), 30),
        (((".wh.d", 0),), 70),
        ((("d/.wh..wh..opq", 0),), 70),
        ((("d", 1),), 70),
        ((("d/new", 1), ("d/.wh..wh..opq", 0)), 70),
        ((("d", -1),), 0),
        (((".wh.nothing", 0),), 0),
    ],
)
def test_what_later_layers_hide_is_wasted(upper: tuple[tuple[str, int], ...], wasted: int) -> None:
    found = explore(archive(layer(("a", 10), ("d/b", 30), ("d/e/f", 40)), layer(*upper)))
    assert (found[0].wasted, found[1].wasted) == (wasted, 0)


def test_a_file_replaced_twice_is_wasted_twice() -> None:
    found = explore(archive(layer(("a", 10)), layer(("a", 20)), layer((".wh.a", 0))))
    assert [report.wasted for report in found] == [10, 20, 0]
    assert found[2].removed == 1


@pytest.mark.parametrize("data", [b"", b"no tar", b"\0" * 10_240])
def test_what_is_no_archive_is_an_error(data: bytes) -> None:
    with pytest.raises(Corrupt):
        explore(iter([data]))


def test_a_manifest_that_names_what_is_not_there_is_an_error() -> None:
    with pytest.raises(Corrupt):
        explore(archive(layer(("a", 1)), order=["elsewhere"]))
