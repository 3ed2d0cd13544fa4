"""Contexts: tars of every compression, hostile ones, and ADD of archives."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import stat
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from labdock.build.context import receive
from labdock.build.trees import FOLDER, MemoryTree
from labdock.errors import InvalidRequest

MakeWorld = Callable[[], Any]


def make_tar(*entries: tuple[str, bytes, dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data, fields in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in fields.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def take_in(data: bytes, folder: Path, piece: int = 1000) -> MemoryTree:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(data), piece):
            yield data[at : at + piece]

    folder.mkdir(exist_ok=True)
    return asyncio.run(receive(chunks(), folder))


LINK = {"type": tarfile.SYMTYPE}
DIR = {"type": tarfile.DIRTYPE, "mode": 0o755}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_any_compression_by_content(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    plain = make_tar(("a", b"x" * 5000, {"uid": 4_000_000_000, "mode": 0o640}), ("d", b"", DIR), ("d/b", b"b", {}))
    tree = take_in(pack(plain), tmp_path / "c")
    assert sorted(tree.nodes) == ["", "a", "d", "d/b"]
    assert (tree.nodes["a"].size, tree.nodes["a"].mode) == (5000, 0o640)


def test_hostile_names_stay_inside(tmp_path: Path) -> None:
    tree = take_in(
        make_tar(
            ("../../up", b"1", {}),
            ("/abs/x", b"2", {}),
            ("way", b"", {**LINK, "linkname": "/etc"}),
            ("etc", b"", DIR),
            ("way/passwd", b"3", {}),
            ("self", b"", {**LINK, "linkname": "self"}),
        ),
        tmp_path / "c",
    )
    assert {"up", "abs/x", "etc/passwd"} <= set(tree.nodes)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["pack"]
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("loop", b"", {**LINK, "linkname": "loop"}), ("loop/x", b"", {})], "loop"),
        ([("f", b"", {}), ("f/x", b"", {})], "f/x"),
        ([("h", b"", {"type": tarfile.LNKTYPE, "linkname": "nope"})], "h"),
    ],
)
def test_what_can_not_be_is_said_by_name(
    entries: list[tuple[str, bytes, dict[str, Any]]], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match=f"the build context can't be read: {words}"):
        take_in(make_tar(*entries), tmp_path / "c")


def test_the_last_of_a_name_counts(tmp_path: Path) -> None:
    tree = take_in(
        make_tar(
            ("d", b"", DIR),
            ("d/x", b"1", {}),
            ("d", b"", {**LINK, "linkname": "e"}),
            ("e", b"", DIR),
            ("d/y", b"2", {}),
        ),
        tmp_path / "c",
    )
    assert sorted(tree.nodes) == ["", "d", "e", "e/y"]


def test_garbage_and_cut_short(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="the build context can't be read: a tar header"):
        take_in(b"garbage" * 1000, tmp_path / "a")
    with pytest.raises(InvalidRequest, match="middle of a file"):
        take_in(make_tar(("a", b"x" * 50_000, {}))[:20_000], tmp_path / "b")
    with pytest.raises(InvalidRequest, match="gzip data"):
        take_in(gzip.compress(make_tar(("a", bytes(range(256)) * 300, {})))[:200], tmp_path / "c")


def test_a_client_that_goes_away_ends_the_worker(tmp_path: Path) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def chunks() -> AsyncIterator[bytes]:
            yield make_tar(("a", b"x" * 90_000, {}))[:5000]
            begun.set()
            await asyncio.sleep(60)

        task = asyncio.create_task(receive(chunks(), tmp_path))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)

    asyncio.run(main())


@pytest.mark.sandbox
def test_a_build_from_a_tar_is_the_same_as_from_a_folder(make_world: MakeWorld) -> None:
    world = make_world()
    world.write("d/f", "1", 0o755)
    (world.context / "d/l").symlink_to("f")
    (world.context / "d/h").hardlink_to(world.context / "d/f")
    folder = world.build("FROM scratch\nCOPY d /d\n")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(world.context, ".")
    tree = take_in(gzip.compress(out.getvalue()), world.folder / "received")
    again = world.build(None, tree=tree)
    assert world.steps == ["FROM scratch", "*COPY d /d"]
    assert again.id == folder.id
    assert world.listing(again)["d/f"][0] == stat.S_IFREG | 0o755
    world.close()


@pytest.mark.sandbox
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, zstandard.compress])
def test_add_unpacks_archives_by_content(make_world: MakeWorld, pack: Callable[[bytes], bytes]) -> None:
    world = make_world()
    world.add_base()
    world.context.mkdir()
    archive = make_tar(
        ("f", b"1", {"uid": 1000, "gid": 50, "mode": 0o4755}),
        ("lib/x", b"2", {}),
        ("l", b"", {**LINK, "linkname": "f"}),
    )
    (world.context / "data.bin").write_bytes(pack(archive))
    (world.context / "plain.gz").write_bytes(gzip.compress(b"not a tar" * 100))
    image = world.build(
        "FROM base\nADD data.bin /a\nADD --chown=7 data.bin /b/\nADD plain.gz data.bin /c/\nCOPY data.bin /d/\n"
    )
    listing = world.listing(image)
    assert listing["a/f"] == (stat.S_IFREG | 0o4755, 1000, 50)
    assert listing["b/f"][1:] == (7, 7)
    assert stat.S_ISLNK(listing["a/l"][0])
    assert {"a/lib/x", "c/plain.gz", "c/f", "d/data.bin"} <= set(listing)
    assert "c/data.bin" not in listing
    kept = world.build("FROM base\nADD --unpack=false data.bin /a/\n")
    assert "a/data.bin" in world.listing(kept)
    world.close()


def test_an_empty_context_has_a_root(tmp_path: Path) -> None:
    tree = take_in(make_tar(), tmp_path / "c")
    assert tree.nodes[""].kind == FOLDER
