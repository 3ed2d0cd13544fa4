"""Volume plugins: found by their files, spoken to over Docker's volume plugin protocol, version 1.

A plugin is a process of the host's. A socket ``NAME.sock``, or a file ``NAME.spec`` (an address in one line) or
``NAME.json`` ({"Addr": …}) says where it listens. It is looked for when it is needed: nothing is started or stopped
with the engine, and one that hangs, dies or lies costs the caller who asked for it a bounded time, and nobody else.
"""

from __future__ import annotations

import asyncio
import builtins
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from labdock.engine.plugin_calls import Dial, Place, call
from labdock.errors import LabdockError, NotFound, SystemFailure, Unavailable, Unsupported

Wire = dict[str, Any]
#: Seconds that a plugin has to answer: a question, and work on a volume.
QUICK, SLOW = 5.0, 120.0
#: After a question that was not answered, a plugin is not asked again for a list, for this long (seconds), doubling.
_REST, _LONGEST_REST = 2.0, 60.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
#: (st_dev, st_ino) of a host's folder as the host sees it; None where that can't be told.
Look = Callable[[str], Awaitable[tuple[int, int] | None]]


def find_folders(environment: Mapping[str, str], run: Path) -> tuple[Path, ...]:
    """Where plugins are looked for, first match wins: Docker's own folders, then this user's."""
    home = Path(environment.get("HOME") or "/nonexistent")
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return (
        Path("/run/docker/plugins"),
        Path("/etc/docker/plugins"),
        Path("/usr/lib/docker/plugins"),
        run / "plugins",
        config / "labdock/plugins",
        config / "docker/plugins",
        home / ".local/lib/docker/plugins",
    )


def discover(folders: Iterable[Path]) -> dict[str, Path]:
    """The files that announce plugins, by the plugins' names. What can't be read is passed over."""
    found: dict[str, Path] = {}
    for folder in folders:
        for suffix in (".sock", ".spec", ".json"):
            for place in (folder, *_subfolders(folder)):
                for path in _entries(place):
                    name = path.name.removesuffix(suffix)
                    # A folder holds the one plugin that it is named for.
                    if path.name != name and _NAME.match(name) and (place == folder or place.name == name):
                        found.setdefault(name, path)
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir()]


def read_place(name: str, path: Path) -> Place:
    """Where the plugin that *path* announces listens. Raises SystemFailure, Unsupported."""
    if path.suffix == ".sock":
        return Place(path)
    try:
        text = path.read_text()
        address = text.strip()
        if path.suffix == ".json":
            read = msgspec.json.decode(text, type=Wire)
            address = str(read.get("Addr") or "")
            if read.get("TLSConfig"):
                raise Unsupported(f"the plugin {name} ({path}) asks for TLS, which is not supported yet")
    except (OSError, ValueError) as error:
        raise SystemFailure(f"reading {path}, which announces the plugin {name}: {error}") from error
    parts = urlsplit(address)
    try:
        if parts.scheme == "unix" and parts.path.startswith("/"):
            return Place(Path(parts.path))
        if parts.scheme in ("tcp", "http") and parts.hostname and parts.port:
            return Place(host=parts.hostname, port=parts.port)
    except ValueError:
        pass
    raise SystemFailure(
        f"{path} gives the plugin {name} no address: {address!r}", hint="unix:///PATH or tcp://HOST:PORT"
    )


class Plugins:
    """All volume plugins of this machine. *dial*: TCP in the host's network; *look*: see :data:`Look`."""

    def __init__(self, folders: Iterable[Path], dial: Dial, look: Look) -> None:
        self._folders = tuple(folders)
        self._dial = dial
        self._look = look
        self._active: dict[str, PluginDriver] = {}
        self._rests: dict[str, _Rest] = {}

    def names(self) -> list[str]:
        return sorted(discover(self._folders))

    async def find(self, name: str) -> PluginDriver:
        """The plugin *name*, activated. Raises NotFound in Docker's words, or what it failed with."""
        path = discover(self._folders).get(name) if _NAME.match(name) else None
        if path is None:
            raise NotFound(
                f'error looking up volume plugin {name}: plugin "{name}" not found',
                hint=f"looked for {name}.sock, .spec and .json in {', '.join(map(str, self._folders))}",
            )
        place = read_place(name, path)
        driver = self._active.get(name)
        if driver is None or driver.place != place:
            driver = PluginDriver(name, place, self._dial, self._look)
            await driver.activate()
            self._active[name] = driver
        return driver

    async def list(self) -> tuple[builtins.list[tuple[str, Wire]], builtins.list[str]]:
        """The volumes of all plugins, and a warning for each plugin that did not answer."""
        names = self.names()
        answers = await asyncio.gather(*(self._list_one(name) for name in names))
        volumes = [(name, volume) for name, (found, _) in zip(names, answers, strict=True) for volume in found]
        return volumes, [warning for _, warning in answers if warning]

    async def _list_one(self, name: str) -> tuple[builtins.list[Wire], str]:
        resting = self._rests.setdefault(name, _Rest())
        if resting.until > time.monotonic():
            return [], resting.why
        try:
            found = await (await self.find(name)).list()
        except LabdockError as error:
            return [], resting.begin(f"the volume plugin {name} can't be asked: {error}")
        resting.pause = _REST
        return found, ""


