"""The kernel's overlay file system, and fuse-overlayfs, which keeps its layers the same way.

``userxattr`` lets overlay keep its marks in a user namespace (Linux 5.11): ``user.overlay.opaque`` instead of
``trusted.overlay.opaque``. Folders are named by short numbers so that 128 layers fit into mount(2)'s one page.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labdock.store.snapshots import Kind, Mount
from labdock.store.snapshots.folders import FolderSnapshotter
from labdock.store.snapshots.ledger import Item
from labdock.store.snapshots.mounting import open_mounted

_SPECIAL = re.compile(r"([\\,:])")


class OverlaySnapshotter(FolderSnapshotter):
    """A Snapshotter whose mounts are overlay's."""

    _quick: tuple[str, ...] = ("volatile",)

    def __init__(self, root: Path, name: str = "overlay") -> None:
        super().__init__(name, root)
        # quirk: overlay's option parser takes ":" and "," apart unless they are escaped.
        self._base = _SPECIAL.sub(r"\\\1", str(self.folder.absolute()))

    def _make(self, item: Item, folder: Path) -> None:
        tree = folder / "fs"
        os.mkdir(tree, 0o755)
        os.mkdir(folder / "work", 0o700)
        os.chmod(tree, 0o755)
        if item.lowers:
            # The merged root shows the upper folder's own mode and owner.
            below = os.stat(self.tree(item.lowers[0]))
            os.chown(tree, below.st_uid, below.st_gid)
            os.chmod(tree, below.st_mode & 0o7777)

    def _mounts(self, item: Item) -> tuple[Mount, ...]:
        if not item.lowers:
            return (Mount("bind", str(self.tree(item.number)), ("bind", "rw")),)
        if item.kind is Kind.VIEW and len(item.lowers) == 1:
            return (Mount("bind", str(self.tree(item.lowers[0])), ("bind", "ro")),)
        options = ["lowerdir=" + ":".join(f"{self._base}/{number}/fs" for number in item.lowers)]
        if item.kind is Kind.ACTIVE:
            options += [f"upperdir={self._base}/{item.number}/fs", f"workdir={self._base}/{item.number}/work"]
        return (self._overlay(tuple(options), item.kind),)

    def _overlay(self, options: tuple[str, ...], kind: Kind) -> Mount:
        return Mount("overlay", "overlay", (*options, "userxattr", "ro" if kind is Kind.VIEW else "rw"))

    @contextmanager
    def _merged(self, item: Item) -> Iterator[int]:
        folder = self.folder / str(item.number)
        point = folder / "mnt"
        point.mkdir(exist_ok=True)
        # quirk: an overlay that goes writes out all of the file system it lies on, whoever's data it is (ovl_sync_fs),
        # seconds on a busy disk; "volatile" (Linux 5.10) is without that, and leaves a mark in the work folder that
        # keeps the next mount away.
        wanted = [Mount(m.type, m.source, (*m.options, *self._quick)) for m in self._mounts(item)]
        try:
            fd = open_mounted(wanted, point)
        finally:
            point.rmdir()
        try:
            yield fd
        finally:
            os.close(fd)
            if self._quick:
                shutil.rmtree(folder / "work/work/incompat", ignore_errors=True)


class FuseOverlaySnapshotter(OverlaySnapshotter):
    """As overlay, served by the *program* fuse-overlayfs: where the kernel refuses to mount an overlay itself."""

    _quick = ()

    def __init__(self, root: Path, program: str) -> None:
        super().__init__(root, "fuse-overlayfs")
        self._program = program

    def _overlay(self, options: tuple[str, ...], kind: Kind) -> Mount:
        return Mount("fuse-overlayfs", self._program, (*options, "ro") if kind is Kind.VIEW else options)
