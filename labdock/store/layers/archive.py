"""A tree, or a part of one, as a plain tar for people: as it is seen, under a name of the reader's choosing.

Not a layer (that is :mod:`~labdock.store.layers.pack`): nothing is a whiteout, and no name is special.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection

from labdock.store.layers import headers
from labdock.store.layers.headers import BLOCK, Entry
from labdock.store.layers.pack import KINDS, Sink, open_file, public_xattrs, read_xattrs
from labdock.store.layers.rooted import open_folder

_FLUSH = 256 << 10
_READ = 1 << 20
_END = bytes(2 * BLOCK)


#: A folder's device and inode.
Identity = tuple[int, int]


def write_archive(
    folder: int, name: bytes, shown: bytes, out: Sink, *, closed: Collection[Identity] = frozenset()
) -> None:
    """Write *name* in the folder fd *folder*, with all below it, to *out*, as *shown*; no link is followed.

    *name* "." is the folder itself; *shown* "" leaves the entries' names as they are below it (and the folder out).
    A folder comes before what is in it, its files before its folders, each sorted. What goes while it is read is left
    out; a file that shrinks is filled with zeros. Sockets are left out, and what is in the folders *closed* below the
    topmost one. Raises OSError.
    """
    writer = _Writer(out, closed)
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        top = open_folder(folder, name, links=False)
        try:
            writer.add_tree(top, shown)
        finally:
            os.close(top)
    else:
        writer.add_leaf(folder, name, shown, found)
    writer.finish()


class _Writer:
    def __init__(self, out: Sink, closed: Collection[Identity]) -> None:
        self._out = out
        self._closed = closed
        self._buffer = bytearray()
        self._links: dict[tuple[int, int], bytes] = {}

    def add_tree(self, top: int, shown: bytes) -> None:
        # Paths below *top*.
        pending = [b""]
        while pending:
            path = pending.pop()
            try:
                fd = open_folder(top, path, links=False)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    # Removed or replaced by a process in there.
                    continue
                raise
            try:
                inner = self._add_folder(fd, path, shown)
            finally:
                os.close(fd)
            pending.extend(reversed(inner))

    def _add_folder(self, fd: int, path: bytes, shown: bytes) -> list[bytes]:
        whole = shown.rstrip(b"/") + b"/" + path if path and shown else path or shown
        found = os.fstat(fd)
        if whole:
            entry = _entry(whole.rstrip(b"/") + b"/", headers.FOLDER, found)
            entry.xattrs = public_xattrs(read_xattrs(fd))
            self._put(headers.encode(entry))
        if path and (found.st_dev, found.st_ino) in self._closed:
            return []
        above = whole.rstrip(b"/") + b"/" if whole else b""
        below = path + b"/" if path else b""
        inner = []
        names, others = _list(fd)
        for name in names:
            try:
                if name not in others and self._add_file(fd, name, above + name):
                    continue
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    inner.append(below + name)
                else:
                    self.add_leaf(fd, name, above + name, found)
            except FileNotFoundError:
                continue
        return inner

    def add_leaf(self, folder: int, name: bytes, shown: bytes, found: os.stat_result) -> None:
        kind = KINDS.get(stat.S_IFMT(found.st_mode))
        if kind is None:
            return
        if kind == headers.FILE:
            if not self._add_file(folder, name, shown):
                raise FileNotFoundError(errno.ENOENT, "replaced while it was read", os.fsdecode(shown))
            return
        if found.st_nlink > 1 and self._add_link(shown, found):
            return
        entry = _entry(shown, kind, found)
        if kind == headers.SYMLINK:
            entry.link = os.readlink(name, dir_fd=folder)
        elif kind != headers.FIFO:
            entry.major, entry.minor = os.major(found.st_rdev), os.minor(found.st_rdev)
        self._put(headers.encode(entry))

    def _add_link(self, shown: bytes, found: os.stat_result) -> bool:
        """Whether this was another name of what is in the archive already."""
        first = self._links.setdefault((found.st_dev, found.st_ino), shown)
        if first == shown:
            return False
        entry = _entry(shown, headers.LINK, found)
        entry.link = first
        self._put(headers.encode(entry))
        return True

    def _add_file(self, folder: int, name: bytes, shown: bytes) -> bool:
        """False when *name* is a file no longer but another thing."""
        try:
            fd = open_file(name, folder)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                # A link or a socket by now.
                return False
            raise
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return False
            if found.st_nlink > 1 and self._add_link(shown, found):
                return True
            entry = _entry(shown, headers.FILE, found)
            entry.xattrs = public_xattrs(read_xattrs(fd))
            entry.size = left = found.st_size
            self._put(headers.encode(entry))
            while left:
                # quirk: a file of /proc or /sys has a size and gives less; the header is out by then.
                data = os.read(fd, min(left, _READ)) or bytes(min(left, _READ))
                left -= len(data)
                self._put(data)
            if padding := -found.st_size % BLOCK:
                self._buffer += bytes(padding)
            return True
        finally:
            os.close(fd)

    def _put(self, data: bytes) -> None:
        if len(data) >= _FLUSH:
            self._flush()
            self._out.write(data)
            return
        self._buffer += data
        if len(self._buffer) >= _FLUSH:
            self._flush()

    def _flush(self) -> None:
        if self._buffer:
            self._out.write(bytes(self._buffer))
            self._buffer.clear()

    def finish(self) -> None:
        self._buffer += _END
        self._flush()


def _list(folder: int) -> tuple[list[bytes], set[bytes]]:
    """The names in *folder*, sorted, and those that are no plain files, which need a look before they are opened."""
    names: list[bytes] = []
    others: set[bytes] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            names.append(name)
            if not entry.is_file(follow_symlinks=False):
                others.add(name)
    names.sort()
    return names, others


def _entry(name: bytes, kind: bytes, found: os.stat_result) -> Entry:
    return Entry(name, kind, found.st_mode & 0o7777, found.st_uid, found.st_gid, 0, found.st_mtime_ns)
