"""More hostile layers, each by its name: bombs, crowds and collisions."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from labdock.errors import Corrupt, StorageFull
from labdock.images import archive
from labdock.images.store import Images
from labdock.store.content import ContentStore
from labdock.store.layers import headers, rooted
from labdock.store.layers.compression import Plain
from labdock.store.layers.headers import Entry
from labdock.store.layers.reader import Limits, Reader, Source
from labdock.store.layers.unpack import Unpacked, unpack
from labdock.store.leases import Leases
from labdock.store.metadata import Database
from labdock.store.snapshots import open_snapshotter
from labdock.sys import mounts


def tar(*entries: Entry | tuple[Entry, bytes]) -> bytes:
    out = bytearray()
    for item in entries:
        entry, data = item if isinstance(item, tuple) else (item, b"")
        entry.size = len(data)
        out += headers.encode(entry) + data + bytes(-len(data) % 512)
    return bytes(out) + bytes(1024)


class Repeated:
    """A source of *count* times *block*, after *head*."""

    def __init__(self, head: bytes, block: bytes, count: int) -> None:
        self._head, self._block, self._left = head, block, count

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        count = min(self._left, max(size // len(self._block), 1))
        self._left -= count
        return self._block * count


def into(root: Path, source: Source, *, limits: Limits | None = None) -> Unpacked:
    root.mkdir(exist_ok=True)
    fd = os.open(root, rooted.FLAGS)
    try:
        return unpack(source, fd, merged=True, limits=limits or Limits())
    finally:
        os.close(fd)


def peak() -> int:
    """The most memory that this process has had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# -- bombs


@pytest.mark.sandbox
@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_ends_at_the_limit_in_little_memory(tmp_path: Path, kind: str) -> None:
    size = 256 << 20
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1)
        if kind == "gzip"
        else zstandard.open(packed, "wb", closefd=False) as out
    ):
        out.write(headers.encode(Entry(b"bomb", size=size)))
        for _ in range(size >> 20):
            out.write(bytes(1 << 20))
    assert len(packed.getvalue()) < size // 100
    before = peak()
    with pytest.raises(Corrupt, match="larger than"):
        into(tmp_path / "root", Plain(io.BytesIO(packed.getvalue())), limits=Limits(size=64 << 20))
    assert peak() - before < 48 << 10
    assert not (tmp_path / "root/bomb").exists(), "half a file is taken away"


def test_a_zstd_frame_that_wants_gigabytes_of_window_is_refused() -> None:
    # RFC 8878, 3.1.1.1: a frame header with a window of 2 GiB, no content size; then an empty last block.
    frame = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([(31 - 10) << 3]) + b"\x01\x00\x00"
    with pytest.raises(Corrupt, match="zstd"):
        Plain(io.BytesIO(frame)).read(10)


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([(0, 512), (256, 512)], "overlap"),
        ([(0, 512), (1 << 58, 512)], "size"),
        ([(0, 1 << 59)], "size"),
        ([(0, 512)] * 3, "overlap"),
    ],
)
def test_a_sparse_map_that_is_no_files_is_refused(tmp_path: Path, numbers: list[tuple[int, int]], words: str) -> None:
    text = ",".join(f"{offset},{length}" for offset, length in numbers).encode()
    data = sparse_tar({b"GNU.sparse.map": text, b"GNU.sparse.size": b"4096", b"GNU.sparse.name": b"x"}, bytes(1024))
    with pytest.raises(Corrupt, match=words):
        into(tmp_path / "root", io.BytesIO(data))


@pytest.mark.sandbox
def test_a_sparse_file_of_petabytes_is_refused_before_it_is_made(tmp_path: Path) -> None:
    records = {b"GNU.sparse.map": b"0,512", b"GNU.sparse.size": b"%d" % (1 << 50), b"GNU.sparse.name": b"x"}
    with pytest.raises(Corrupt, match="larger than"):
        into(tmp_path / "root", io.BytesIO(sparse_tar(records, bytes(512))))
    assert os.listdir(tmp_path / "root") == []