class _Rest:
    """The pause of a plugin that did not answer."""

    def __init__(self) -> None:
        self.until, self.pause, self.why = 0.0, _REST, ""

    def begin(self, why: str) -> str:
        self.until, self.why = time.monotonic() + self.pause, why
        self.pause = min(self.pause * 2, _LONGEST_REST)
        return why


class PluginDriver:
    """A volume driver that is a plugin."""

    def __init__(self, name: str, place: Place, dial: Dial, look: Look) -> None:
        self.name = name
        self.place = place
        self._dial = dial
        self._look = look
        self._scope = ""

    async def _call(self, method: str, body: Mapping[str, Any], seconds: float) -> Wire:
        found = await call(self.place, f"VolumeDriver.{method}", body, self._dial, seconds)
        if error := found.get("Err"):
            raise SystemFailure(f"VolumeDriver.{method}: {error}", hint=f"the volume plugin {self.name} said so")
        return found

    async def activate(self) -> None:
        """Raises Unsupported for a plugin of another kind."""
        found = await call(self.place, "Plugin.Activate", {}, self._dial, QUICK)
        implements = found.get("Implements")
        if not isinstance(implements, list) or "VolumeDriver" not in implements:
            raise Unsupported(f"the plugin {self.name} at {self.place} is no volume driver: it implements {implements}")

    async def create(self, name: str, options: Mapping[str, str]) -> None:
        await self._call("Create", {"Name": name, "Opts": dict(options)}, SLOW)

    async def remove(self, name: str) -> None:
        await self._call("Remove", {"Name": name}, SLOW)

    async def mount(self, name: str, holder: str) -> Path:
        found = await self._call("Mount", {"Name": name, "ID": holder}, SLOW)
        try:
            return await self._check(name, found.get("Mountpoint"))
        except LabdockError:
            await self.unmount(name, holder)
            raise

    async def _check(self, name: str, said: object) -> Path:
        """The folder that the plugin named, when it is the same for the sandbox as for the host."""
        what = f"the volume plugin {self.name} mounted {name} on {said!r}"
        if not isinstance(said, str) or not said.startswith("/") or os.path.realpath(said) == "/":
            raise SystemFailure(f"{what}, which is no folder's absolute path")
        try:
            here = os.stat(said)
            if not os.path.isdir(said):
                raise NotADirectoryError(20, os.strerror(20), said)
        except OSError as error:
            raise SystemFailure(f"{what}, which can't be used: {error.strerror}") from error
        there = await self._look(said)
        if there is not None and there != (here.st_dev, here.st_ino):
            raise Unavailable(
                f"{what}, and that mount is not to be seen in the engine's sandbox",
                hint="mounts that come later appear there when the host's are shared: mount --make-rshared /, "
                "then restart the engine; or restart it after the plugin has mounted",
            )
        return Path(said)

    async def unmount(self, name: str, holder: str) -> None:
        await self._call("Unmount", {"Name": name, "ID": holder}, SLOW)

    async def describe(self, name: str) -> Wire:
        found = await self._call("Get", {"Name": name}, QUICK)
        volume = _read_volume(found.get("Volume"))
        if volume is None or volume["Name"] != name:
            raise SystemFailure(f"VolumeDriver.Get: the volume plugin {self.name} answered for another volume")
        return {**volume, "Scope": await self.scope()}

    async def list(self) -> list[Wire]:
        """Its volumes, each with its Name at least; what has none is passed over."""
        found = (await self._call("List", {}, QUICK)).get("Volumes")
        volumes = [_read_volume(entry) for entry in found] if isinstance(found, list) else []
        return [volume for volume in volumes if volume is not None]

    async def scope(self) -> str:
        """``local`` or ``global``; a plugin from before it could say is local."""
        if not self._scope:
            try:
                found = (await self._call("Capabilities", {}, QUICK)).get("Capabilities")
            except SystemFailure:
                found = None
            said = found.get("Scope") if isinstance(found, dict) else ""
            self._scope = said if said in ("local", "global") else "local"
        return self._scope


def _read_volume(entry: object) -> Wire | None:
    """Name, Mountpoint, CreatedAt and Status of what a plugin said of a volume; None for what is none."""
    if not isinstance(entry, dict) or not isinstance(entry.get("Name"), str) or not entry["Name"]:
        return None
    kinds = {"Name": str, "Mountpoint": str, "CreatedAt": str, "Status": dict}
    return {key: entry[key] for key, kind in kinds.items() if isinstance(entry.get(key), kind)}
