"""Where volumes' data is while somebody uses it: mounted by a driver if need be, held, filled."""

from __future__ import annotations

import asyncio
import builtins
import logging
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from labdock.engine import filling, volume_drivers
from labdock.engine.records import MountPoint, VolumeRecord
from labdock.engine.volume_drivers import VolumeDriver
from labdock.errors import Conflict, LabdockError, NoSuchVolume
from labdock.schema.ids import new_id
from labdock.store.content import translate
from labdock.store.metadata import Database

Wire = dict[str, Any]
LOCAL = "local"
#: Runs work as a task of the engine's, with what it is for its log.
Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

log = logging.getLogger("labdock.engine")


class Holding(msgspec.Struct, frozen=True):
    """That a driver mounted *volume* for *container*: kept until it has unmounted it."""

    volume: str
    container: str
    driver: str


class Drivers(Protocol):
    """The volume drivers there are besides ``local``."""

    async def find(self, name: str) -> VolumeDriver:
        """Raises NotFound in Docker's words, or what the plugin failed with."""

    async def list(self) -> tuple[builtins.list[tuple[str, Wire]], builtins.list[str]]:
        """The volumes that all of them know, as (driver, volume), and warnings about those that did not answer."""

    def names(self) -> builtins.list[str]:
        """Of those that were found on this machine."""


class VolumePlaces:
    """The part of :class:`~labdock.engine.volumes.Volumes` that knows where the data is."""

    def __init__(self, database: Database, folder: Path, drivers: Drivers, spawn: Spawn) -> None:
        self.folder = folder
        self._records = database.records("volumes", VolumeRecord)
        self._holdings = database.records("volume-holdings", Holding)
        self._drivers = drivers
        self._spawn = spawn
        self._held: dict[str, list[str]] = {}
        self._places: dict[str, Path] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def restore(self, alive: Sequence[str]) -> None:
        """After a start: let go of what drivers mounted for containers that do not run any more."""
        for holding in self._holdings.all():
            if holding.container not in alive:
                self._leave(holding)

    @property
    def drivers(self) -> builtins.list[str]:
        """The names of the volume drivers on this machine."""
        return [LOCAL, *self._drivers.names()]

    @contextmanager
    def hold(self, names: Iterable[str], container: str) -> Iterator[None]:
        """While *container* is being made, the volumes *names* can't be removed."""
        names = list(names)
        for name in names:
            self._held.setdefault(name, []).append(container)
        try:
            yield
        finally:
            for name in names:
                self._held[name].remove(container)
                if not self._held[name]:
                    del self._held[name]

    def data(self, name: str) -> Path:
        """The folder with the data of *name*, as far as it is one of this machine's: a local volume's, always.

        Raises NoSuchVolume; Conflict for a volume of a plugin that nothing has mounted.
        """
        record = self.get(name)
        if record.driver != LOCAL:
            if name not in self._places:
                raise Conflict(f"the volume {name} of the driver {record.driver} is not mounted by any container")
            return self._places[name]
        if volume_drivers.is_bind(record.options):
            return volume_drivers.find_bind(name, self._own(name), record.options)
        return self._own(name)

    def _own(self, name: str) -> Path:
        return self.folder / name / "_data"

    def get(self, name: str) -> VolumeRecord:
        """Raises NoSuchVolume."""
        record = self._records.get(name)
        if record is None:
            raise NoSuchVolume(name)
        return record

    async def acquire(self, name: str, holder: str) -> Path:
        """The folder of *name* for the container *holder*, mounted if need be; :meth:`release` ends it."""
        record = self.get(name)
        if record.driver == LOCAL and not record.options:
            return self._own(name)
        if record.driver == LOCAL and volume_drivers.is_bind(record.options):
            return volume_drivers.find_bind(name, self._own(name), record.options)
        holding = Holding(name, holder, record.driver)
        if (leaving := self._leaving.get(f"{holder}/{name}")) is not None:
            await asyncio.wait({leaving})
        # Before it is mounted: whoever comes after a kill lets go of it.
        self._holdings.put(f"{holder}/{name}", holding)
        try:
            if record.driver == LOCAL:
                volume_drivers.mount_memory(self._own(name), record.options)
                return self._own(name)
            self._places[name] = await (await self._drivers.find(record.driver)).mount(name, holder)
            return self._places[name]
        except BaseException:
            self._leave(holding)
            raise

    async def release(self, holder: str) -> None:
        """Let go of all that was mounted for the container *holder*. A plugin that hangs keeps nobody."""
        for holding in self._holdings.all():
            if holding.container == holder:
                if holding.driver == LOCAL:
                    await self._let_go(holding)
                else:
                    self._leave(holding)

    def _leave(self, holding: Holding) -> None:
        """Let go of *holding* in a task, once: its driver may take its time."""
        key = f"{holding.container}/{holding.volume}"
        if key not in self._leaving:
            task = self._spawn(self._let_go(holding), f"unmounting volume {holding.volume}")
            self._leaving[key] = task
            task.add_done_callback(lambda _: self._leaving.pop(key, None))

    async def _let_go(self, holding: Holding) -> None:
        name = holding.volume
        try:
            if holding.driver != LOCAL:
                await (await self._drivers.find(holding.driver)).unmount(name, holding.container)
        except LabdockError as error:
            log.warning("unmounting volume %s of %s: %s", name, holding.container[:12], error)
        self._holdings.delete(f"{holding.container}/{name}")
        if any(other.volume == name for other in self._holdings.all()):
            return
        self._places.pop(name, None)
        if holding.driver == LOCAL:
            volume_drivers.unmount_memory(self._own(name))

    async def fill(self, mount: MountPoint, place: Path, rootfs: Path) -> None:
        """Copy what the image has at *mount*'s target into its volume, seen at *place*, when that is still empty.

        Docker does it when a container is created (moby: container.CopyImagePathContent).
        """
        async with self._turn(mount.volume):
            await asyncio.to_thread(filling.fill, place, self._aside(mount.volume, place), rootfs, mount.target)

    async def fill_by(self, name: str, bring: Callable[[Path], Awaitable[None]]) -> None:
        """Fill the empty volume *name* with what *bring* puts into a folder: all of it or, when it raises, nothing.

        Raises Conflict when the volume is not empty.
        """
        holder = new_id()
        with self.hold([name], "import"):
            place = await self.acquire(name, holder)
            aside = self._aside(name, place)
            try:
                async with self._turn(name):
                    if not await asyncio.to_thread(filling.is_empty, place, aside):
                        raise Conflict(
                            f"the volume {name} is not empty", hint="import into a new volume, or an empty one"
                        )
                    await bring(await asyncio.to_thread(filling.begin, aside))
                    await asyncio.to_thread(filling.complete, place, aside)
            except OSError as error:
                raise translate(error, f"filling volume {name}") from error
            finally:
                await asyncio.to_thread(filling.give_up, aside)
                await self.release(holder)

    def _aside(self, name: str, place: Path) -> Path:
        """Where content of *name* waits until it is whole, on the same file system."""
        record = self.get(name)
        return self.folder / name if record.driver == LOCAL and not record.options else place

    def _turn(self, name: str) -> asyncio.Lock:
        """One filling of *name* at a time."""
        return self._turns.setdefault(name, asyncio.Lock())
