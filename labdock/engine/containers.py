"""Containers: what the API asks of them. Each method names one of Docker's verbs."""

from __future__ import annotations

import asyncio
import builtins
import os
import signal as signals
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import msgspec

from labdock.engine import caveats, creation, linking, mounts, updates, views
from labdock.engine.attachments import Session
from labdock.engine.lifecycle import ALIVE, Status, Verb, follow
from labdock.engine.listing import Listing
from labdock.engine.logging_options import find_details
from labdock.engine.names import check_name, pick_name
from labdock.engine.output import LogSource
from labdock.engine.processes import list_processes
from labdock.engine.removal import Removal
from labdock.engine.rooms import Rooms
from labdock.engine.signals import parse_signal, stop_signal
from labdock.engine.waits import Condition, WaitResult, Waits
from labdock.errors import Conflict, InvalidRequest, NoSuchImage
from labdock.schema.container import CreateRequest
from labdock.schema.ids import new_id
from labdock.store.intents import Action

Wire = dict[str, Any]
STOP_TIMEOUT = 10
#: So long after its start, in ns, a container's log is given some time to fill (see output.LogSource).
FRESH = 100_000_000


@dataclass(frozen=True, slots=True)
class Created:
    id: str
    warnings: tuple[str, ...]


class Containers:
    """The container use cases. A *ref* is a name, an id or an unambiguous id prefix."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._ledger = rooms.ledger
        self._supervisor = rooms.supervisor
        self._listing = Listing(rooms.ledger, rooms.images, rooms.snapshotter, rooms.volumes)
        self._waits = Waits(rooms.ledger, rooms.supervisor)
        self.removal = Removal(rooms, self._listing, self._waits)

    # -- create and remove ------------------------------------------------------------------------

    async def create(self, request: CreateRequest, sent: Wire, name: str | None, platform: str | None) -> Created:
        """Make a container of an image that is here. NoSuchImage, Conflict (name), InvalidRequest."""
        rooms = self._rooms
        if name:
            name = check_name(name)
            self._ledger.check_free(name)
        image = await rooms.find_image(request.image or "")
        if image is None:
            raise NoSuchImage(request.image or "", hint="`labdock images` lists what is here")
        container = new_id()
        inherited = mounts.inherit(
            (request.host_config and request.host_config.volumes_from) or (), lambda ref: self._ledger.get(ref).mounts
        )
        record = creation.build_record(
            request,
            sent,
            container=container,
            name=name or pick_name(self._ledger.has_name),
            created=time.time_ns(),
            image_id=image.id,
            image=image.config,
            inherited=inherited,
        )
        creation.bindings_of(record)
        endpoints = (sent.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
        record, warnings = rooms.stage.places.plan(record, endpoints)
        rooms.stage.check(record)
        parent = rooms.images.unpack(image)
        own = [mount.volume for mount in record.mounts if mount.anonymous]
        intent = rooms.intents.begin(Action.CONTAINER_CREATE, container, volumes=own)
        try:
            with rooms.volumes.hold([m.volume for m in record.mounts if m.volume], container):
                if rooms.snapshotter.quick:
                    rooms.snapshotter.prepare(container, parent)
                else:
                    await asyncio.to_thread(rooms.snapshotter.prepare, container, parent)
                await rooms.stage.populate(record)
                self._ledger.check_free(record.name)
                with rooms.database.transaction():
                    self._ledger.put(record)
                    intent.done()
        except BaseException:
            await self.removal.undo_creation(intent)
            raise
        self._supervisor.emit(record, "create")
        warnings = (*caveats.warn(record.host, controls=rooms.controls), *warnings)
        return Created(container, (*warnings, *mounts.warn(record.mounts), *rooms.stage.sources.warn(record)))

    async def remove(self, ref: str, force: bool, volumes: bool, link: bool) -> None:
        """See :meth:`labdock.engine.removal.Removal.remove`."""
        await self.removal.remove(ref, force, volumes, link)

    async def prune(self, filters: dict[str, builtins.list[str]]) -> Wire:
        """Remove all containers that do not run. Filters: until, label, label!."""
        return await self.removal.prune(filters)

    # -- life -------------------------------------------------------------------------------------

    async def start(self, ref: str, detach_keys: str = "") -> bool:
        """False when it runs already."""
        record = self._ledger.get(ref)
        if record.state.status == Status.PAUSED:
            raise Conflict("cannot start a paused container, try unpause instead")
        return await self._supervisor.start(record.id)

    async def stop(self, ref: str, timeout: int | None = None, signal: str | None = None) -> bool:  # noqa: ASYNC109
        """False when it did not run. *timeout* in seconds, -1: wait for ever."""
        record = self._ledger.get(ref)
        wait = record.config.stop_timeout if timeout is None else timeout
        wait = STOP_TIMEOUT if wait is None else wait
        number = parse_signal(signal) if signal else stop_signal(record)
        return await self._supervisor.stop(record.id, None if wait < 0 else wait, number)

    async def restart(self, ref: str, timeout: int | None = None, signal: str | None = None) -> None:  # noqa: ASYNC109
        """Stop and start. An auto-removed container stays for it."""
        record = self._ledger.get(ref)
        live = self._supervisor.live(record.id)
        live.starts_again += 1
        try:
            await self.stop(record.id, timeout, signal)
            await self._supervisor.start(record.id)
        finally:
            live.starts_again -= 1
        self._supervisor.emit(self._ledger.get(record.id), "restart")

    async def kill(self, ref: str, signal: str | None) -> None:
        """Send a signal (SIGKILL by default). Conflict when it does not run."""
        record = self._ledger.get(ref)
        number = parse_signal(signal or "SIGKILL")
        if record.state.status not in (Status.RUNNING, Status.PAUSED):
            raise Conflict(f"cannot kill container: {ref}: container {record.id} is not running")
        live = self._supervisor.live(record.id)
        if number in (signals.SIGKILL, signals.SIGTERM, stop_signal(record)):
            self._ledger.observe(record.evolve(by_user=True))
        await self._rooms.driver.signal(record.id, number)
        self._supervisor.emit(record, "kill", signal=str(number))
        if number == signals.SIGKILL:
            # Docker answers when the container is gone.
            await self._supervisor.wait_killed(record.id, live.ended)

    async def pause(self, ref: str) -> None:
        record = self._ledger.get(ref)
        async with self._supervisor.live(record.id).lock:
            record = self._ledger.get(record.id)
            if record.state.status == Status.PAUSED:
                raise Conflict(f"Container {record.id} is already paused")
            if record.state.status == Status.RESTARTING:
                raise Conflict(f"Container {record.id} is restarting, wait until the container is running")
            if record.state.status != Status.RUNNING:
                raise Conflict(f"Container {record.id} is not running")
            await self._rooms.driver.pause(record.id)
            self._follow(record.id, Verb.PAUSE)
        self._supervisor.emit(record, "pause")

    async def unpause(self, ref: str) -> None:
        record = self._ledger.get(ref)
        async with self._supervisor.live(record.id).lock:
            record = self._ledger.get(record.id)
            if record.state.status != Status.PAUSED:
                raise Conflict(f"Container {record.id} is not paused")
            await self._rooms.driver.resume(record.id)
            self._follow(record.id, Verb.UNPAUSE)
        self._supervisor.emit(record, "unpause")

    def _follow(self, container: str, verb: Verb) -> None:
        """Record what was done to *container*, which may have ended meanwhile (Conflict)."""
        record = self._ledger.get(container)
        self._ledger.put(record.evolve(status=follow(record.state.status, verb, container)))

    async def rename(self, ref: str, name: str) -> None:
        record = self._ledger.get(ref)
        name = check_name(name)
        if name == record.name:
            raise InvalidRequest("Renaming a container with the same name as its current name")
        self._ledger.check_free(name)
        self._ledger.put(msgspec.structs.replace(record, name=name))
        self._rooms.stage.places.rename(record, name)
        self._supervisor.emit(self._ledger.get(record.id), "rename", oldName=f"/{record.name}")

    async def update(self, ref: str, sent: Wire) -> builtins.list[str]:
        """Change limits and the restart policy, of a running container at once. Warnings."""
        rooms = self._rooms
        record = self._ledger.get(ref)
        changed, warnings = updates.change(record, sent, available=os.sched_getaffinity(0), controls=rooms.controls)
        self._ledger.put(changed)
        if changed.state.status in (Status.RUNNING, Status.PAUSED):
            await rooms.enforcer.change(changed)
        self._supervisor.emit(changed, "update")
        return warnings

    def prepare_wait(self, ref: str, condition: Condition) -> Awaitable[WaitResult]:
        """See :meth:`labdock.engine.waits.Waits.prepare`."""
        return self._waits.prepare(ref, condition)

    def are_alive(self) -> bool:
        """Whether any runs, is paused or waits for its restart."""
        return any(record.state.status in ALIVE for record in self._ledger)

    # -- looking ----------------------------------------------------------------------------------

    async def inspect(self, ref: str, size: bool = False) -> Wire:
        record = self._ledger.get(ref)
        rooms = self._rooms
        shown = views.show_container(
            record,
            data=str(rooms.folder / record.id),
            volumes=str(rooms.volumes.folder),
            netns=rooms.stage.netns_of(record),
            driver=rooms.snapshotter.name,
            execs=rooms.stage.execs_of(record.id) or None,
        )
        if record.links or record.network == "bridge":
            shown["HostConfig"]["Links"] = linking.shown(record, self._ledger)
        if size:
            shown |= (await self._listing.measure([record]))[0]
        return shown

    async def list(
        self,
        all: bool,
        limit: int | None,
        size: bool,
        filters: dict[str, builtins.list[str]],
        detailed: bool = False,
    ) -> builtins.list[Wire]:
        """See :class:`labdock.engine.listing.Listing`."""
        return await self._listing.show(all, limit, size, filters, detailed)

    async def top(self, ref: str, ps_args: str) -> Wire:
        """The container's processes, by ps(1) of the sandbox, its numbers as the engine sees them."""
        record = self._ledger.get(ref)
        if record.state.status == Status.RESTARTING:
            raise Conflict(f"Container {record.id} is restarting, wait until the container is running")
        if record.state.status not in (Status.RUNNING, Status.PAUSED):
            raise Conflict(f"Container {record.id} is not running")
        found = await self._rooms.driver.survey([record.id])
        return await asyncio.to_thread(list_processes, found.get(record.id, []), ps_args)

    def log_source(self, ref: str) -> LogSource:
        """Where its log is read from; raises at once for an unknown container."""
        record = self._ledger.get(ref)
        if record.host.log_config and record.host.log_config.type == "none":
            raise InvalidRequest("configured logging driver does not support reading")
        live = self._supervisor.live(record.id)
        return LogSource(
            tty=record.tty,
            path=self._rooms.folder / record.id / "log",
            ended=live.ended if record.state.status in ALIVE else None,
            fresh_until=record.state.started + FRESH,
            details=find_details(record),
        )

    # -- streams ----------------------------------------------------------------------------------

    async def attach(
        self, ref: str, stdin: bool, stdout: bool, stderr: bool, logs: bool, stream: bool, detach_keys: str
    ) -> Session:
        """A session on its streams. Before start it waits for the program."""
        record = self._ledger.get(ref)
        if record.state.status == Status.PAUSED:
            raise Conflict(f"container {record.id} is paused, unpause the container before attach")
        takes_stdin = bool(stdin and record.config.open_stdin)
        session = Session(record.tty, takes_stdin, stdout, stderr, keeps_stdin=not record.config.stdin_once)
        live = self._supervisor.live(record.id)
        if logs:
            session.log_only = stream and live.monitored is not None
            session.logged = self.log_source(record.id).pieces(stdout, stderr, follow=session.log_only)
        if not stream:
            session.end()
        elif live.monitored is not None:
            shown = not session.log_only
            attachment = await live.monitored.attach(
                stdin=session.stdin, stdout=stdout and shown, stderr=stderr and shown
            )
            await session.bind(attachment, live.ended)
        else:
            live.sessions.append(session)
        self._supervisor.emit(record, "attach")
        return session

    async def resize(self, ref: str, rows: int, columns: int) -> None:
        record = self._ledger.get(ref)
        live = self._supervisor.live(record.id)
        if live.monitored is None:
            raise Conflict(f"cannot resize a stopped container: container {record.id} is not running")
        await live.monitored.resize(rows, columns)
