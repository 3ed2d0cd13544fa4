"""What is there, kept current by the engine's events: one subscription a server, however many browsers look.

Nothing is subscribed to while nobody watches. A lost engine is waited for (see :mod:`labdock.jupyter.presence`),
and all is read anew when it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from labdock.client.caller import path
from labdock.errors import LabdockError, NotFound, Unavailable
from labdock.jupyter import flattening, presence
from labdock.jupyter.engine import Link
from labdock.jupyter.flattening import Wire
from labdock.jupyter.shapes import Container, Engine, Image, Network, Shape, State, Volume
from labdock.jupyter.wire import Reply
from labdock.schema.events import Event

log = logging.getLogger(__name__)

#: Seconds in which several events on one thing become one change.
MERGING = 0.015
#: Questions to the engine at the same time.
AT_ONCE = 8
#: Seconds before the next attempt when an engine that answers loses its subscribers at once, again and again.
BACK_OFF = (0.0, 0.1, 0.5, 2.0, 5.0)
#: Seconds after which a subscription counts as having held.
HELD = 10.0

#: What happens in a container without changing what is shown of it.
QUIET = ("exec_", "attach", "detach", "top", "resize", "copy", "export", "archive-path", "extract-to-dir", "commit")
KINDS = ("container", "image", "network", "volume")


class Watcher(Protocol):
    """Somebody who looks; none of these may block."""

    def show_engine(self, engine: Engine) -> None: ...

    def show_state(self, state: State) -> None: ...

    def show_change(self, kind: str, id: str, value: Shape | None) -> None: ...


class Board:
    """The engine's containers, images, networks and volumes, flat."""

    def __init__(self, link: Link, abilities: Callable[[], dict[str, bool]] = dict) -> None:
        """*abilities*: what this server can do, as members of :class:`Engine`."""
        self.link = link
        self._abilities = abilities
        self.engine: Engine | None = None
        self._watchers: set[Watcher] = set()
        self._task: asyncio.Task[None] | None = None
        self._forget()

    def _forget(self) -> None:
        self.loaded = False
        self.containers: dict[str, Container] = {}
        self._images: dict[str, Wire] = {}
        self._networks: dict[str, Wire] = {}
        self._volumes: dict[str, Wire] = {}
        self._shown: dict[tuple[str, str], Shape] = {}
        self._dirty: set[tuple[str, str]] = set()
        self._stirred = asyncio.Event()

    def join(self, watcher: Watcher) -> None:
        """Tell *watcher* how things are and whatever changes, until it leaves."""
        self._watchers.add(watcher)
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="labdock-board")
            return
        if self.engine is not None:
            watcher.show_engine(self.engine)
        if self.loaded:
            watcher.show_state(self.state())

    def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        if not self._watchers and self._task is not None:
            self._task.cancel()
            self._task, self.engine = None, None
            self._forget()

    async def close(self) -> None:
        task, self._task = self._task, None
        self._watchers.clear()
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def describe(self) -> Engine:
        """How the engine is, and what this server can do with it."""
        return self._with_abilities(await self.link.describe())

    def _with_abilities(self, engine: Engine) -> Engine:
        return msgspec.structs.replace(engine, **self._abilities())

    def state(self) -> State:
        """All that is known."""
        assert self.engine is not None
        found = self._flatten()
        return State(
            engine=self.engine,
            containers=tuple(value for value in found.values() if isinstance(value, Container)),
            images=tuple(value for value in found.values() if isinstance(value, Image)),
            networks=tuple(value for value in found.values() if isinstance(value, Network)),
            volumes=tuple(value for value in found.values() if isinstance(value, Volume)),
        )

    async def read(self) -> State:
        """All that there is now, read for this call unless somebody watches. Raises Unavailable."""
        if self.loaded:
            return self.state()
        once = Board(self.link, self._abilities)
        once.engine = await once.describe()
        if once.engine.state != "running":
            raise Unavailable(
                once.engine.message or "the engine does not run", hint=once.engine.hint or "start it first"
            )
        await once._load()
        return once.state()

    # What follows runs in the task.

    async def _follow(self) -> None:
        failures = 0
        while True:
            if not presence.listens(self.link.path):
                self._tell(await self.link.describe())
                if self.link.problem is not None:
                    return  # The environment of a server does not change.
                await presence.wait_for(self.link.path, self.link.nudge)
                continue
            began = asyncio.get_running_loop().time()
            words = "the engine is being started again"
            try:
                await self._subscribe()
            except LabdockError as error:
                log.info("the engine's events ended: %s", error)
                words = error.message if not self.loaded else words
            except Exception:
                log.exception("watching the engine failed")
            self._forget()
            if presence.listens(self.link.path):
                self._tell(Engine(state="starting", message=words))
            held = asyncio.get_running_loop().time() - began > HELD
            failures = 0 if held else min(failures + 1, len(BACK_OFF) - 1)
            await asyncio.sleep(BACK_OFF[failures - 1 if failures else 0])

    def _tell(self, engine: Engine) -> None:
        engine = self._with_abilities(engine)
        if engine != self.engine:
            self.engine = engine
            for watcher in tuple(self._watchers):
                watcher.show_engine(engine)

    async def _subscribe(self) -> None:
        """Read everything, then follow the events until they end."""
        reply = await self.link.stream("GET", "/events", {"filters": {"type": list(KINDS)}})
        async with reply:
            version = await self.link.version()
            reading = asyncio.create_task(self._read_events(reply), name="labdock-events")
            try:
                await self._load()
                self._tell(Engine(state="running", version=version))
                state = self.state()
                for watcher in tuple(self._watchers):
                    watcher.show_state(state)
                await self._refresh(reading)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _read_events(self, reply: Reply) -> None:
        decoder = msgspec.json.Decoder(Event)
        async for line in reply.lines():
            self._note(decoder.decode(line))

    def _note(self, event: Event) -> None:
        if event.type == "container":
            if event.action.startswith(QUIET):
                return
            self._dirty.add(("container", event.actor.id))
        elif event.type in KINDS:
            # Few and cheap to list; their events name them in several ways.
            self._dirty.add((event.type, ""))
            if event.type == "network" and (container := event.actor.attributes.get("container")):
                self._dirty.add(("container", container))
        self._stirred.set()

    async def _refresh(self, reading: asyncio.Task[None]) -> None:
        """Read what events touched, and tell what has changed, until *reading* ends."""
        while True:
            stirred = asyncio.ensure_future(self._stirred.wait())
            await asyncio.wait((stirred, reading), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                stirred.cancel()
                reading.result()
                return
            await asyncio.sleep(MERGING)
            self._stirred.clear()
            dirty, self._dirty = self._dirty, set()
            await self._reread(dirty)
            self._tell_changes()

    def _tell_changes(self) -> None:
        shown = self._flatten()
        changed = [(key, value) for key, value in shown.items() if _differ(self._shown.get(key), value)]
        gone = [key for key in self._shown if key not in shown]
        self._shown = shown
        for key, value in [*((key, None) for key in gone), *changed]:
            for watcher in tuple(self._watchers):
                watcher.show_change(*key, value)

    async def _load(self) -> None:
        summaries, images, networks, volumes = await asyncio.gather(
            self.link.fetch("/containers/json", {"all": True, "labdock": True}),
            self.link.fetch("/images/json"),
            self.link.fetch("/networks"),
            self.link.fetch("/volumes"),
        )
        await self._take(summaries)
        self._images = {each["Id"]: each for each in images}
        self._networks = {each["Id"]: each for each in networks}
        self._volumes = {each["Name"]: each for each in volumes.get("Volumes") or ()}
        self.loaded = True
        self._shown = self._flatten()

    async def _reread(self, dirty: set[tuple[str, str]]) -> None:
        kinds = {kind for kind, _ in dirty}
        ids = [id for kind, id in dirty if kind == "container"]
        if ids:
            query = {"all": True, "filters": {"id": ids}, "labdock": True}
            found = await self.link.fetch("/containers/json", query)
            there = {each["Id"] for each in found}
            for id in ids:
                if id not in there:
                    self.containers.pop(id, None)
            await self._take(found)
        if "image" in kinds:
            self._images = {each["Id"]: each for each in await self.link.fetch("/images/json")}
        if "network" in kinds:
            self._networks = {each["Id"]: each for each in await self.link.fetch("/networks")}
        if "volume" in kinds:
            self._volumes = {each["Name"]: each for each in (await self.link.fetch("/volumes")).get("Volumes") or ()}

    async def _take(self, summaries: list[Wire]) -> None:
        """What the engine's list says. An engine that is not labdock's leaves things out: those are asked for each."""
        words = {}
        for each in summaries:
            if "Labdock" in each:
                self.containers[each["Id"]] = flattening.flatten_summary(each)
            else:
                words[each["Id"]] = str(each.get("Status") or "")
        await self._inspect(words)

    async def _inspect(self, words: dict[str, str]) -> None:
        """Read the containers that *words* (id → Docker's status) names; what is gone meanwhile is dropped."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def inspect(id: str) -> None:
            async with limit:
                try:
                    found = await self.link.fetch(path("containers", id, "json"))
                except NotFound:
                    self.containers.pop(id, None)
                    return
            self.containers[id] = flattening.flatten_container(found, words[id])

        await asyncio.gather(*(inspect(id) for id in words))

    def _flatten(self) -> dict[tuple[str, str], Shape]:
        """Everything by kind and id; what things say of each other is made here."""
        used: dict[str, int] = {}
        members: dict[str, list[str]] = {}
        holders: dict[str, list[str]] = {}
        found: dict[tuple[str, str], Shape] = {}
        for id, container in self.containers.items():
            found["container", id] = container
            used[container.image_id] = used.get(container.image_id, 0) + 1
            for name in container.networks:
                members.setdefault(name, []).append(id)
            for name in {mount.source for mount in container.mounts if mount.type == "volume"}:
                holders.setdefault(name, []).append(id)
        for id, image in self._images.items():
            found["image", id] = flattening.flatten_image(image, used.get(id, 0))
        for id, network in self._networks.items():
            found["network", id] = flattening.flatten_network(network, tuple(sorted(members.get(network["Name"], ()))))
        for name, volume in self._volumes.items():
            found["volume", name] = flattening.flatten_volume(volume, tuple(sorted(holders.get(name, ()))))
        return found


def _differ(before: Shape | None, after: Shape) -> bool:
    # Containers that no event touched are the same objects: nothing to compare.
    return before is not after and before != after
