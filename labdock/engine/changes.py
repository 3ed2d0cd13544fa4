"""What a container changed in its image's files, for ``docker diff``, and what of it is not its own doing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from labdock.engine.records import ContainerRecord
from labdock.store.layers.pack import is_opaque, read_xattrs
from labdock.store.layers.rooted import open_folder

CHANGED, ADDED, DELETED = 0, 1, 2

#: What the runtime makes a place for in every container.
_PLACES = (
    "/dev", "/dev/console", "/dev/mqueue", "/dev/pts", "/dev/shm", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf",
    "/proc", "/sys", "/sys/fs/cgroup",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    path: str
    kind: int


@dataclass(frozen=True, slots=True)
class Hidden:
    """Places where something is mounted: ``places``, and ``above`` the folders that may have been made for them."""

    places: frozenset[bytes]
    above: frozenset[bytes]

    @classmethod
    def of(cls, record: ContainerRecord) -> Hidden:
        return cls.at((*_PLACES, *(mount.target for mount in record.mounts)))

    @classmethod
    def at(cls, targets: Iterable[str]) -> Hidden:
        places = {os.fsencode(target.strip("/")) for target in targets}
        above = set()
        for place in places:
            while place := place.rpartition(b"/")[0]:
                above.add(place)
        return cls(frozenset(places), frozenset(above))


def find_changes(changed: int, below: int | None, hidden: Hidden) -> list[Change]:
    """The changes in the folder fd *changed* (overlay's terms) against the tree *below* (None: an empty one).

    As Docker tells them: in the order of a walk; a folder in which something changed is a change itself, the root is
    none. Raises OSError.
    """
    return _Comparison(changed, below, hidden).folder(b"", new=False)


class _Comparison:
    def __init__(self, changed: int, below: int | None, hidden: Hidden) -> None:
        self._changed = changed
        self._below = below
        self._hidden = hidden

    def folder(self, path: bytes, *, new: bool) -> list[Change]:
        """The changes in the folder *path*; *new*: the image has no such folder."""
        found: list[Change] = []
        try:
            fd = open_folder(self._changed, path, links=False)
        except OSError:
            return found
        try:
            names = sorted(map(os.fsencode, os.listdir(fd)))
            entries = {name: stat_of(fd, name) for name in names}
            hides = bool(path) and is_opaque(read_xattrs(fd))
        finally:
            os.close(fd)
        old = None if new else self._open(path)
        try:
            gone = set(map(os.fsencode, os.listdir(old))) - set(names) if hides and old is not None else set()
            for name in sorted({*names, *gone}):
                whole = path + b"/" + name if path else name
                before = None if old is None else stat_of(old, name)
                if whole in self._hidden.places:
                    continue
                if name in gone:
                    found.append(_tell(whole, DELETED))
                elif (now := entries[name]) is not None:
                    found += self._entry(whole, now, before)
        finally:
            if old is not None:
                os.close(old)
        return found

    def _entry(self, path: bytes, now: os.stat_result, before: os.stat_result | None) -> list[Change]:
        if stat.S_ISCHR(now.st_mode) and now.st_rdev == 0:
            return [] if before is None else [_tell(path, DELETED)]
        if not stat.S_ISDIR(now.st_mode):
            return [_tell(path, ADDED if before is None else CHANGED)]
        both = before is not None and stat.S_ISDIR(before.st_mode)
        inner = self.folder(path, new=not both)
        if before is None:
            # A folder that only leads to where something is mounted is the runtime's.
            return [_tell(path, ADDED), *inner] if inner or path not in self._hidden.above else []
        if inner or not both or _look(now) != _look(before):
            return [_tell(path, CHANGED), *inner]
        return []

    def is_stub(self, path: bytes) -> bool:
        """Whether the folder *path* is here for a mount alone: new, or as the image has it, and with nothing in it."""
        parent, _, name = path.rpartition(b"/")
        try:
            fd = open_folder(self._changed, parent, links=False)
        except OSError:
            return False
        try:
            now = stat_of(fd, name)
        finally:
            os.close(fd)
        if now is None or not stat.S_ISDIR(now.st_mode):
            return False
        old = self._open(parent)
        try:
            before = None if old is None else stat_of(old, name)
        finally:
            if old is not None:
                os.close(old)
        return not self._entry(path, now, before)

    def _open(self, path: bytes) -> int | None:
        if self._below is None:
            return None
        try:
            return open_folder(self._below, path, links=False)
        except OSError:
            return None


def stat_of(folder: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _look(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mode, found.st_uid, found.st_gid


def _tell(path: bytes, kind: int) -> Change:
    return Change("/" + os.fsdecode(path), kind)


def find_stubs(changed: int, below: int | None, hidden: Hidden) -> frozenset[bytes]:
    """Of :func:`find_changes`'s trees, the paths that are only places of mounts: they belong into no layer."""
    comparison = _Comparison(changed, below, hidden)
    return hidden.places | {path for path in hidden.above if comparison.is_stub(path)}