@pytest.mark.sandbox
@pytest.mark.parametrize("start", [b"99999999999\n", b"3\n1\n", b"x\n", b"7" * 600])
def test_a_sparse_map_without_end_is_refused(tmp_path: Path, start: bytes) -> None:
    records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"9"}
    with pytest.raises(Corrupt, match="sparse file"):
        into(tmp_path / "root", io.BytesIO(sparse_tar(records, start + bytes(-len(start) % 512))))


def sparse_tar(records: dict[bytes, bytes], data: bytes) -> bytes:
    body = b""
    for key, value in records.items():
        rest = len(key) + len(value) + 3
        length = rest + len(str(rest + 2))
        body += b"%d %b=%b\n" % (length, key, value)
    header = headers.encode(Entry(b"pax", headers.PAX, size=len(body)))
    return header + body + bytes(-len(body) % 512) + tar((Entry(b"x"), data))


@contextmanager
def small_store(folder: Path, size: str) -> Iterator[Images]:
    """A store on a file system of *size*; all of it goes with the sandbox."""
    mounts.mount("tmpfs", str(folder), "tmpfs", 0, f"size={size}")
    db = Database(folder / "labdock.db")
    content = ContentStore(folder / "content")
    snapshotter = open_snapshotter("overlay", folder / "snapshots", {})
    try:
        yield Images(db, content, snapshotter, Leases(content, snapshotter))
    finally:
        snapshotter.close()
        db.close()


def image_archive(layer: bytes, diff_id: str) -> bytes:
    config = b'{"os":"linux","rootfs":{"type":"layers","diff_ids":["%b"]}}' % diff_id.encode()
    manifest = b'[{"Config":"c.json","RepoTags":["a:1"],"Layers":["l.tar"]}]'
    return tar((Entry(b"l.tar"), layer), (Entry(b"c.json"), config), (Entry(b"manifest.json"), manifest))


@pytest.mark.sandbox
def test_a_bomb_that_fills_the_disk_leaves_nothing_and_the_next_image_comes_in(tmp_path: Path) -> None:
    bomb = tar((Entry(b"bomb"), bytes(64 << 20)))
    small = tar((Entry(b"file"), b"small"))
    with small_store(tmp_path, "16m") as images:
        data = image_archive(gzip.compress(bomb, 1), f"sha256:{hashlib.sha256(bomb).hexdigest()}")
        assert len(data) < 1 << 20
        with pytest.raises(StorageFull, match="No space left"):
            archive.load(images, io.BytesIO(data), lambda line: None)
        assert images.list() == () and list(images.content.walk()) == [] and list(images.snapshotter.walk()) == []
        data = image_archive(small, f"sha256:{hashlib.sha256(small).hexdigest()}")
        (image,) = archive.load(images, io.BytesIO(data), lambda line: None)
        assert images.unpack(image) == image.top


# -- crowds


@pytest.mark.sandbox
def test_a_million_entries_are_taken_one_by_one_in_little_memory(tmp_path: Path) -> None:
    before, begun = peak(), time.monotonic()
    source = Repeated(b"", headers.encode(Entry(b"d/.wh.x")), 1_000_000)
    root = tmp_path / "root"
    root.mkdir()
    fd = os.open(root, rooted.FLAGS)
    try:
        assert unpack(source, fd, merged=False).entries == 1_000_000
    finally:
        os.close(fd)
    assert peak() - before < 32 << 10 and time.monotonic() - begun < 100
    with pytest.raises(Corrupt, match="more than 1000 entries"):
        list(Reader(Repeated(b"", headers.encode(Entry(b"x")), 1_000_000), Limits(entries=1000)))


@pytest.mark.sandbox
def test_an_archive_of_a_million_files_is_refused(tmp_path: Path) -> None:
    with small_store(tmp_path, "64m") as images:
        names = iter(range(200_000))

        class Names:
            def read(self, size: int = -1, /) -> bytes:
                chosen = [
                    headers.encode(Entry(b"n%d" % n, headers.SYMLINK, link=b"y"))
                    for n, _ in zip(names, range(200), strict=False)
                ]
                return b"".join(chosen)

        with pytest.raises(Corrupt, match="more than 100000 files"):
            archive.load(images, Names(), lambda line: None)
        assert list(images.content.walk()) == []


