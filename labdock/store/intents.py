"""Intents: what is about to be done, written down before it is done, so that a start after a kill can finish it.

The order is *intent, act, fact*: :meth:`Intents.begin` commits the intent; then the act; then one transaction
writes the fact and calls :meth:`Intent.done`. Whoever finds an open intent at the start looks at what is
really there and decides; an act may have happened or not.

Fault tests set ``LABDOCK_FAILPOINTS`` to a folder: a file in it called ``recorded:ACTION`` makes the process kill
itself right after such an intent is on disk, ``acted:ACTION`` right before the fact is written. The file goes first,
so the next process lives. With the word ``stop`` in the file the process stops there instead (SIGSTOP), so that
somebody else can be killed at that moment.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from labdock.store.metadata import Database


class Action(StrEnum):
    """All that is ever begun with an intent. Each has its row in the fault tests (``tests/system/faults.py``)."""

    CONTAINER_CREATE = "container.create"
    CONTAINER_START = "container.start"
    CONTAINER_COMMIT = "container.commit"
    CONTAINER_REMOVE = "container.remove"
    NETWORK_CREATE = "network.create"
    NETWORK_CONNECT = "network.connect"
    NETWORK_DISCONNECT = "network.disconnect"
    NETWORK_REMOVE = "network.remove"
    VOLUME_CREATE = "volume.create"
    VOLUME_REMOVE = "volume.remove"


@dataclass(frozen=True, slots=True)
class Intent:
    """An open intent: *action* on *subject* (an id or a name), with *detail* in JSON's types.

    *action* is an :class:`Action`; one that another version wrote may be none of them.
    """

    number: int
    action: str
    subject: str
    detail: dict[str, Any]
    time_ns: int
    _db: Database

    def done(self) -> None:
        """Close it: called inside the transaction that writes the fact (or that records the giving up)."""
        fail_at(f"acted:{self.action}")
        self._db.execute("DELETE FROM intents WHERE number = ?", (self.number,))


class Intents:
    """All intents of one database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def begin(self, action: Action, subject: str, **detail: Any) -> Intent:
        """Write down that *action* on *subject* is about to happen; on disk when this returns.

        Not inside a transaction: it would be on disk only after the act.
        """
        if self._db.in_transaction:
            raise RuntimeError(f"the intent {action} on {subject} began inside a transaction")
        now = time.time_ns()
        rows = self._db.execute(
            "INSERT INTO intents (action, subject, detail, time_ns) VALUES (?, ?, ?, ?) RETURNING number",
            (action, subject, msgspec.json.encode(detail), now),
        )
        fail_at(f"recorded:{action}")
        number = rows[0][0]
        assert isinstance(number, int)
        return Intent(number, action, subject, detail, now, self._db)

    def open(self) -> list[Intent]:
        """The intents that were not done, oldest first."""
        rows = self._db.execute("SELECT number, action, subject, detail, time_ns FROM intents ORDER BY number")
        return [
            Intent(int(str(number)), str(action), str(subject), _read(detail), int(str(began)), self._db)
            for number, action, subject, detail, began in rows
        ]


def _read(detail: object) -> dict[str, Any]:
    assert isinstance(detail, bytes)
    return msgspec.json.decode(detail, type=dict[str, Any])


def fail_at(point: str) -> None:
    """Die by SIGKILL when *point* is armed, as a power cut would have it, or stop there."""
    folder = os.environ.get("LABDOCK_FAILPOINTS")
    if folder is None:
        return
    armed = os.path.join(folder, point)
    try:
        with open(armed, encoding="ascii") as file:
            word = file.read(8).strip()
        os.unlink(armed)
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGSTOP if word == "stop" else signal.SIGKILL)
