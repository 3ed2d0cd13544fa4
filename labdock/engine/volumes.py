"""Volumes: named and anonymous folders that outlive containers. ``local`` driver only."""

from __future__ import annotations

import asyncio
import builtins
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from labdock.engine.events import Events
from labdock.engine.filters import has_labels
from labdock.engine.mounts import check_volume_name
from labdock.engine.records import MountPoint, VolumeRecord
from labdock.engine.views import show_time
from labdock.errors import Conflict, InvalidRequest, NoSuchVolume, SystemFailure, Unsupported
from labdock.schema.ids import new_id
from labdock.store.intents import Intents
from labdock.store.metadata import Database
from labdock.sys.beneath import open_beneath

Wire = dict[str, Any]
UsersOf = Callable[[str], list[str]]


class Volumes:
    """All volumes. *users_of* names the containers that mount a volume."""

    def __init__(self, database: Database, intents: Intents, folder: Path, events: Events, users_of: UsersOf) -> None:
        self.folder = folder
        self._database = database
        self._records = database.records("volumes", VolumeRecord)
        self._intents = intents
        self._events = events
        self._users_of = users_of
        folder.mkdir(parents=True, exist_ok=True)

    def recover(self) -> None:
        """Finish removals that a killed engine began, undo creations; a folder without a record is a volume again."""
        for intent in self._intents.open():
            if intent.action == "volume.remove":
                shutil.rmtree(self.folder / intent.subject, ignore_errors=True)
                with self._database.transaction():
                    self._records.delete(intent.subject)
                    intent.done()
            elif intent.action == "volume.create":
                if self._records.get(intent.subject) is None:
                    shutil.rmtree(self.folder / intent.subject, ignore_errors=True)
                intent.done()
        for name in os.listdir(self.folder):
            if self._records.get(name) is None and self.data(name).is_dir():
                # A power cut took the record; what is in there is its user's.
                made = self.data(name).stat().st_mtime_ns
                self._records.put(name, VolumeRecord(name=name, created=made, filled=True))

    def data(self, name: str) -> Path:
        return self.folder / name / "_data"

    def get(self, name: str) -> VolumeRecord:
        """Raises NoSuchVolume."""
        record = self._records.get(name)
        if record is None:
            raise NoSuchVolume(name)
        return record

    def ensure(self, name: str, *, anonymous: bool = False) -> VolumeRecord:
        """The volume *name*, made when it is not there."""
        known = self._records.get(name)
        return known or self._make(VolumeRecord(name=name, created=time.time_ns(), anonymous=anonymous))

    def _make(self, record: VolumeRecord) -> VolumeRecord:
        intent = self._intents.begin("volume.create", record.name)
        try:
            self.data(record.name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            intent.done()
            raise SystemFailure(f"creating volume {record.name}: {error}") from error
        with self._database.transaction():
            self._records.put(record.name, record)
            intent.done()
        self._events.emit("volume", "create", record.name, {"driver": record.driver})
        return record

    async def create(self, name: str | None, driver: str, options: dict[str, str], labels: dict[str, str]) -> Wire:
        """``POST /volumes/create``. An existing volume of that name is given back."""
        if driver not in ("", "local"):
            raise Unsupported(f"volume driver {driver!r} is not supported yet", hint="use the local driver")
        if options:
            raise Unsupported("options of the local volume driver are not supported yet: " + ", ".join(sorted(options)))
        if name:
            check_volume_name(name)
        known = self._records.get(name) if name else None
        record = known or self._make(
            VolumeRecord(name=name or new_id(), created=time.time_ns(), labels=labels, anonymous=not name)
        )
        return self._show(record)

    def inspect(self, name: str) -> Wire:
        return self._show(self.get(name))

    def list(self, filters: dict[str, builtins.list[str]]) -> Wire:
        """``GET /volumes``. Filters: name, label, dangling, driver."""
        unknown = set(filters) - {"name", "label", "label!", "dangling", "driver"}
        if unknown:
            raise InvalidRequest(f"invalid filter '{sorted(unknown)[0]}'")
        return {"Volumes": [self._show(r) for r in self._records.all() if self._passes(r, filters)], "Warnings": None}

    def _passes(self, record: VolumeRecord, filters: dict[str, builtins.list[str]]) -> bool:
        if (names := filters.get("name")) and not any(name in record.name for name in names):
            return False
        if not has_labels(record.labels, filters):
            return False
        if (drivers := filters.get("driver")) and record.driver not in drivers:
            return False
        if wanted := filters.get("dangling"):
            return (not self._users_of(record.name)) == (wanted[0].lower() in ("1", "true"))
        return True

    async def remove(self, name: str, force: bool) -> None:
        """Raises NoSuchVolume (unless *force*) and Conflict while a container mounts it."""
        if self._records.get(name) is None:
            if force:
                return
            raise NoSuchVolume(name)
        users = self._users_of(name)
        if users:
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
        await self._drop(name)

    async def _drop(self, name: str) -> None:
        intent = self._intents.begin("volume.remove", name)
        await asyncio.to_thread(shutil.rmtree, self.folder / name, True)
        with self._database.transaction():
            self._records.delete(name)
            intent.done()
        self._events.emit("volume", "destroy", name, {"driver": "local"})

    async def drop_anonymous(self, mounts: Iterable[MountPoint]) -> None:
        """Remove the anonymous volumes among *mounts* that nobody else uses (``rm -v``, ``--rm``)."""
        for mount in mounts:
            record = self._records.get(mount.volume) if mount.volume else None
            if record is not None and record.anonymous and not self._users_of(record.name):
                await self._drop(record.name)

    async def prune(self, filters: dict[str, builtins.list[str]]) -> Wire:
        """Unused anonymous volumes; all unused ones with the filter ``all=true``."""
        everything = (filters.get("all") or ["false"])[0].lower() in ("1", "true")
        gone, freed = [], 0
        for record in self._records.all():
            if self._users_of(record.name) or not (everything or record.anonymous):
                continue
            if not has_labels(record.labels, filters):
                continue
            freed += await asyncio.to_thread(_measure, self.data(record.name))
            await self._drop(record.name)
            gone.append(record.name)
        return {"VolumesDeleted": gone, "SpaceReclaimed": freed}

    async def fill(self, name: str, rootfs: Path, target: str) -> None:
        """Copy what the image has at *target* into the still empty volume *name*, owners and modes kept.

        Docker does it at the first mount (moby: volume/mounts CopyImagePathContent).
        """
        record = self.get(name)
        if record.filled:
            return
        data = self.data(name)
        root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY)
        try:
            fd = open_beneath(root, target, os.O_PATH | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            fd = -1
        finally:
            os.close(root)
        try:
            if fd >= 0 and not any(data.iterdir()):
                await _copy_tree(fd, data)
        finally:
            if fd >= 0:
                os.close(fd)
        self._records.put(name, msgspec.structs.replace(record, filled=True))

    def _show(self, record: VolumeRecord) -> Wire:
        labels = dict(record.labels)
        if record.anonymous:
            labels.setdefault("com.docker.volume.anonymous", "")
        return {
            "CreatedAt": show_time(record.created).split(".")[0] + "Z",
            "Driver": record.driver,
            "Labels": labels or None,
            "Mountpoint": str(self.data(record.name)),
            "Name": record.name,
            "Options": record.options or None,
            "Scope": "local",
        }

    def measure(self) -> builtins.list[Wire]:
        """For ``/system/df``: every volume with its size in bytes and how many containers use it. Blocks."""
        return [
            self._show(r)
            | {"UsageData": {"Size": _measure(self.data(r.name)), "RefCount": len(self._users_of(r.name))}}
            for r in self._records.all()
        ]


async def _copy_tree(source: int, target: Path) -> None:
    """cp -a of the folder behind *source*, mode and owner of the folder itself included."""
    process = await asyncio.create_subprocess_exec(
        "cp", "-a", "--", f"/proc/self/fd/{source}/.", str(target), pass_fds=(source,), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise SystemFailure(f"filling {target} from the image: {said.decode(errors='replace').strip()}")


def _measure(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        total += sum(os.lstat(os.path.join(place, name)).st_blocks * 512 for name in files)
    return total
