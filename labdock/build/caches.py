"""Cache mounts: folders that outlive builds, by id. Never part of an image or of a step's cache key."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from labdock.errors import NotFound

#: Makes the content of a new folder.
Make = Callable[[Path], None]
_NAME = "name"
_DATA = "data"


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """One of them: ``name`` as the Dockerfile has it; times in ns since the epoch; ``size`` in bytes on disk."""

    id: str
    name: str
    created_ns: int
    used_ns: int
    size: int
    in_use: bool


class CacheFolders:
    """All of an engine's. ``root/ID/data`` is the folder, ``root/ID/name`` its name, whose time is the last use's."""

    def __init__(self, root: Path, now: Callable[[], int] = time.time_ns) -> None:
        self._root = root
        self._now = now
        self._users: Counter[str] = Counter()
        self._locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def take(self, name: str, sharing: str, make: Make, *, fresh: bool = False) -> AsyncIterator[Path]:
        """The folder of *name* while inside: ``shared`` with all, ``locked`` alone after waiting, ``private``
        another one when it is taken. *make* fills a new one; *fresh*: it is a new one unless somebody uses it."""
        id = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        lock = self._locks.setdefault(id, asyncio.Lock())
        if sharing == "locked":
            await lock.acquire()
        try:
            if sharing == "private":
                id = self._find_free(id)
            alone = not self._users[id]
            self._users[id] += 1
            try:
                yield await asyncio.to_thread(self._open, id, name, make, fresh and alone)
            finally:
                self._users[id] -= 1
        finally:
            if sharing == "locked":
                lock.release()

    def _find_free(self, id: str) -> str:
        number = 0
        while self._users[f"{id}-{number}" if number else id]:
            number += 1
        return f"{id}-{number}" if number else id

    def _open(self, id: str, name: str, make: Make, fresh: bool) -> Path:
        folder = self._root / id
        if fresh and folder.exists():
            self._discard(folder)
        if not (folder / _DATA).is_dir():
            half = self._root / f"new-{os.urandom(8).hex()}"
            (half / _DATA).mkdir(parents=True)
            (half / _NAME).write_text(name, errors="surrogateescape")
            try:
                make(half / _DATA)
                half.rename(folder)
            except OSError:
                # Another step made it meanwhile: its folder is as good.
                shutil.rmtree(half, ignore_errors=True)
                if not (folder / _DATA).is_dir():
                    raise
            except BaseException:
                shutil.rmtree(half, ignore_errors=True)
                raise
        now = self._now()
        os.utime(folder / _NAME, ns=(now, now))
        return folder / _DATA

    def _discard(self, folder: Path) -> None:
        gone = self._root / f"gone-{os.urandom(8).hex()}"
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def list(self) -> tuple[CacheFolder, ...]:
        """All of them, measured. Blocking."""
        found = []
        for folder in sorted(self._root.glob("*")) if self._root.exists() else []:
            try:
                status = os.stat(folder / _NAME)
                name = (folder / _NAME).read_text(errors="surrogateescape")
                made = os.stat(folder).st_mtime_ns
            except OSError:
                continue
            used = self._users[folder.name] > 0
            found.append(CacheFolder(folder.name, name, made, status.st_mtime_ns, _measure(folder / _DATA), used))
        return tuple(found)

    def remove(self, id: str) -> bool:
        """Remove one, unless it is in use. Blocking. Raises NotFound."""
        folder = self._root / id
        if "/" in id or not folder.is_dir():
            raise NotFound(f"no such cache mount: {id}")
        if self._users[id]:
            return False
        self._discard(folder)
        return True

    def recover(self) -> None:
        """At start: remove what a killed process left half-made."""
        for pattern in ("new-*", "gone-*"):
            for folder in self._root.glob(pattern):
                shutil.rmtree(folder, ignore_errors=True)


def _measure(folder: Path) -> int:
    total = 0
    todo = [str(folder)]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
        except OSError:
            continue
    return total
