"""Packing what a snapshot changed as a layer tar: sorted, the same tree the same bytes, hashed on the way."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from labdock.store.layers import headers
from labdock.store.layers.hashing import Sha256
from labdock.store.layers.headers import BLOCK, Entry
from labdock.store.layers.rooted import open_folder
from labdock.store.layers.unpack import OPAQUE, OVERLAY_XATTRS, WHITEOUT

_FLUSH = 1 << 20
_END = bytes(2 * BLOCK)
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME | os.O_CLOEXEC
_IS_OPAQUE = (b"user.overlay.opaque", b"trusted.overlay.opaque", b"user.fuseoverlayfs.opaque")
#: The tar type of each kind of file that a tar can hold.
KINDS = {
    stat.S_IFREG: headers.FILE,
    stat.S_IFDIR: headers.FOLDER,
    stat.S_IFLNK: headers.SYMLINK,
    stat.S_IFCHR: headers.CHAR,
    stat.S_IFBLK: headers.BLOCKDEV,
    stat.S_IFIFO: headers.FIFO,
}


class Sink(Protocol):
    """Anything with write that takes all it is given."""

    def write(self, data: bytes | memoryview, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Packed:
    """``diff_id`` and ``size`` (bytes) of the tar; ``skipped``: what a layer can't hold (sockets, ``.wh.`` names)."""

    diff_id: str
    size: int
    entries: int
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RootLook:
    """Mode and owner that the tree's root has below this layer: the root is an entry only where it differs."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0

    @classmethod
    def of(cls, found: os.stat_result) -> RootLook:
        return cls(found.st_mode & 0o7777, found.st_uid, found.st_gid)


def pack(
    tree: int,
    out: Sink,
    *,
    below: RootLook | None = None,
    latest: int | None = None,
    leave: Collection[bytes] = frozenset(),
) -> Packed:
    """Write the changes in the folder fd *tree* (in overlay's terms) to *out* as a layer tar.

    A folder comes before what is in it, its files before its folders, each sorted by name. *latest*: times
    after it (seconds since the epoch; SOURCE_DATE_EPOCH) become it. *leave*: paths that are left out, with all in them.
    Raises OSError.
    """
    below = below or RootLook()
    pending = [b""]
    with Sha256() as hashed:
        packer = _Packer(out, hashed, latest, leave)
        while pending:
            path = pending.pop()
            try:
                fd = open_folder(tree, path, links=False)
            except FileNotFoundError:
                # Removed by a process that still runs in there.
                continue
            try:
                inner = packer.add_folder(fd, path, below)
            finally:
                os.close(fd)
            pending.extend(reversed(inner))
        return packer.finish()


class _Packer:
    def __init__(self, out: Sink, hashed: Sha256, latest: int | None, leave: Collection[bytes]) -> None:
        self._out = out
        self._hash = hashed
        self._leave = leave
        self._latest_ns = None if latest is None else latest * 10**9
        self._buffer = bytearray()
        self._size = 0
        self._entries = 0
        self._links: dict[tuple[int, int], bytes] = {}
        self._skipped: list[str] = []

    def add_folder(self, fd: int, path: bytes, below: RootLook) -> list[bytes]:
        """Add the folder *path* itself and all in it but folders; gives the folders' paths, sorted."""
        found = os.fstat(fd)
        xattrs = read_xattrs(fd)
        opaque = is_opaque(xattrs)
        if path or RootLook.of(found) != below:
            self._add(self._entry((path or b".") + b"/", headers.FOLDER, found, public_xattrs(xattrs)))
        base = path + b"/" if path else b""
        names = sorted(map(os.fsencode, os.listdir(fd)))
        if opaque or OPAQUE in names:
            self._add(Entry(base + OPAQUE, mode=0))
        inner = []
        for name in names:
            if base + name in self._leave:
                continue
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    inner.append(base + name)
                else:
                    self._add_leaf(fd, name, base + name, found)
            except FileNotFoundError:
                continue
        return inner

    def _add_leaf(self, folder: int, name: bytes, path: bytes, found: os.stat_result) -> None:
        kind = KINDS.get(stat.S_IFMT(found.st_mode))
        if kind == headers.CHAR and found.st_rdev == 0:
            self._add(Entry(path[: len(path) - len(name)] + WHITEOUT + name, mode=0))
            return
        if name.startswith(WHITEOUT):
            if name != OPAQUE:
                self._skipped.append(f"{os.fsdecode(path)}: the name would mean a removal")
            return
        if kind is None:
            self._skipped.append(f"{os.fsdecode(path)}: a socket")
            return
        if found.st_nlink > 1:
            first = self._links.setdefault((found.st_dev, found.st_ino), path)
            if first != path:
                link = self._entry(path, headers.LINK, found, {})
                link.link = first
                self._add(link)
                return
        if kind == headers.FILE:
            self._add_file(folder, name, path)
            return
        entry = self._entry(path, kind, found, {})
        if kind == headers.SYMLINK:
            entry.link = os.readlink(name, dir_fd=folder)
        elif kind != headers.FIFO:
            entry.major, entry.minor = os.major(found.st_rdev), os.minor(found.st_rdev)
        self._add(entry)

    def _add_file(self, folder: int, name: bytes, path: bytes) -> None:
        fd = open_file(name, folder)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError(errno.ENOENT, "replaced while it was read", os.fsdecode(path))
            entry = self._entry(path, headers.FILE, found, public_xattrs(read_xattrs(fd)))
            entry.size = found.st_size
            self._add(entry)
            left = found.st_size
            while left:
                data = os.read(fd, min(left, _FLUSH))
                if not data:
                    # It shrank meanwhile; the header is out already.
                    data = bytes(min(left, _FLUSH))
                left -= len(data)
                self._put(data)
            self._buffer += bytes(-found.st_size % BLOCK)
        finally:
            os.close(fd)

    def _entry(self, path: bytes, kind: bytes, found: os.stat_result, xattrs: dict[bytes, bytes]) -> Entry:
        time_ns = found.st_mtime_ns
        if self._latest_ns is not None and time_ns > self._latest_ns:
            time_ns = self._latest_ns
        return Entry(path, kind, found.st_mode & 0o7777, found.st_uid, found.st_gid, 0, time_ns, b"", 0, 0, xattrs)

    def _add(self, entry: Entry) -> None:
        self._entries += 1
        self._put(headers.encode(entry))

    def _put(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= _FLUSH:
            self._flush()

    def _flush(self) -> None:
        # A new buffer each time: the old one may still be hashed.
        full, self._buffer = memoryview(self._buffer), bytearray()
        self._hash.update(full)
        self._out.write(full)
        self._size += len(full)

    def finish(self) -> Packed:
        self._buffer += _END
        self._flush()
        return Packed(f"sha256:{self._hash.hexdigest()}", self._size, self._entries, tuple(self._skipped))


def open_file(name: bytes, folder: int) -> int:
    """An fd to read *name* in the folder fd *folder*, its access time left alone; a link is not followed."""
    try:
        return os.open(name, _READ, dir_fd=folder)
    except PermissionError:
        # quirk: O_NOATIME is EPERM on a file whose owner is not mapped (man 2 open).
        return os.open(name, _READ & ~os.O_NOATIME, dir_fd=folder)


def read_xattrs(fd: int) -> dict[bytes, bytes]:
    """All attributes of *fd*; none where the file system has no such thing."""
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    return {os.fsencode(name): os.getxattr(fd, name) for name in names} if names else {}


def is_opaque(xattrs: dict[bytes, bytes]) -> bool:
    """Whether the folder with these attributes hides what lower layers have in its place."""
    return any(xattrs.get(key) == b"y" for key in _IS_OPAQUE)


def public_xattrs(xattrs: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """What of *xattrs* belongs to the tree, not to the file system that keeps it."""
    return {k: v for k, v in xattrs.items() if not k.startswith(OVERLAY_XATTRS) and k != b"security.selinux"}
