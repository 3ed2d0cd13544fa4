"""State in SQLite: typed records, one transaction per mutation, a schema version with migrations.

WAL with ``synchronous=NORMAL``: a killed process loses nothing that was committed, a power cut at most the
last moments, and neither leaves half a transaction. The database belongs to one process (``locking_mode=
EXCLUSIVE``): that needs no shared memory file, so it also works on network file systems, and it is faster.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from labdock.errors import Conflict, Corrupt, LabdockError, StorageFull, SystemFailure, Unavailable, Unsupported

T = TypeVar("T")
Row = tuple[object, ...]

#: Migration *n* brings a database of version *n* to *n + 1*. Never edit one that was released: add another.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE records (kind TEXT NOT NULL, id TEXT NOT NULL, name TEXT, value BLOB NOT NULL,"
        " PRIMARY KEY (kind, id)) WITHOUT ROWID",
        "CREATE UNIQUE INDEX records_name ON records (kind, name) WHERE name IS NOT NULL",
        "CREATE TABLE intents (number INTEGER PRIMARY KEY AUTOINCREMENT, action TEXT NOT NULL,"
        " subject TEXT NOT NULL, detail BLOB NOT NULL, time_ns INTEGER NOT NULL)",
    ),
)


#: Free pages kept in the file, and as many in its log, so that small transactions still fit when the disk is full:
#: what frees space is recorded first. The log starts over (a checkpoint) before it outgrows them.
RESERVED_PAGES = 512
CHECKPOINT_PAGES = 400

log = logging.getLogger(__name__)


class Database:
    """One SQLite file at *path*, made and brought up to date when opened.

    Any thread may use it; a lock orders them, so transactions are kept short. No ``await`` inside a
    transaction: another task of the same thread would join it.

    Raises Unsupported for a database that a newer labdock wrote, Corrupt for a file that is none,
    Unavailable while another process has it, StorageFull and SystemFailure from the disk.
    """

    def __init__(self, path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(
                path, timeout=5.0, isolation_level=None, check_same_thread=False, cached_statements=256
            )
        except sqlite3.Error as error:
            raise self._translate(error) from error
        try:
            self._open(migrations)
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._translate(error) from error
            raise

    def _open(self, migrations: Sequence[Sequence[str]]) -> None:
        for name, value in (
            ("locking_mode", "EXCLUSIVE"),
            ("journal_mode", "WAL"),
            ("synchronous", "NORMAL"),
            ("wal_autocheckpoint", str(CHECKPOINT_PAGES)),
        ):
            self._connection.execute(f"PRAGMA {name} = {value}").fetchall()
        self._migrate(migrations)
        self._reserve()

    def _migrate(self, migrations: Sequence[Sequence[str]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise Unsupported(
                f"{self.path} has schema version {version}; this labdock knows up to {len(migrations)}",
                hint="it was written by a newer labdock: upgrade, or point LABDOCK_DATA at another folder",
            )
        for steps in migrations[version:]:
            for statement in steps:
                self._connection.execute(statement)
        if version < len(migrations):
            self._connection.execute(f"PRAGMA user_version = {len(migrations)}")
        self._connection.execute("COMMIT")

    def _reserve(self) -> None:
        """Have RESERVED_PAGES free pages in the file and room for them in the log. A full disk is no error here."""
        (size,) = self._connection.execute("PRAGMA page_size").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        wal = self.path.with_name(self.path.name + "-wal")
        if free >= RESERVED_PAGES and wal.exists() and wal.stat().st_size >= RESERVED_PAGES * size:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("CREATE TABLE reserve (bytes BLOB)")
            self._connection.execute("INSERT INTO reserve VALUES (zeroblob(?))", (RESERVED_PAGES * size,))
            self._connection.execute("COMMIT")
            self._connection.execute("DROP TABLE reserve")
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        except sqlite3.OperationalError as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            log.warning("%s: no reserve for a full disk: %s", self.path, error)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what happens inside. An inner transaction joins the outer one."""
        with self._lock:
            if self._depth == 0:
                self.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0 and self._connection.in_transaction:
                    self.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                try:
                    self.execute("COMMIT")
                except LabdockError:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise

    @property
    def in_transaction(self) -> bool:
        """Whether the calling thread is inside :meth:`transaction`."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._depth > 0
        finally:
            self._lock.release()

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run one statement, as its own transaction unless inside one; gives its rows."""
        with self._lock:
            try:
                return self._connection.execute(statement, parameters).fetchall()
            except sqlite3.Error as error:
                raise self._translate(error) from error

    def records(self, kind: str, type: type[T]) -> Records[T]:
        """The collection *kind*, whose values are *type* (anything msgspec can hold)."""
        return Records(self, kind, type)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _translate(self, error: sqlite3.Error) -> LabdockError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        text = f"{self.path}: {error}"
        if code == sqlite3.SQLITE_CONSTRAINT:
            return Conflict(text)
        if code == sqlite3.SQLITE_FULL:
            return StorageFull(text, hint="free some space on that disk; nothing that was recorded is lost")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Unavailable(text, hint="another process has this database: one engine runs per data folder")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return Corrupt(text, hint="move the file away and start again; images can be loaded once more")
        return SystemFailure(text)


