"""Volumes: named and anonymous folders that outlive containers.

A volume's data goes only when its removal is a fact: ``rm`` moves the folder aside, deletes the record in one
transaction, and frees the bytes after that. A kill in between leaves the volume as it was (``recover`` moves it back).
"""

from __future__ import annotations

import asyncio
import builtins
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from labdock.engine import filling, sizes, volume_drivers
from labdock.engine.events import Events
from labdock.engine.filters import has_labels
from labdock.engine.mounts import check_volume_name
from labdock.engine.records import MountPoint, VolumeRecord
from labdock.engine.views import show_time
from labdock.engine.volume_drivers import VolumeDriver
from labdock.engine.volume_places import LOCAL, Drivers, Spawn, VolumePlaces
from labdock.errors import Conflict, InvalidRequest, LabdockError, NoSuchVolume, NotFound, SystemFailure
from labdock.schema.ids import is_hex, new_id
from labdock.store.intents import Action, Intents
from labdock.store.metadata import Database
from labdock.store.snapshots.trash import Trash

Wire = dict[str, Any]
UsersOf = Callable[[str], list[str]]
#: Folders beside the volumes: removals that are not facts yet, and bytes that wait to be freed.
ASIDE, TRASH = ".removed", ".trash"
_YES, _NO = ("1", "true"), ("0", "false")

log = logging.getLogger("labdock.engine")


