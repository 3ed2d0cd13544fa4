"""Records, transactions, migrations, intents and failpoints."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from labdock.errors import Conflict, Corrupt, Unavailable, Unsupported
from labdock.store import metadata
from labdock.store.intents import Action, Intents
from labdock.store.metadata import Database, Records


class Thing(msgspec.Struct, frozen=True):
    id: str
    state: str = "new"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "deep" / "labdock.db")
    yield opened
    opened.close()


@pytest.fixture
def things(db: Database) -> Records[Thing]:
    return db.records("things", Thing)


def test_values_come_back_by_id_name_and_prefix(things: Records[Thing]) -> None:
    things.put("abc1", Thing("abc1"), "web")
    things.put("abd2", Thing("abd2"))
    assert things.get("abc1") == Thing("abc1")
    assert things.get("ab") is None
    assert things.find_name("web") == Thing("abc1")
    assert things.name_of("abc1") == "web" and things.name_of("abd2") is None
    assert [t.id for t in things.find_prefix("ab")] == ["abc1", "abd2"]
    assert [t.id for t in things.find_prefix("abd")] == ["abd2"]
    assert [t.id for t in things.find_prefix("a%")] == []
    assert things.items() == [("abc1", Thing("abc1")), ("abd2", Thing("abd2"))]
    assert things.delete("abc1") and not things.delete("abc1")
    assert things.all() == [Thing("abd2")]


def test_a_name_is_unique_within_its_kind_and_moves_with_a_put(db: Database, things: Records[Thing]) -> None:
    things.put("1", Thing("1"), "web")
    with pytest.raises(Conflict):
        things.put("2", Thing("2"), "web")
    assert things.get("2") is None
    db.records("others", Thing).put("2", Thing("2"), "web")
    things.put("1", Thing("1", "old"), "renamed")
    things.put("2", Thing("2"), "web")
    assert things.find_name("renamed") == Thing("1", "old")


def test_a_transaction_is_all_or_nothing_and_inner_ones_join(db: Database, things: Records[Thing]) -> None:
    with pytest.raises(KeyError), db.transaction():
        things.put("1", Thing("1"))
        with db.transaction():
            things.put("2", Thing("2"))
        raise KeyError
    assert things.all() == []
    with db.transaction():
        things.put("1", Thing("1"), "web")
        with pytest.raises(Conflict):
            things.put("2", Thing("2"), "web")
    assert [t.id for t in things.all()] == ["1"]


def test_a_database_belongs_to_one_process_at_a_time(db: Database, things: Records[Thing]) -> None:
    things.put("1", Thing("1"))
    other = sqlite3.connect(db.path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM records")
    other.close()


def test_a_busy_database_says_who_may_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labdock.store.metadata.sqlite3.connect", _impatient(sqlite3.connect))
    first = Database(tmp_path / "x.db")
    with pytest.raises(Unavailable) as raised:
        Database(tmp_path / "x.db")
    assert "one engine" in (raised.value.hint or "")
    first.close()


def _impatient(connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
    def call(path: Path, **options: object) -> sqlite3.Connection:
        return connect(path, **{**options, "timeout": 0.0})

    return call


def test_what_is_no_database_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(Corrupt, match=r"x\.db"):
        Database(tmp_path / "x.db")


def test_a_record_that_does_not_parse_is_corrupt(db: Database) -> None:
    db.records("things", int).put("1", 5)
    with pytest.raises(Corrupt, match="things"):
        db.records("things", Thing).get("1")


def test_migrations_run_once_in_order_and_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    first = (*metadata.MIGRATIONS,)
    second = (*first, ("CREATE TABLE extra (a TEXT)", "INSERT INTO extra VALUES ('once')"))
    old = Database(path, first)
    old.records("things", Thing).put("1", Thing("1"))
    old.close()
    for _ in range(2):
        new = Database(path, second)
        assert new.execute("SELECT a FROM extra") == [("once",)]
        assert new.records("things", Thing).all() == [Thing("1")]
        new.close()
    with pytest.raises(Unsupported) as raised:
        Database(path, first)
    assert "newer" in (raised.value.hint or "")


def test_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    Database(path).close()
    with pytest.raises(Exception, match="nowhere"):
        Database(path, (*metadata.MIGRATIONS, ("CREATE TABLE extra (a TEXT)", "INSERT INTO nowhere VALUES (1)")))
    again = Database(path)
    assert again.execute("SELECT name FROM sqlite_master WHERE name = 'extra'") == []
    again.close()


def test_intents_stay_open_until_done(db: Database, things: Records[Thing]) -> None:
    intents = Intents(db)
    begun = intents.begin(Action.CONTAINER_START, "abc", attempt=1)
    intents.begin(Action.CONTAINER_REMOVE, "def")
    assert [(i.action, i.subject, i.detail) for i in intents.open()] == [
        ("container.start", "abc", {"attempt": 1}),
        ("container.remove", "def", {}),
    ]
    with pytest.raises(KeyError), db.transaction():
        begun.done()
        raise KeyError
    assert len(intents.open()) == 2
    with db.transaction():
        things.put("abc", Thing("abc", "running"))
        begun.done()
    assert [i.action for i in intents.open()] == ["container.remove"]
    intents.open()[0].done()
    assert intents.open() == []


def test_an_intent_cannot_begin_inside_a_transaction(db: Database) -> None:
    with pytest.raises(RuntimeError, match="inside a transaction"), db.transaction():
        Intents(db).begin(Action.CONTAINER_START, "abc")


@pytest.mark.parametrize("point", ["recorded:container.start", "acted:container.start"])
def test_failpoints_kill_and_the_intent_is_found_again(tmp_path: Path, point: str) -> None:
    (tmp_path / point).touch()
    pid = os.fork()
    if pid == 0:
        os.environ["LABDOCK_FAILPOINTS"] = str(tmp_path)
        child = Database(tmp_path / "x.db")
        begun = Intents(child).begin(Action.CONTAINER_START, "abc")
        with child.transaction():
            child.records("things", Thing).put("abc", Thing("abc"))
            begun.done()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert not (tmp_path / point).exists()
    again = Database(tmp_path / "x.db")
    assert [(i.action, i.subject) for i in Intents(again).open()] == [("container.start", "abc")]
    assert again.records("things", Thing).get("abc") is None
    again.close()
