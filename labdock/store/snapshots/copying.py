"""Snapshots as plain copies: each is a whole tree, sharing blocks where the file system can (FICLONE).

For machines where nothing can be mounted but binds. What a snapshot changed is found by comparing it with its
parent when asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labdock.store.snapshots import Kind, Mount, trees
from labdock.store.snapshots.folders import FolderSnapshotter, border, open_tree
from labdock.store.snapshots.ledger import Item

#: Beside the tree: its change time says when the copy was complete.
STAMP = "stamp"


class CopySnapshotter(FolderSnapshotter):
    """A Snapshotter that copies."""

    quick = False

    def __init__(self, root: Path, name: str = "copy") -> None:
        super().__init__(name, root)

    def _make(self, item: Item, folder: Path) -> None:
        tree = folder / "fs"
        if item.kind is Kind.ACTIVE:
            os.mkdir(tree, 0o755)
            os.chmod(tree, 0o755)
            if item.lowers:
                trees.copy(self.tree(item.lowers[0]), tree)
        else:
            tree.symlink_to(self.tree(item.lowers[0]))
        # Its change time says when the copy was complete: what changed before then is as the parent has it.
        (folder / STAMP).touch()

    def _mounts(self, item: Item) -> tuple[Mount, ...]:
        if item.kind is Kind.VIEW:
            return (Mount("bind", str(self.tree(item.lowers[0])), ("bind", "ro")),)
        return (Mount("bind", str(self.tree(item.number)), ("bind", "rw")),)

    @contextmanager
    def _merged(self, item: Item) -> Iterator[int]:
        with open_tree(self.tree(item.number)) as fd:
            yield fd

    def changes(self, key: str) -> Path:
        item = self._ledger.find(key)
        if not item.lowers:
            return self.tree(item.number)
        folder = self.folder / str(item.number)
        found = folder / "changes"
        with border(f"comparing snapshot {key} with {item.parent}"):
            self.trash.throw(found)
            os.mkdir(found, 0o700)
            since = os.stat(folder / STAMP).st_ctime_ns
            trees.compare(self.tree(item.lowers[0]), self.tree(item.number), found, since)
        return found