class Volumes(VolumePlaces):
    """All volumes. *users_of* names the containers that mount a volume."""

    def __init__(
        self,
        database: Database,
        intents: Intents,
        folder: Path,
        events: Events,
        users_of: UsersOf,
        drivers: Drivers,
        spawn: Spawn,
    ) -> None:
        super().__init__(database, folder, drivers, spawn)
        self._database = database
        self._intents = intents
        self._events = events
        self._ledger_users = users_of
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ASIDE).mkdir(exist_ok=True)
        self._trash = Trash(folder / TRASH)

    # -- after a kill ---------------------------------------------------------------------------------

    def recover(self) -> None:
        """Undo removals that are no facts, finish fillings, take in folders that no record names."""
        for name in os.listdir(self.folder / ASIDE):
            if self._records.get(name) is None or (self.folder / name).exists():
                self._trash.throw(self.folder / ASIDE / name)
            else:
                os.rename(self.folder / ASIDE / name, self.folder / name)
        for intent in self._intents.open():
            if intent.action in (Action.VOLUME_CREATE, Action.VOLUME_REMOVE):
                intent.done()
        for entry in self.folder.iterdir():
            if entry.name in (ASIDE, TRASH):
                continue
            self._look_at(entry)
        self._trash.empty()

    def _look_at(self, entry: Path) -> None:
        """One volume's folder: finish its filling; one without a record is empty and goes, or is taken in."""
        record = self._records.get(entry.name)
        try:
            if (entry / filling.PART).exists() or (entry / filling.WHOLE).exists():
                filling.finish(entry / "_data", entry)
            if record is None:
                (entry / "_data").rmdir()
                entry.rmdir()
        except OSError as error:
            if record is not None or not (entry / "_data").is_dir():
                log.warning("looking at the volume in %s: %s", entry, error)
                return
            # Data is never thrown away for want of a record.
            log.warning("the folder %s holds data that no record names: it is the volume %s again", entry, entry.name)
            created, anonymous = entry.stat().st_mtime_ns, len(entry.name) == 64 and is_hex(entry.name)
            self._records.put(entry.name, VolumeRecord(name=entry.name, created=created, anonymous=anonymous))

    # -- records --------------------------------------------------------------------------------------

    def users_of(self, name: str) -> builtins.list[str]:
        """The ids of the containers that mount the volume *name*, or are just being made to."""
        return list(dict.fromkeys([*self._ledger_users(name), *self._held.get(name, ())]))

    async def ensure(self, mount: MountPoint) -> VolumeRecord:
        """The volume that *mount* names, made when it is not there."""
        known = self._records.get(mount.volume)
        if known is not None:
            self._check_driver(known, mount.driver)
            return known
        driver = mount.driver or LOCAL
        made = VolumeRecord(
            name=mount.volume,
            created=time.time_ns(),
            driver=driver,
            options=mount.driver_options,
            labels=mount.labels,
            anonymous=mount.anonymous,
        )
        return await self._make(made)

    @staticmethod
    def _check_driver(known: VolumeRecord, driver: str) -> None:
        if driver and driver != known.driver:
            raise Conflict(
                f"create {known.name}: conflict: volume name must be unique: a volume named {known.name} already "
                f"exists with the {known.driver} driver"
            )

    async def _make(self, record: VolumeRecord) -> VolumeRecord:
        if record.driver == LOCAL:
            volume_drivers.check_options(record.name, record.options)
        driver = None if record.driver == LOCAL else await self._find_driver(record)
        intent = self._intents.begin(Action.VOLUME_CREATE, record.name)
        try:
            if driver is not None:
                await driver.create(record.name, record.options)
            else:
                self._own(record.name).mkdir(parents=True, exist_ok=True)
        except BaseException as error:
            intent.done()
            if isinstance(error, OSError):
                raise SystemFailure(f"creating volume {record.name}: {error}") from error
            raise
        with self._database.transaction():
            self._records.put(record.name, record)
            intent.done()
        self._events.emit("volume", "create", record.name, {"driver": record.driver})
        return record

    async def _find_driver(self, record: VolumeRecord) -> VolumeDriver:
        try:
            return await self._drivers.find(record.driver)
        except NotFound as error:
            raise NotFound(f"create {record.name}: {error.message}", hint=error.hint) from error

    async def create(
        self, name: str | None, driver: str, options: Mapping[str, str], labels: Mapping[str, str]
    ) -> Wire:
        """``POST /volumes/create``. An existing volume of that name is given back."""
        if name:
            check_volume_name(name)
        known = self._records.get(name) if name else None
        if known is not None:
            self._check_driver(known, driver)
        record = known or await self._make(
            VolumeRecord(
                name=name or new_id(),
                created=time.time_ns(),
                driver=driver or LOCAL,
                options=dict(options),
                labels=dict(labels),
                anonymous=not name,
            )
        )
        return await self._describe(record)

    # -- looking --------------------------------------------------------------------------------------

    async def inspect(self, name: str) -> Wire:
        record = self._records.get(name)
        if record is None:
            strangers, _ = await self._drivers.list()
            for driver, found in strangers:
                if found["Name"] == name:
                    return self._show_stranger(driver, found)
            raise NoSuchVolume(name)
        return await self._describe(record)

    async def list(self, filters: Mapping[str, builtins.list[str]]) -> Wire:
        """``GET /volumes``. Filters: name, label, dangling, driver. Plugins that do not answer become warnings."""
        _check_filters(filters, {"name", "label", "label!", "dangling", "driver"})
        strangers, warnings = await self._drivers.list()
        known = {record.name for record in self._records.all()}
        shown = [self._show(r) for r in self._records.all() if self._passes(r, filters)]
        for driver, found in strangers:
            record = VolumeRecord(name=found["Name"], created=0, driver=driver)
            if record.name not in known and self._passes(record, filters):
                shown.append(self._show_stranger(driver, found))
        return {"Volumes": shown, "Warnings": warnings or None}

    def _passes(self, record: VolumeRecord, filters: Mapping[str, builtins.list[str]]) -> bool:
        if (names := filters.get("name")) and not any(name in record.name for name in names):
            return False
        if not has_labels(_labels(record), filters):
            return False
        if (drivers := filters.get("driver")) and record.driver not in drivers:
            return False
        if wanted := filters.get("dangling"):
            return (not self.users_of(record.name)) == (wanted[0].lower() in _YES)
        return True

    async def _describe(self, record: VolumeRecord) -> Wire:
        shown = self._show(record)
        if record.driver != LOCAL:
            try:
                found = await (await self._drivers.find(record.driver)).describe(record.name)
            except LabdockError as error:
                found = {"Status": {"error": str(error)}}
            shown |= {key: value for key, value in found.items() if value}
        return shown

    def _show(self, record: VolumeRecord) -> Wire:
        local = record.driver == LOCAL
        return {
            "CreatedAt": show_time(record.created).split(".")[0] + "Z",
            "Driver": record.driver,
            "Labels": _labels(record) or None,
            "Mountpoint": str(self._own(record.name)) if local else str(self._places.get(record.name, "")),
            "Name": record.name,
            "Options": record.options or None,
            "Scope": LOCAL,
        }

    def _show_stranger(self, driver: str, found: Wire) -> Wire:
        shown = self._show(VolumeRecord(name=found["Name"], created=0, driver=driver))
        return shown | {key: value for key, value in found.items() if value} | {"CreatedAt": found.get("CreatedAt")}

    async def measure(self) -> builtins.list[Wire]:
        """For ``/system/df``: every volume with its size in bytes and how many containers use it."""

        def weigh(record: VolumeRecord) -> int:
            # As Docker: what lies elsewhere is not counted.
            return -1 if record.options or record.driver != LOCAL else sizes.weigh(self._own(record.name))

        records = self._records.all()
        weights = await asyncio.to_thread(lambda: [weigh(record) for record in records])
        return [
            self._show(record) | {"UsageData": {"Size": size, "RefCount": len(self.users_of(record.name))}}
            for record, size in zip(records, weights, strict=True)
        ]

    # -- removing -------------------------------------------------------------------------------------

    async def remove(self, name: str, force: bool) -> None:
        """Raises NoSuchVolume (unless *force*) and Conflict while a container mounts it."""
        record = self._records.get(name)
        if record is None:
            if force:
                return
            raise NoSuchVolume(name)
        users = self.users_of(name)
        if users:
            raise Conflict(
                f"remove {name}: volume is in use - [{', '.join(users)}]",
                hint="`docker ps -a --filter volume=NAME` lists them",
            )
        try:
            await self._drop(record)
        except LabdockError:
            if not force or record.driver == LOCAL:
                raise
            # The plugin is gone or refuses: it is forgotten here; what it keeps, it keeps.
            self._forget(record)

    async def _drop(self, record: VolumeRecord) -> None:
        if record.driver != LOCAL:
            with self.hold([record.name], "being removed"):
                await (await self._drivers.find(record.driver)).remove(record.name)
            self._forget(record)
            return
        volume_drivers.unmount_memory(self._own(record.name))
        intent = self._intents.begin(Action.VOLUME_REMOVE, record.name)
        aside = self.folder / ASIDE / record.name
        try:
            os.rename(self.folder / record.name, aside)
        except FileNotFoundError:
            log.warning("the folder of volume %s was gone already", record.name)
        except OSError as error:
            intent.done()
            raise SystemFailure(f"removing volume {record.name}: {error}") from error
        with self._database.transaction():
            self._records.delete(record.name)
            intent.done()
        self._trash.throw(aside)
        self._events.emit("volume", "destroy", record.name, {"driver": record.driver})

    def _forget(self, record: VolumeRecord) -> None:
        self._records.delete(record.name)
        self._events.emit("volume", "destroy", record.name, {"driver": record.driver})

    async def drop_anonymous(self, names: Iterable[str]) -> None:
        """Remove the anonymous volumes among *names* that nobody else uses (``rm -v``, ``--rm``)."""
        for name in names:
            record = self._records.get(name)
            if record is not None and record.anonymous and not self.users_of(record.name):
                try:
                    await self._drop(record)
                except LabdockError as error:
                    log.warning("removing the anonymous volume %s: %s", record.name, error)

    async def prune(self, filters: Mapping[str, builtins.list[str]]) -> Wire:
        """Unused anonymous local volumes; all unused local ones with the filter ``all=true``."""
        _check_filters(filters, {"all", "label", "label!"})
        everything = (filters.get("all") or ["false"])[0].lower() in _YES
        gone, freed = [], 0
        for record in self._records.all():
            if record.driver != LOCAL or not (everything or record.anonymous):
                continue
            if self.users_of(record.name) or not has_labels(_labels(record), filters):
                continue
            size = 0 if record.options else await asyncio.to_thread(sizes.weigh, self._own(record.name))
            # Somebody may have taken it meanwhile, or away.
            if self._records.get(record.name) is None or self.users_of(record.name):
                continue
            await self._drop(record)
            freed += size
            gone.append(record.name)
        self._events.emit("volume", "prune", "", {"reclaimed": str(freed)})
        return {"VolumesDeleted": gone, "SpaceReclaimed": freed}

    def close(self) -> None:
        self._trash.close()


def _labels(record: VolumeRecord) -> dict[str, str]:
    labels = dict(record.labels)
    if record.anonymous:
        labels.setdefault("com.docker.volume.anonymous", "")
    return labels


def _check_filters(filters: Mapping[str, builtins.list[str]], known: set[str]) -> None:
    for name, values in filters.items():
        if name not in known:
            raise InvalidRequest(f"invalid filter '{name}'")
        if name in ("dangling", "all") and any(value.lower() not in (*_YES, *_NO) for value in values):
            raise InvalidRequest(f"invalid filter '{name}=[{' '.join(values)}]'")
