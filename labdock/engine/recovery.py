"""What the engine does before it serves: look at what is there, finish or undo what was begun, adopt what runs.

Nothing here trusts a record alone. A container that is recorded as running is adopted from its monitor, or its
exit is read from the monitor's exit file, or, when the sandbox is another one, its end is recorded with the reason.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass

from labdock.engine import commits
from labdock.engine.containers import Containers
from labdock.engine.lifecycle import ALIVE, Status, Verb, follow
from labdock.engine.records import ContainerRecord
from labdock.engine.restarts import wants_start
from labdock.engine.rooms import Rooms
from labdock.errors import LabdockError, NotFound
from labdock.runtime import Exit
from labdock.store.intents import Action, Intent
from labdock.store.snapshots import Kind

log = logging.getLogger("labdock.engine")

#: What is recorded for a container whose sandbox ended: 128 + SIGKILL.
LOST = 137
LOST_REASON = "its sandbox ended before it did (the engine's outer process, or the machine, was stopped)"
EMPTY_REASON = "its files are gone: the machine lost power before they were on disk; remove it and create it again"
GONE_REASON = "it and its monitor were gone when the engine came back"


@dataclass(slots=True)
class Repaired:
    """What was done, for the log and the tests."""

    adopted: int = 0
    ended: int = 0
    undone: int = 0
    removed: int = 0


async def recover(rooms: Rooms, containers: Containers, *, fresh: bool) -> Repaired:
    """Repair. *fresh*: the sandbox is a new one, so nothing of before can still run."""
    done = Repaired()
    rooms.snapshotter.recover()
    rooms.volumes.recover()
    intents = rooms.intents.open()
    starting = {intent.subject: intent for intent in intents if intent.action == Action.CONTAINER_START}
    restarts = []
    alive = []
    for record in rooms.ledger:
        if record.id in starting:
            record = await _settle_start(rooms, record, starting[record.id], fresh, done)
        elif record.state.status in ALIVE:
            record = await _adopt(rooms, record, fresh, done)
        if fresh and record.state.status != Status.DEAD:
            record = _look_for_files(rooms, record)
        if record.state.status in (Status.RUNNING, Status.PAUSED):
            alive.append(record.id)
        elif fresh and record.state.status == Status.EXITED and wants_start(record):
            again = follow(record.state.status, Verb.BACK_OFF, record.id)
            restarts.append(rooms.ledger.put(record.evolve(status=again)))
        elif record.state.status == Status.RESTARTING:
            restarts.append(record)
    for intent in intents:
        await _settle(rooms, containers, intent, done)
    await rooms.stage.restore(alive)
    await _sweep(rooms)
    for record in rooms.ledger:
        if record.host.auto_remove and record.state.status in (Status.EXITED, Status.DEAD):
            await containers.remove(record.id, force=False, volumes=True, link=False)
    for record in restarts:
        rooms.supervisor.restart_later(record, rooms.supervisor.live(record.id))
    log.info(
        "recovered: %d adopted, %d ended meanwhile, %d undone, %d removed",
        done.adopted,
        done.ended,
        done.undone,
        done.removed,
    )
    return done


async def _adopt(rooms: Rooms, record: ContainerRecord, fresh: bool, done: Repaired) -> ContainerRecord:
    """A container that was running when its engine ended."""
    if record.state.status == Status.RESTARTING:
        return record
    found = None if fresh else await rooms.driver.adopt(record.id, rooms.stage.bundle_folder(record.id))
    if found is None:
        done.ended += 1
        reason = LOST_REASON if fresh else GONE_REASON
        lost = rooms.supervisor.record_exit(record.id, Exit(LOST, time.time_ns(), reason=reason))
        await _clear(rooms, record)
        return lost
    if isinstance(found, Exit):
        done.ended += 1
        ended = rooms.supervisor.record_exit(record.id, found)
        await _clear(rooms, record)
        return ended
    done.adopted += 1
    rooms.supervisor.supervise(record, found)
    return record


def _look_for_files(rooms: Rooms, record: ContainerRecord) -> ContainerRecord:
    """Two databases lose their last moments each for itself: a container may be recorded whose snapshot is not."""
    try:
        rooms.snapshotter.stat(record.id)
    except NotFound:
        log.error("container %s: %s", record.id[:12], EMPTY_REASON)
        if record.state.status == Status.RESTARTING:
            record = record.evolve(status=follow(record.state.status, Verb.EXIT, record.id))
        dead = follow(record.state.status, Verb.GIVE_UP, record.id)
        return rooms.ledger.put(record.evolve(status=dead, error=EMPTY_REASON))
    return record


async def _settle_start(
    rooms: Rooms, record: ContainerRecord, intent: Intent, fresh: bool, done: Repaired
) -> ContainerRecord:
    """The engine was killed while starting *record*: its client has no answer. Undo it all.

    A start that its restart policy wanted has no client; it is tried again.
    """
    done.undone += 1
    await _clear(rooms, record)
    by_policy = record.state.status == Status.RESTARTING
    with rooms.database.transaction():
        undone = record.evolve(
            pid=0,
            error="" if by_policy else "the engine was killed while it started this container; start it again",
        )
        rooms.ledger.put(rooms.stage.note(undone, (), {}))
        intent.done()
    return rooms.ledger.get(record.id)


async def _clear(rooms: Rooms, record: ContainerRecord) -> None:
    await rooms.driver.delete(record.id)
    await rooms.stage.tear_down(record)


async def _settle(rooms: Rooms, containers: Containers, intent: Intent, done: Repaired) -> None:
    if intent.action == Action.CONTAINER_CREATE:
        if rooms.ledger.has_id(intent.subject):
            intent.done()
        else:
            done.undone += 1
            await containers.removal.undo_creation(intent)
    elif intent.action == Action.CONTAINER_REMOVE:
        done.removed += 1
        await containers.removal.finish(intent)
    elif intent.action == Action.CONTAINER_COMMIT:
        await commits.settle(rooms.driver, intent)
    elif intent.action.startswith("network."):
        await rooms.settle_network(intent)


async def _sweep(rooms: Rooms) -> None:
    """Snapshots that no container stands on (build steps, creates that never became a record), folders of nobody."""
    for name in os.listdir(rooms.folder):
        if not rooms.ledger.has_id(name):
            await rooms.stage.forget(name)
    for info in list(rooms.snapshotter.walk()):
        if info.kind is not Kind.COMMITTED and not rooms.ledger.has_id(info.key):
            _drop(rooms, info.key)


def _drop(rooms: Rooms, key: str) -> None:
    try:
        rooms.snapshotter.remove(key)
    except NotFound:
        return
    except LabdockError as error:
        log.warning("removing the left-over snapshot %s: %s", key, error)
