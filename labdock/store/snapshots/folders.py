"""What all drivers share: numbered folders, a ledger, removal by rename, repair at the start.

::

    ROOT/DRIVER/ledger.db       which key is which number
    ROOT/DRIVER/NUMBER/fs       the tree (overlay: what the snapshot itself changed)
    ROOT/DRIVER/NUMBER/work     overlay's own
    ROOT/DRIVER/trash           what waits to be freed

A folder is made before its row and taken away after it, so a kill in between leaves a folder without a row:
``recover`` throws those away.
"""

from __future__ import annotations

import logging
import os
import threading
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from labdock.errors import Conflict
from labdock.store.content import translate
from labdock.store.layers.pack import RootLook, pack
from labdock.store.layers.rooted import FLAGS
from labdock.store.layers.unpack import unpack
from labdock.store.snapshots import Kind, Mount, SnapshotInfo, Usage
from labdock.store.snapshots.ledger import Item, Ledger
from labdock.store.snapshots.trash import Trash
from labdock.sys import filesystems, mounts

_log = logging.getLogger(__name__)


class FolderSnapshotter:
    """A Snapshotter but for how a tree is made and shown, which each driver says."""

    quick = True

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.folder = root / name
        with border(f"opening the snapshots in {self.folder}"):
            self.trash = Trash(self.folder / "trash")
            self._ledger = Ledger(self.folder / "ledger.db")
            filesystems.spread(self.folder)
            numbers = [int(entry) for entry in os.listdir(self.folder) if entry.isdecimal()]
        self._next = max(numbers, default=0) + 1
        self._lock = threading.Lock()

    @abstractmethod
    def _make(self, item: Item, folder: Path) -> None:
        """Fill the new, empty *folder* of *item*; raises OSError."""

    @abstractmethod
    def _mounts(self, item: Item) -> tuple[Mount, ...]:
        """How to mount *item*."""

    @abstractmethod
    def _merged(self, item: Item) -> AbstractContextManager[int]:
        """A folder fd of active *item* as its mounts show it, on top of its parent."""

    def tree(self, number: int) -> Path:
        return self.folder / str(number) / "fs"

    def prepare(self, key: str, parent: str | None) -> tuple[Mount, ...]:
        return self._begin(key, parent, Kind.ACTIVE)

    def view(self, key: str, parent: str) -> tuple[Mount, ...]:
        return self._begin(key, parent, Kind.VIEW)

    def _begin(self, key: str, parent: str | None, kind: Kind) -> tuple[Mount, ...]:
        with self._lock:
            number = self._next
            self._next += 1
        item = self._ledger.plan(key, number, parent, kind)
        folder = self.folder / str(number)
        with border(f"preparing snapshot {key}"):
            os.mkdir(folder, 0o700)
            try:
                self._make(item, folder)
                self._ledger.add(item)
            except BaseException:
                self.trash.throw(folder)
                raise
        return self._mounts(item)

    def mounts(self, key: str) -> tuple[Mount, ...]:
        item = self._ledger.find(key)
        if item.kind is Kind.COMMITTED:
            raise Conflict(f"snapshot {key} is committed: a view shows it")
        return self._mounts(item)

    def commit(self, name: str, key: str) -> None:
        item = self._ledger.commit(name, key)
        with border(f"committing snapshot {name}"):
            self.trash.throw(self.folder / str(item.number) / "work")

    def remove(self, key: str) -> None:
        item = self._ledger.drop(key)
        with border(f"removing snapshot {key}"):
            self.trash.throw(self.folder / str(item.number))

    def has(self, key: str) -> bool:
        """Whether there is a snapshot *key*."""
        return self._ledger.has(key)

    def stat(self, key: str) -> SnapshotInfo:
        return self._ledger.find(key).info

    def walk(self) -> Iterator[SnapshotInfo]:
        return iter([item.info for item in self._ledger.all()])

    def usage(self, key: str) -> Usage:
        item = self._ledger.find(key)
        if item.kind is Kind.VIEW:
            return Usage(0, 0)
        with border(f"measuring snapshot {key}"):
            return _measure(self.tree(item.number))

    def changes(self, key: str) -> Path:
        return self.tree(self._ledger.find(key).number)

    def diff(self, key: str, out: BinaryIO) -> str:
        item = self._ledger.find(key)
        tree = self.changes(key)
        with border(f"packing snapshot {key}"):
            below = RootLook.of(os.stat(self.tree(item.lowers[0]))) if item.lowers else RootLook()
            with open_tree(tree) as fd:
                packed = pack(fd, out, below=below)
        for text in packed.skipped:
            _log.warning("packing snapshot %s: left out %s", key, text)
        return packed.diff_id

    def apply(self, key: str, layer: BinaryIO, *, known: str | None = None) -> str:
        item = self._ledger.find(key)
        if item.kind is not Kind.ACTIVE:
            raise Conflict(f"snapshot {key} is not active")
        opened = self._merged(item) if item.lowers else open_tree(self.tree(item.number))
        with border(f"unpacking into snapshot {key}"), opened as fd:
            unpacked = unpack(layer, fd, merged=bool(item.lowers), known=known)
        for text in unpacked.notices:
            _log.warning("unpacking into snapshot %s: %s", key, text)
        return unpacked.diff_id

    def recover(self) -> None:
        with border(f"repairing the snapshots in {self.folder}"):
            known: set[str] = set()
            lost: set[str] = set()
            items = self._ledger.all()
            for item in items:
                if item.parent in lost or not self.tree(item.number).is_dir():
                    lost.add(item.key)
                else:
                    known.add(str(item.number))
            for item in reversed(items):
                if item.key in lost:
                    _log.warning("snapshot %s lost its tree and is forgotten", item.key)
                    self._ledger.drop(item.key)
            for entry in os.listdir(self.folder):
                if entry.isdecimal():
                    _detach(self.folder / entry / "mnt")
                    if entry not in known:
                        self.trash.throw(self.folder / entry)
            self.trash.empty()

    def close(self) -> None:
        """Give up the ledger; what waits in the trash is freed at the next start."""
        self.trash.close()
        self._ledger.close()


@contextmanager
def border(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise translate(error, doing) from error


@contextmanager
def open_tree(tree: Path) -> Iterator[int]:
    """The folder fd of *tree*."""
    fd = os.open(tree, FLAGS)
    try:
        yield fd
    finally:
        os.close(fd)


def _detach(point: Path) -> None:
    """Take away what a killed process left mounted on *point*."""
    if point.is_dir():
        try:
            mounts.unmount(str(point), mounts.MNT_DETACH)
        except OSError as error:
            # EINVAL: nothing is mounted there, the usual case.
            _log.debug("unmounting %s: %s", point, error)


def _measure(tree: Path) -> Usage:
    size = inodes = 0
    seen: set[tuple[int, int]] = set()
    pending = [str(tree)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif found.st_nlink > 1:
                    identity = (found.st_dev, found.st_ino)
                    if identity in seen:
                        continue
                    seen.add(identity)
                size += found.st_blocks * 512
                inodes += 1
    return Usage(size, inodes)
