"""Hostile and odd layer tars, each by its name; what can't be taken says which entry and why."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import stat
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from labdock.errors import Corrupt
from labdock.store.layers import headers, rooted
from labdock.store.layers.compression import Compression, Plain
from labdock.store.layers.headers import Entry
from labdock.store.layers.pack import pack
from labdock.store.layers.unpack import Unpacked, unpack


def tar(*entries: Entry | tuple[Entry, bytes]) -> bytes:
    out = bytearray()
    for item in entries:
        entry, data = item if isinstance(item, tuple) else (item, b"")
        entry.size = len(data)
        out += headers.encode(entry) + data + bytes(-len(data) % 512)
    return bytes(out) + bytes(1024)


def into(root: Path, data: bytes, *, merged: bool = True) -> Unpacked:
    root.mkdir(exist_ok=True)
    fd = os.open(root, rooted.FLAGS)
    try:
        return unpack(io.BytesIO(data), fd, merged=merged)
    finally:
        os.close(fd)


def link(name: bytes, target: bytes) -> Entry:
    return Entry(name, headers.SYMLINK, link=target)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a path above the root": (lambda: tar(Entry(b"a/../../x")), "outside of the layer's root"),
    "a hard link above the root": (lambda: tar(Entry(b"x", headers.LINK, link=b"../../etc/passwd")), "outside"),
    "a hard link through a link": (
        lambda: tar(link(b"l", b"/outside"), Entry(b"x", headers.LINK, link=b"l/victim")),
        "x",
    ),
    "a hard link to nothing": (lambda: tar(Entry(b"x", headers.LINK, link=b"none")), "none, which is not there"),
    "a hard link to a folder": (
        lambda: tar(Entry(b"d", headers.FOLDER, 0o755), Entry(b"x", headers.LINK, link=b"d")),
        "can't be linked to",
    ),
    "a whiteout of the folder itself": (lambda: tar(Entry(b"a/.wh..")), "a whiteout of no name"),
    "a whiteout of the folder above": (lambda: tar(Entry(b"a/.wh...")), "a whiteout of no name"),
    "a file used as a folder": (lambda: tar(Entry(b"f"), Entry(b"f/x")), "f/x"),
    "links in a circle": (lambda: tar(link(b"a", b"b"), link(b"b", b"a"), Entry(b"a/x")), "a/x"),
    "a name too long": (lambda: tar(Entry(b"n" * 300)), "too long"),
    "a node that overlay would take for a whiteout": (lambda: tar(Entry(b"x", headers.CHAR)), "0:0"),
    "a root that is no folder": (lambda: tar(Entry(b"./", headers.FIFO)), "the root of a layer is a folder"),
    "an unknown type": (lambda: tar(Entry(b"x", b"Z")), "entries of type"),
    "a cut file": (lambda: headers.encode(Entry(b"x", size=5000)) + b"short", "middle of a file"),
    "a cut header": (lambda: headers.encode(Entry(b"x"))[:300], "middle of a header"),
    "a damaged header": (lambda: b"y" + headers.encode(Entry(b"x"))[1:], "checksum"),
}


@pytest.mark.sandbox
@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_by_its_name_and_nothing_outside_changes(tmp_path: Path, name: str) -> None:
    make, words = HOSTILE[name]
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/victim").write_text("victim")
    with pytest.raises(Corrupt, match=words):
        into(tmp_path / "root", make())
    assert os.listdir(tmp_path / "outside") == ["victim"]
    assert (tmp_path / "outside/victim").stat().st_nlink == 1


@pytest.mark.sandbox
def test_links_lead_to_places_inside_the_root_only(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("victim")
    data = tar(
        Entry(b"tmp", headers.FOLDER, 0o755),
        link(b"up", b"../../../../tmp"),
        link(b"abs", b"/tmp"),
        (Entry(b"up/one"), b"1"),
        (Entry(b"abs/two"), b"2"),
        (Entry(b"/three"), b"3"),
        link(b"four", b"../victim"),
        (Entry(b"four"), b"4"),
        link(b"five", b".."),
        Entry(b"five/.wh.victim"),
    )
    into(tmp_path / "root", data)
    root = tmp_path / "root"
    assert sorted(os.listdir(root / "tmp")) == ["one", "two"]
    assert (root / "three").read_text() == "3" and not (root / "four").is_symlink()
    assert (tmp_path / "victim").read_text() == "victim"


@pytest.mark.sandbox
def test_a_later_entry_replaces_an_earlier_one_of_any_type(tmp_path: Path) -> None:
    data = tar(
        (Entry(b"a"), b"file"),
        Entry(b"a", headers.FOLDER, 0o755),
        (Entry(b"a/in"), b"in"),
        link(b"b", b"a"),
        Entry(b"b", headers.FOLDER, 0o700),
        Entry(b"c", headers.FOLDER, 0o755),
        (Entry(b"c/in"), b"in"),
        (Entry(b"c"), b"now a file"),
    )
    into(tmp_path / "root", data)
    root = tmp_path / "root"
    assert (root / "a/in").read_text() == "in" and stat.S_IMODE(root.joinpath("b").lstat().st_mode) == 0o700
    assert not (root / "b").is_symlink() and (root / "c").read_text() == "now a file"


@pytest.mark.sandbox
def test_devices_are_left_out_with_a_notice_and_overlay_marks_in_silence(tmp_path: Path) -> None:
    marked = Entry(b"d", headers.FOLDER, 0o755, xattrs={b"user.overlay.opaque": b"y", b"user.kept": b"1"})
    done = into(tmp_path / "root", tar(Entry(b"null", headers.CHAR, major=1, minor=3), marked), merged=False)
    assert done.notices == ("null: device 1:3 left out (not allowed here)",)
    assert os.listdir(tmp_path / "root") == ["d"] and os.listxattr(tmp_path / "root/d") == ["user.kept"]


@pytest.mark.sandbox
def test_an_owner_beyond_the_sandbox_is_said(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="4000000000:0, which is not among the ids") as raised:
        into(tmp_path / "root", tar(Entry(b"x", uid=4_000_000_000)))
    assert "subuid" in str(getattr(raised.value, "hint", ""))


def test_what_other_tools_write_is_read(tmp_path: Path) -> None:
    uid, gid = os.getuid(), os.getgid()
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for name in ("short", "long/" * 18 + "name", *(["x" * 150] if form != tarfile.USTAR_FORMAT else [])):
                member = tarfile.TarInfo(name)
                member.size, member.uid, member.gid, member.mtime = 3, uid, gid, 1_000_000_000
                archive.addfile(member, io.BytesIO(b"abc"))
        root = tmp_path / str(form)
        assert into(root, out.getvalue(), merged=False).entries == (2 if form == tarfile.USTAR_FORMAT else 3)
        assert (root / ("long/" * 18 + "name")).read_text() == "abc"
        assert (root / "short").stat().st_mtime_ns == 1_000_000_000 * 10**9


def test_sockets_and_whiteout_names_are_skipped_and_told_and_times_are_clamped(tmp_path: Path) -> None:
    (tmp_path / ".wh.odd").touch()
    (tmp_path / "file").touch()
    os.mknod(tmp_path / "sock", stat.S_IFSOCK | 0o600)
    tmp_path.chmod(0o755)
    fd = os.open(tmp_path, rooted.FLAGS)
    out = io.BytesIO()
    packed = pack(fd, out, latest=1_000_000_000)
    os.close(fd)
    assert packed.skipped == (".wh.odd: the name would mean a removal", "sock: a socket")
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert archive.getmember("file").mtime == 1_000_000_000
        assert "sock" not in archive.getnames()


def test_compression_is_told_by_the_first_bytes_and_damage_is_corrupt() -> None:
    import bz2
    import lzma

    import zstandard

    data = os.urandom(1000) * 1000
    for kind, packed in (
        (Compression.NONE, data),
        (Compression.GZIP, gzip.compress(data, 1)),
        (Compression.ZSTD, zstandard.compress(data)),
        (Compression.BZIP2, bz2.compress(data)),
        (Compression.XZ, lzma.compress(data, preset=0)),
    ):
        plain = Plain(io.BytesIO(packed))
        assert plain.compression is kind
        assert b"".join(iter(lambda p=plain: p.read(1 << 16), b"")) == data  # type: ignore[misc]
        if kind is Compression.GZIP:
            with pytest.raises(Corrupt, match=kind):
                damaged = Plain(io.BytesIO(packed[: len(packed) // 2]))
                while damaged.read(1 << 16):
                    pass


def test_a_large_layer_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(os.urandom(3 << 20))
    (tmp_path / "small").write_bytes(b"small")
    out = io.BytesIO()
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        packed = pack(fd, out)
    finally:
        os.close(fd)
    assert packed.size == len(out.getvalue())
    assert packed.diff_id == f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}"
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        found = {each.name: tar.extractfile(each) for each in tar if each.isfile()}
        assert {name: file and file.read() for name, file in found.items()} == {
            name: (tmp_path / name).read_bytes() for name in ("a", "b", "c", "small")
        }


def test_a_disk_that_fills_while_a_layer_is_packed_ends_the_hashing_too(tmp_path: Path) -> None:
    class Full:
        size = 0

        def write(self, data: bytes | memoryview, /) -> int:
            self.size += len(data)
            if self.size > 6 << 20:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return len(data)

    (tmp_path / "large").write_bytes(bytes(9 << 20))
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            pack(fd, Full())
    finally:
        os.close(fd)
    assert not [thread for thread in threading.enumerate() if thread.name == "labdock-hash"]
