"""Which snapshots there are: a small database beside the trees, so that a driver's folder explains itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labdock.errors import Conflict, InvalidRequest, NotFound
from labdock.store.metadata import Database, Row
from labdock.store.snapshots import Kind, SnapshotInfo

_MIGRATIONS = (
    (
        "CREATE TABLE snapshots (key TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, parent TEXT,"
        " kind TEXT NOT NULL, lowers TEXT NOT NULL) WITHOUT ROWID",
        "CREATE INDEX snapshots_parent ON snapshots (parent)",
    ),
)
_COLUMNS = "key, number, parent, kind, lowers"


@dataclass(frozen=True, slots=True)
class Item:
    """A snapshot and its folder's *number*; *lowers* are the numbers of what it stands on, nearest first."""

    key: str
    number: int
    parent: str | None
    kind: Kind
    lowers: tuple[int, ...]

    @property
    def info(self) -> SnapshotInfo:
        return SnapshotInfo(self.key, self.parent, self.kind)


class Ledger:
    """The rows in *path*. Each method is one transaction; errors as the Snapshotter protocol says."""

    def __init__(self, path: Path) -> None:
        self._db = Database(path, _MIGRATIONS)

    def find(self, key: str) -> Item:
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM snapshots WHERE key = ?", (key,))
        if not rows:
            raise NotFound(f"snapshot {key} not found")
        return _item(rows[0])

    def has(self, key: str) -> bool:
        return bool(self._db.execute("SELECT 1 FROM snapshots WHERE key = ?", (key,)))

    def plan(self, key: str, number: int, parent: str | None, kind: Kind) -> Item:
        """The item that *key* would be, everything checked; nothing is written."""
        if not 0 < len(key.encode()) <= 255:
            raise InvalidRequest(f"a snapshot's key has 1 to 255 bytes: {key[:64]!r}…")
        if self.has(key):
            raise Conflict(f"snapshot {key} exists already")
        if parent is None:
            return Item(key, number, None, kind, ())
        below = self.find(parent)
        if below.kind is not Kind.COMMITTED:
            raise Conflict(f"snapshot {parent} is not committed: nothing can stand on it")
        return Item(key, number, parent, kind, (below.number, *below.lowers))

    def add(self, item: Item) -> None:
        with self._db.transaction():
            if self.plan(item.key, item.number, item.parent, item.kind) != item:
                raise Conflict(f"snapshot {item.parent} changed meanwhile")
            self._db.execute(
                f"INSERT INTO snapshots ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
                (item.key, item.number, item.parent, item.kind, " ".join(map(str, item.lowers))),
            )

    def commit(self, name: str, key: str) -> Item:
        """Active *key* becomes committed *name*."""
        with self._db.transaction():
            item = self.find(key)
            if item.kind is not Kind.ACTIVE:
                raise Conflict(f"snapshot {key} is not active")
            if self.has(name):
                raise Conflict(f"snapshot {name} exists already")
            self._db.execute("UPDATE snapshots SET key = ?, kind = ? WHERE key = ?", (name, Kind.COMMITTED, key))
        return item

    def drop(self, key: str) -> Item:
        with self._db.transaction():
            item = self.find(key)
            above = self._db.execute("SELECT key FROM snapshots WHERE parent = ? LIMIT 1", (key,))
            if above:
                raise Conflict(f"snapshot {key} can't be removed: {above[0][0]} stands on it")
            self._db.execute("DELETE FROM snapshots WHERE key = ?", (key,))
        return item

    def all(self) -> list[Item]:
        """Parents before children: a child's number is higher, and the numbers never change."""
        return [_item(row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM snapshots ORDER BY number")]

    def close(self) -> None:
        self._db.close()


def _item(row: Row) -> Item:
    key, number, parent, kind, lowers = row
    return Item(
        str(key),
        int(str(number)),
        None if parent is None else str(parent),
        Kind(str(kind)),
        tuple(map(int, str(lowers).split())),
    )
