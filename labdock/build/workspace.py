"""Where steps work: active snapshots that never outlive their step, trees opened for reading, worker threads."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from labdock.build import ImageStore
from labdock.build.trees import FolderTree, MemoryTree, Tree
from labdock.errors import NotFound
from labdock.store.snapshots import Layer, Mount, Snapshotter
from labdock.store.snapshots.mounting import open_mounted

T = TypeVar("T")
#: Opens the tree that mounts show as a folder fd; the second argument is an empty folder to mount on.
OpenTree = Callable[[Sequence[Mount], Path], int]
#: Active snapshots and views of builds have keys with this in front.
PREFIX = "build-"


class Workspace:
    """One build's. ``folder`` is an empty one, to mount on.

    ``epoch``, in seconds, bounds the times of files (None: nothing does).
    """

    def __init__(
        self, snapshotter: Snapshotter, images: ImageStore, folder: Path, open_tree: OpenTree = open_mounted
    ) -> None:
        self._snapshotter = snapshotter
        self._images = images
        self._open_tree = open_tree
        self._folder = folder
        self._mounting = threading.Lock()
        self.epoch: int | None = None
        self.stop = threading.Event()

    async def work(self, call: Callable[..., T], *arguments: object) -> T:
        """Run *call* in a worker thread. When cancelled, tell it to stop and wait until it has."""
        future = asyncio.get_running_loop().run_in_executor(None, call, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            self.stop.set()
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()
            raise

    def prepare(self, parent: str | None) -> str:
        """A new active snapshot on *parent*; gives its key."""
        key = f"{PREFIX}{os.urandom(12).hex()}"
        self._snapshotter.prepare(key, parent)
        return key

    def drop(self, key: str) -> None:
        """Remove an active snapshot or view, if it is there still."""
        with suppress(NotFound):
            self._snapshotter.remove(key)

    def lend(self, snapshot: str, *, writable: bool) -> tuple[tuple[Mount, ...], str]:
        """How to mount committed *snapshot*, what is written to it apart; and the key to drop afterwards."""
        key = f"{PREFIX}{'use' if writable else 'view'}-{os.urandom(12).hex()}"
        make = self._snapshotter.prepare if writable else self._snapshotter.view
        return make(key, snapshot), key

    def settle(self, name: str, key: str) -> None:
        """Freeze active *key* as *name*, for this build alone: :meth:`drop` it."""
        self._snapshotter.commit(name, key)

    def _open(self, mounts: Sequence[Mount]) -> int:
        # One folder to mount on, several threads.
        with self._mounting:
            return self._open_tree(mounts, self._folder)

    @contextmanager
    def opened(self, key: str) -> Iterator[int]:
        """The tree of active snapshot *key* as a folder fd."""
        fd = self._open(self._snapshotter.mounts(key))
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def viewed(self, snapshot: str | None) -> Iterator[Tree]:
        """The tree of committed *snapshot*, to read from (None: an empty one)."""
        if snapshot is None:
            yield MemoryTree(self._folder)
            return
        key = f"{PREFIX}view-{os.urandom(12).hex()}"
        mounts = self._snapshotter.view(key, snapshot)
        try:
            fd = self._open(mounts)
            try:
                yield FolderTree(Path(f"/proc/self/fd/{fd}"))
            finally:
                os.close(fd)
        finally:
            self.drop(key)

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """An empty folder that is gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="files-", dir=self._folder.parent))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def commit(self, key: str, parent: str | None) -> tuple[Layer, str]:
        """Make a layer of active *key*: the layer and the chain id that is its snapshot's name now."""
        if self.epoch is not None:
            clamp_times(self._snapshotter.changes(key), self.epoch)
        return self._images.commit_layer(key, parent)

    def make_layer(self, parent: str | None, fill: Callable[[int], bool]) -> tuple[Layer, str] | None:
        """Let *fill* write into a snapshot on *parent*; None when it says that it changed nothing."""
        key = self.prepare(parent)
        try:
            with self.opened(key) as fd:
                changed = fill(fd)
            if changed:
                return self.commit(key, parent)
        except BaseException:
            self.drop(key)
            raise
        self.drop(key)
        return None


def clamp_times(folder: Path, epoch: int) -> None:
    """Set every time below *folder* that is after *epoch* back to it."""
    most = epoch * 10**9
    todo = [str(folder)]
    _clamp(todo[0], most)
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                _clamp(entry.path, most)
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)


def _clamp(path: str, most: int) -> None:
    if os.lstat(path).st_mtime_ns > most:
        os.utime(path, ns=(most, most), follow_symlinks=False)


def recover(snapshotter: Snapshotter) -> int:
    """At start: remove what builds of a process that was killed left behind. Gives how many snapshots there were."""
    left = [info.key for info in snapshotter.walk() if info.key.startswith(PREFIX)]
    for key in reversed(left):
        snapshotter.remove(key)
    return len(left)