class Records(Generic[T]):
    """Values of one kind by id, each with at most one name that is unique within the kind.

    Every method is a transaction of its own, or part of the one around it.
    """

    def __init__(self, db: Database, kind: str, type: type[T]) -> None:
        self._db = db
        self._kind = kind
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(type)

    def put(self, id: str, value: T, name: str | None = None) -> None:
        """Write *value* as *id*, over what was there; its name becomes *name* (None: none).

        Raises Conflict when another id has the name.
        """
        self._db.execute(
            "INSERT INTO records (kind, id, name, value) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (kind, id) DO UPDATE SET name = excluded.name, value = excluded.value",
            (self._kind, id, name, self._encoder.encode(value)),
        )

    def get(self, id: str) -> T | None:
        return self._one(self._select("id = ?", (id,)))

    def find_name(self, name: str) -> T | None:
        return self._one(self._select("name = ?", (name,)))

    def find_prefix(self, id_prefix: str) -> list[T]:
        """Every value whose id starts with *id_prefix*, by id."""
        return self._many(self._select("id >= ? AND id < ? ORDER BY id", (id_prefix, id_prefix + "\U0010ffff")))

    def name_of(self, id: str) -> str | None:
        rows = self._db.execute("SELECT name FROM records WHERE kind = ? AND id = ?", (self._kind, id))
        return str(rows[0][0]) if rows and rows[0][0] is not None else None

    def delete(self, id: str) -> bool:
        """Forget *id*; false when there was none."""
        rows = self._db.execute("DELETE FROM records WHERE kind = ? AND id = ? RETURNING 1", (self._kind, id))
        return bool(rows)

    def all(self) -> list[T]:
        """Every value, by id."""
        return self._many(self._select("1 ORDER BY id", ()))

    def items(self) -> list[tuple[str, T]]:
        """Every id with its value, by id."""
        rows = self._db.execute("SELECT id, value FROM records WHERE kind = ? ORDER BY id", (self._kind,))
        return [(str(id), self._decode(value)) for id, value in rows]

    def _select(self, where: str, parameters: tuple[str, ...]) -> list[Row]:
        # `where` is one of this class's own texts, never a caller's.
        return self._db.execute(f"SELECT value FROM records WHERE kind = ? AND {where}", (self._kind, *parameters))

    def _one(self, rows: list[Row]) -> T | None:
        return self._decode(rows[0][0]) if rows else None

    def _many(self, rows: list[Row]) -> list[T]:
        return [self._decode(value) for (value,) in rows]

    def _decode(self, value: object) -> T:
        assert isinstance(value, bytes)
        try:
            return self._decoder.decode(value)
        except msgspec.MsgspecError as error:
            raise Corrupt(f"{self._db.path}: a record of {self._kind} does not parse: {error}") from error
