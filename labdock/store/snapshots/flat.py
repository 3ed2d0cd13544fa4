"""Snapshots without any mount: one tree for an image, one copy of it for each container.

For places where even a bind mount is refused. A container's root is the tree itself, put in place by a link. A layer's
tree shares the files that it did not change with the layer below (hard links: nobody writes to either), so that all
layers of an image take the room of one tree; what is written to, a container's or a build's, is a copy of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

from labdock.store.snapshots import Kind, Mount, Usage, trees
from labdock.store.snapshots.copying import STAMP, CopySnapshotter
from labdock.store.snapshots.folders import border
from labdock.store.snapshots.ledger import Item


class FlatSnapshotter(CopySnapshotter):
    """A Snapshotter that copies and links. A view is read-only where a bind can be had: only whoever looks needs it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "flat")

    def _mounts(self, item: Item) -> tuple[Mount, ...]:
        if item.kind is Kind.VIEW:
            return super()._mounts(item)
        return (Mount("link", str(self.tree(item.number))),)

    def commit(self, name: str, key: str) -> None:
        item = self._ledger.find(key)
        if item.kind is Kind.ACTIVE and item.lowers and not self._ledger.has(name):
            # Before it is committed: a kill in between leaves an active snapshot that looks the same.
            with border(f"sharing files of snapshot {key} with {item.parent}"):
                since = os.stat(self.folder / str(item.number) / STAMP).st_ctime_ns
                trees.share(self.tree(item.lowers[0]), self.tree(item.number), since)
        super().commit(name, key)

    def usage(self, key: str) -> Usage:
        item = self._ledger.find(key)
        if item.kind is not Kind.COMMITTED or not item.lowers:
            return super().usage(key)
        with border(f"measuring snapshot {key}"):
            size, inodes = trees.weigh_own(self.tree(item.lowers[0]), self.tree(item.number))
        return Usage(size, inodes)
