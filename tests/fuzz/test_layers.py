"""Layer tars: trees survive the round trip, names stay inside, hostile archives end in Corrupt and nothing else."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from labdock.errors import Corrupt, LabdockError
from labdock.store.layers import headers, rooted
from labdock.store.layers.headers import Entry
from labdock.store.layers.pack import pack
from labdock.store.layers.reader import Limits, Reader
from labdock.store.layers.unpack import clean, unpack

calm = settings(max_examples=120, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

names = st.binary(min_size=1, max_size=30).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b".."))
long_names = st.integers(1, 250).map(lambda size: b"n" * size)
numbers = st.integers(0, 2**33)


@contextmanager
def folder() -> Iterator[int]:
    with tempfile.TemporaryDirectory() as name:
        fd = os.open(name, rooted.FLAGS)
        try:
            yield fd
        finally:
            os.close(fd)


def is_refusal(error: LabdockError) -> bool:
    """Corrupt, or an owner that the one who runs the tests can't give away."""
    return isinstance(error, Corrupt) or "not permitted" in str(error) or "not among the ids" in str(error)


@calm
@given(
    name=st.lists(names | long_names, min_size=1, max_size=6).map(b"/".join),
    mode=st.integers(0, 0o7777),
    uid=numbers,
    gid=numbers,
    size=st.integers(0, 2**40),
    time_ns=st.integers(-(2**60), 2**62),
    xattrs=st.dictionaries(st.binary(min_size=1, max_size=9).filter(lambda k: b"=" not in k), st.binary(max_size=40)),
)
@example(b"/".join([b"n" * 99, b"n" * 56, b"n" * 44]), 0, 0, 0, 0, 0, {})
def test_a_header_gives_its_entry_back(
    name: bytes, mode: int, uid: int, gid: int, size: int, time_ns: int, xattrs: dict[bytes, bytes]
) -> None:
    entry = Entry(name, headers.FILE, mode, uid, gid, size, time_ns, b"", 0, 0, xattrs)
    data = headers.encode(entry)
    assert len(data) % headers.BLOCK == 0
    found = headers.decode(data[-512:])
    if len(data) > 512:
        body = headers.decode(data[:512])
        headers.apply_records(found, headers.decode_records(data[512 : 512 + body.size]))
    assert found == entry
    parsed = tarfile.TarInfo.frombuf(data[-512:], "utf-8", "surrogateescape")
    assert parsed.mode == mode


@calm
@given(
    tree=st.recursive(st.binary(max_size=2000), lambda inner: st.dictionaries(names, inner, max_size=4), max_leaves=20)
)
def test_a_tree_survives_the_round_trip(tree: bytes | dict[bytes, object]) -> None:
    with folder() as source, folder() as target:
        if not plant(source, tree if isinstance(tree, dict) else {b"file": tree}):
            return
        first, second = io.BytesIO(), io.BytesIO()
        packed = pack(source, first)
        unpacked = unpack(io.BytesIO(first.getvalue()), target, merged=False)
        assert (unpacked.diff_id, unpacked.size) == (packed.diff_id, packed.size)
        pack(target, second)
        assert second.getvalue() == first.getvalue()
        with tarfile.open(fileobj=io.BytesIO(first.getvalue())) as archive:
            assert len(archive.getmembers()) == packed.entries


def plant(fd: int, tree: dict[bytes, object]) -> bool:
    """Make *tree*; false when a name in it means a removal to a layer."""
    for name, value in tree.items():
        if name.startswith(b".wh."):
            return False
        if isinstance(value, dict):
            os.mkdir(name, dir_fd=fd)
            inner = os.open(name, rooted.FLAGS, dir_fd=fd)
            try:
                if not plant(inner, value):
                    return False
            finally:
                os.close(inner)
        else:
            assert isinstance(value, bytes)
            made = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
            os.write(made, value)
            os.close(made)
    return True


parts = st.sampled_from([b"..", b".", b"", b"a", b"b", b"link", b".wh.a", b".wh..wh..opq", b".wh...", b".wh."]) | names
paths = st.lists(parts, min_size=1, max_size=5).map(b"/".join)
kinds = st.sampled_from([headers.FILE, headers.LINK, headers.SYMLINK, headers.FOLDER, headers.FIFO])
entries = st.builds(
    lambda name, kind, link, up: Entry(
        name, kind, link=b"../" * up + link, uid=os.getuid(), gid=os.getgid(), mode=0o755
    ),
    paths,
    kinds,
    paths,
    st.integers(0, 4),
)


