"""Unpacking a tar into a tree that lives, as ``docker cp`` does: over what is there, with a process perhaps at work.

As hostile as a layer, and beside it a program that may swap links and folders meanwhile: every name is found from the
root's fd anew (:mod:`~labdock.store.layers.rooted`), so what it wins is a place of its own tree. ``.wh.`` is a name
like any other.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from labdock.errors import Forbidden, InvalidRequest
from labdock.store.layers import headers
from labdock.store.layers.headers import Entry
from labdock.store.layers.reader import GENEROUS, Limits, Reader, Source
from labdock.store.layers.unpack import Unpacker, clean, guard, show

#: Who an entry of these ids is to belong to.
Owner = Callable[[int, int], tuple[int, int]]


def extract(
    source: Source,
    root: int,
    base: bytes,
    *,
    owner: Owner,
    replace: bool = True,
    limits: Limits = GENEROUS,
    top: bool = False,
) -> tuple[str, ...]:
    """Unpack the plain tar *source* into the folder *base* (a path without links) below the folder fd *root*.

    *replace* false: a folder is not replaced by another thing, nor another thing by a folder (InvalidRequest in
    Docker's words). *top*: an entry "./" says the owner, mode and time of *base* itself. Gives notices about what could
    not be had. Raises Corrupt, Forbidden (a read-only file system), StorageFull, SystemFailure. What was unpacked
    before stays.
    """
    reader = Reader(source, limits)
    extractor = _Extractor(reader, root, base.strip(b"/"), owner, replace, top)
    try:
        for entry in reader:
            guard(entry, extractor.add)
        extractor.finish()
    finally:
        extractor.close()
    return tuple(extractor.notices)


class _Extractor(Unpacker):
    def __init__(self, reader: Reader, root: int, base: bytes, owner: Owner, replace: bool, top: bool) -> None:
        super().__init__(reader, root, merged=False)
        self._base = base
        self._owner = owner
        self._replace = replace
        self._top = top
        self._look: Entry | None = None

    def add(self, entry: Entry) -> None:
        inner = clean(entry.name)
        if not inner:
            # "./": the folder that is unpacked into stays as it is, unless it is to be as it was.
            if self._top and entry.type == headers.FOLDER:
                self._look = entry
            return
        path = self._below(inner)
        if entry.type == headers.LINK:
            entry.link = self._below(clean(entry.link))
        entry.uid, entry.gid = self._owner(entry.uid, entry.gid)
        parent, _, name = path.rpartition(b"/")
        try:
            folder = self._open(parent)
            if not self._replace:
                _compare(entry, folder, name)
            self.place(entry, folder, name, path)
        except OSError as error:
            if error.errno == errno.EROFS:
                raise Forbidden(f"{show(entry.name)}: it lies on a read-only file system") from error
            raise

    def finish(self) -> None:
        super().finish()
        if self._look is not None:
            uid, gid = self._owner(self._look.uid, self._look.gid)
            folder = self._open(self._base, make=False)
            os.fchown(folder, uid, gid)
            os.fchmod(folder, self._look.mode & 0o7777)
            os.utime(folder, ns=(self._look.mtime_ns, self._look.mtime_ns))

    def _below(self, path: bytes) -> bytes:
        return self._base + b"/" + path if self._base else path


def _compare(entry: Entry, folder: int, name: bytes) -> None:
    """Refuse *entry* where a folder and something else would replace each other (moby: archive.Unpack)."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    brought = show(entry.name.rstrip(b"/"))
    is_folder = stat.S_ISDIR(found.st_mode)
    if is_folder and entry.type != headers.FOLDER:
        raise InvalidRequest(f'cannot overwrite directory "{show(name)}" with non-directory "{brought}"')
    if not is_folder and entry.type == headers.FOLDER:
        raise InvalidRequest(f'cannot overwrite non-directory "{show(name)}" with directory "{brought}"')
