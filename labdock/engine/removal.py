"""Removing containers: announced first, cleaned up after, finished by the next engine when this one is killed."""

from __future__ import annotations

import asyncio
import contextlib
import signal as signals
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from labdock.engine import linking
from labdock.engine.lifecycle import ALIVE, Verb, follow
from labdock.engine.listing import Listing
from labdock.engine.live import Live
from labdock.engine.records import ContainerRecord
from labdock.engine.rooms import Rooms
from labdock.engine.waits import Waits
from labdock.errors import Conflict
from labdock.store.intents import Action, Intent, fail_at

Wire = dict[str, Any]


class Removal:
    """The use cases ``rm`` and ``container prune``, and what follows the end of an auto-removed container."""

    def __init__(self, rooms: Rooms, listing: Listing, waits: Waits) -> None:
        self._rooms = rooms
        self._ledger = rooms.ledger
        self._supervisor = rooms.supervisor
        self._listing = listing
        self._waits = waits
        rooms.supervisor.remove = self._remove_ended

    async def remove(self, ref: str, force: bool, volumes: bool, link: bool) -> None:
        """Remove a container that does not run, or with *force* kill it first. *link*: only a link, "NAME/ALIAS"."""
        if link:
            name, _, alias = ref.removeprefix("/").rpartition("/")
            record = self._ledger.get(name)
            self._ledger.put(msgspec.structs.replace(record, links=linking.unlink(record, alias)))
            return
        record = self._ledger.get(ref)
        if record.state.status in ALIVE:
            if not force:
                raise _still_runs(record)
            await self._supervisor.stop(record.id, 0, signals.SIGKILL)
        cleaning = await self._remove(record.id, volumes)
        if volumes and cleaning is not None and any(mount.anonymous for mount in record.mounts):
            # Whoever asked for them to go lists volumes next.
            await asyncio.wait([cleaning])

    async def _remove_ended(self, container: str) -> None:
        await self._remove(container, volumes=True)

    async def _remove(self, container: str, volumes: bool) -> asyncio.Task[None] | None:
        """Announce first (the record goes, the name is free), clean after, in a task that a restart finishes."""
        live = self._supervisor.live(container)
        async with self._settled(live):
            if not self._ledger.has_id(container):
                return None
            record = self._ledger.get(container)
            if record.state.status in ALIVE:
                raise _still_runs(record)
            follow(record.state.status, Verb.REMOVE, record.id)
            mounted = [mount.volume for mount in record.mounts if mount.volume] if volumes else []
            intent = self._rooms.intents.begin(Action.CONTAINER_REMOVE, container, volumes=mounted)
            self._ledger.delete(container)
            fail_at("remove:unlisted")
            self._waits.bury(record)
        for future in live.removals:
            if not future.done():
                future.set_result(record)
        for session in live.sessions:
            session.end()
        self._supervisor.forget(container)
        self._supervisor.emit(record, "destroy")
        work = self._clean(record, mounted, intent.done, live.lock)
        return self._supervisor.spawn(work, f"cleaning up container {container[:12]}")

    @staticmethod
    @contextlib.asynccontextmanager
    async def _settled(live: Live) -> AsyncIterator[None]:
        """Nothing happens to the container meanwhile (no ``await`` inside), but that an ended one is cleaned up."""
        if live.releasing is not None:
            await live.releasing.wait()
        if live.releasing is not None:
            # Still under the lock of who cleans up: nobody else has begun anything.
            yield
            return
        async with live.lock:
            yield

    async def _clean(self, record: ContainerRecord, volumes: Sequence[str], done: Any, lock: asyncio.Lock) -> None:
        async with lock:
            await self._rooms.driver.delete(record.id)
            await self._rooms.stage.tear_down(record)
            await self._forget(record.id, volumes, done)

    async def _forget(self, container: str, volumes: Sequence[str], done: Any) -> None:
        self._rooms.discard(container)
        await self._rooms.stage.forget(container)
        await self._rooms.volumes.drop_anonymous(volumes)
        done()

    async def finish(self, intent: Intent) -> None:
        """At start: do again what a killed engine had begun to remove, the anonymous volumes too."""
        container = intent.subject
        record = self._ledger.get(container) if self._ledger.has_id(container) else None
        await self._rooms.driver.delete(container)
        if record is not None:
            self._ledger.delete(container)
            await self._rooms.stage.tear_down(record)
        else:
            await self._rooms.stage.tear_down_id(container)
        volumes = intent.detail.get("volumes")
        # An earlier version wrote whether, and not which.
        names = [str(name) for name in volumes] if isinstance(volumes, list) else []
        await self._forget(container, names, intent.done)

    async def undo_creation(self, intent: Intent) -> None:
        """Of a container that never became a record, nothing stays, nor of its anonymous volumes."""
        self._rooms.discard(intent.subject)
        await self._rooms.volumes.drop_anonymous(intent.detail.get("volumes", ()))
        intent.done()

    async def prune(self, filters: dict[str, list[str]]) -> Wire:
        """Remove all containers that do not run. Filters: until, label, label!."""
        gone, freed = [], 0
        for record in self._listing.prunable(filters):
            size = await asyncio.to_thread(self._listing.own_size, record)
            with contextlib.suppress(Conflict):  # started again meanwhile
                await self._remove(record.id, volumes=False)
                gone.append(record.id)
                freed += size
        return {"ContainersDeleted": gone or None, "SpaceReclaimed": freed}


def _still_runs(record: ContainerRecord) -> Conflict:
    return Conflict(
        f'cannot remove container "{record.id}": container is {record.state.status}: '
        "Stop the container before attempting removal or force remove",
        hint=f"docker rm -f {record.name}",
    )