@pytest.mark.sandbox
def test_a_path_deeper_than_the_kernel_takes_is_refused_and_a_deep_one_is_not(tmp_path: Path) -> None:
    above = os.open(tmp_path, rooted.FLAGS)
    try:
        deep = b"/".join([b"d"] * 1500)
        into(tmp_path / "root", io.BytesIO(tar((Entry(deep + b"/file"), b"x"))))
        assert os.path.getsize(os.path.join(os.fsencode(tmp_path / "root"), deep, b"file")) == 1
        with pytest.raises(Corrupt, match=os.strerror(errno.ENAMETOOLONG)):
            into(tmp_path / "root", io.BytesIO(tar((Entry(b"/".join([b"d"] * 2500)), b"x"))))
    finally:
        # Deeper than shutil.rmtree can go.
        rooted.remove_tree(above, b"root")
        os.close(above)


# -- collisions


@pytest.mark.sandbox
def test_names_that_are_spelled_differently_are_one_file_and_the_last_wins(tmp_path: Path) -> None:
    spelled = [b"a/b", b"./a/b", b"a//b", b"/a/b", b"a/x/../b", b"a/./b"]
    done = into(tmp_path / "root", io.BytesIO(tar(*[(Entry(name), name) for name in spelled])))
    assert done.entries == len(spelled) and os.listdir(tmp_path / "root/a") == ["b"]
    assert (tmp_path / "root/a/b").read_bytes() == spelled[-1]


@pytest.mark.sandbox
def test_names_that_differ_in_case_or_composition_are_several_files(tmp_path: Path) -> None:
    names = [b"a", b"A", "é".encode(), "e\u0301".encode(), b"\xff\xfe", b" a", b"a "]
    into(tmp_path / "root", io.BytesIO(tar(*[(Entry(name), name) for name in names])))
    found = os.listdir(os.fsencode(tmp_path / "root"))
    assert sorted(found) == sorted(names)


@pytest.mark.sandbox
def test_a_folder_that_becomes_a_link_takes_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    up = os.fsencode(os.path.relpath(tmp_path / "outside", tmp_path / "root"))
    for target in (os.fsencode(tmp_path / "outside"), up):
        data = tar(
            Entry(b"d", headers.FOLDER, 0o755),
            (Entry(b"d/first"), b"1"),
            Entry(b"d", headers.SYMLINK, link=target),
            (Entry(b"d/second"), b"2"),
        )
        try:
            into(tmp_path / "root", io.BytesIO(data))
        except Corrupt as error:
            assert "d/second" in str(error)
        assert os.listdir(tmp_path / "outside") == []


@pytest.mark.sandbox
def test_a_hard_link_to_a_link_does_not_open_what_that_shows(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("victim")
    data = tar(
        Entry(b"l", headers.SYMLINK, link=os.fsencode(tmp_path / "victim")),
        Entry(b"h", headers.LINK, link=b"l"),
        (Entry(b"h"), b"changed"),
        Entry(b"h2", headers.LINK, link=b"l"),
    )
    into(tmp_path / "root", io.BytesIO(data))
    assert (tmp_path / "victim").read_text() == "victim" and (tmp_path / "victim").stat().st_nlink == 1
    assert (tmp_path / "root/h").read_text() == "changed" and (tmp_path / "root/h2").is_symlink()


@pytest.mark.sandbox
def test_whiteouts_through_links_remove_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/victim").write_text("victim")
    up = os.fsencode(os.path.relpath(tmp_path / "outside", tmp_path / "root"))
    for target in (os.fsencode(tmp_path / "outside"), up, b"../../../../../.."):
        data = tar(
            Entry(b"l", headers.SYMLINK, link=target), Entry(b"l/.wh.victim"), Entry(b"l/.wh..wh..opq"), Entry(b".wh.l")
        )
        into(tmp_path / "root", io.BytesIO(data))
        assert (tmp_path / "outside/victim").read_text() == "victim"