@calm
@given(members=st.lists(entries, max_size=12), merged=st.booleans())
@example(
    members=[
        Entry(b"link", headers.SYMLINK, link=b"../../outside", uid=os.getuid(), gid=os.getgid()),
        Entry(b"link/victim", uid=os.getuid(), gid=os.getgid()),
        Entry(b"link/.wh.victim"),
        Entry(b"hard", headers.LINK, link=b"link/victim"),
    ],
    merged=True,
)
def test_nothing_outside_the_root_is_touched(members: list[Entry], merged: bool) -> None:
    data = b"".join(map(headers.encode, members)) + bytes(1024)
    with tempfile.TemporaryDirectory() as base:
        root, outside = Path(base, "deep/er/root"), Path(base, "deep/outside")
        root.mkdir(parents=True)
        outside.mkdir()
        (outside / "victim").write_text("untouched")
        (outside / "a").mkdir()
        before = look(Path(base), root)
        fd = os.open(root, rooted.FLAGS)
        try:
            unpack(io.BytesIO(data), fd, merged=merged)
        except LabdockError as error:
            assert is_refusal(error), error
        finally:
            os.close(fd)
        assert look(Path(base), root) == before


def look(base: Path, leave_out: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for folder_name, folders, files in os.walk(base):
        if Path(folder_name) == leave_out:
            folders.clear()
            continue
        for name in folders + files:
            path = Path(folder_name, name)
            status = path.lstat()
            if path != leave_out:
                content = path.read_text() if path.is_file() else None
                found[str(path)] = (status.st_mode, status.st_nlink, status.st_mtime_ns, content)
    return {k: v for k, v in found.items() if not str(leave_out).startswith(k)}


@calm
@given(data=st.binary(max_size=3000))
@example(data=b"\x00" * 512)
@example(data=b"\xff" * 512)
def test_any_bytes_are_a_tar_or_corrupt(data: bytes) -> None:
    with folder() as root:
        for candidate in (data, headers.encode(Entry(b"x", size=len(data))) + data):
            try:
                unpack(io.BytesIO(candidate), root, merged=False)
            except LabdockError as error:
                assert is_refusal(error), error


@calm
@given(position=st.integers(0, 1535), value=st.integers(0, 255))
def test_one_wrong_byte_never_escapes_as_another_error(position: int, value: int) -> None:
    entry = Entry(b"n" * 120, size=3, uid=os.getuid(), gid=os.getgid(), mtime_ns=5)
    data = bytearray(headers.encode(entry) + b"abc" + bytes(509) + bytes(1024))
    data[position] = value
    with folder() as root:
        try:
            unpack(io.BytesIO(bytes(data)), root, merged=False)
        except LabdockError as error:
            assert is_refusal(error), error


@calm
@given(path=st.lists(parts | st.just(b"link"), max_size=6).map(b"/".join), links=st.booleans())
def test_both_ways_of_finding_a_folder_agree(path: bytes, links: bool) -> None:
    with folder() as root:
        os.makedirs(f"/proc/self/fd/{root}/a/b/a")
        for name, target in (("link", "/a"), ("a/link", "../link/b"), ("a/b/link", "../../../../..")):
            os.symlink(target, name, dir_fd=root)
        results: list[object] = []
        for find in (rooted.open_folder, rooted.walk_folder):
            try:
                fd = find(root, path, links=links)
            except (OSError, ValueError) as error:
                results.append(isinstance(error, OSError))
            else:
                results.append(os.fstat(fd).st_ino)
                os.close(fd)
        if not links and b".." in path:
            # Beneath, ".." above the root is refused by the kernel and clamped by the walk; names never have it.
            return
        if path.startswith(b"/") and not links:
            return
        assert results[0] == results[1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"./a/b/", b"a/b"),
        (b"/etc", b"etc"),
        (b"a//b/./c", b"a/b/c"),
        (b"a/../b", b"b"),
        (b"./", b""),
        (b".hidden", b".hidden"),
    ],
)
def test_names_are_cleaned(name: bytes, expected: bytes) -> None:
    assert clean(name) == expected


def test_bounds_hold() -> None:
    many = b"".join(headers.encode(Entry(b"f%d" % n)) for n in range(5))
    with pytest.raises(Corrupt, match="more than 4 entries"):
        list(Reader(io.BytesIO(many), Limits(entries=4)))
    with pytest.raises(Corrupt, match="larger than"):
        list(Reader(io.BytesIO(many), Limits(size=100)))
    with pytest.raises(Corrupt, match="extension header of"):
        list(Reader(io.BytesIO(headers.encode(Entry(b"x", headers.PAX, size=1 << 30)))))
