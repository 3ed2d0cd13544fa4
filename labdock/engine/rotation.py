"""Keeping logs to their size: rename, have the monitor open a new file, drop what is too old.

No line is lost: the monitor writes to the renamed file until it opens the new one, which it does between two writes.
Readers hold files, not names (runtime/logs/chain.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from labdock.engine.logging_options import Limits, find_limits
from labdock.engine.records import ContainerRecord
from labdock.errors import LabdockError
from labdock.runtime.logs.chain import numbered
from labdock.runtime.logs.watch import FolderWatch

log = logging.getLogger("labdock.engine")

#: Between two looks at a log that is being written to, so that who writes fast does not keep the engine busy. Seconds.
BREATH = 0.1
#: A monitor opens its new file at once; one that does not is asked again. Seconds.
PATIENCE = 5.0

#: Has the monitor of a container open its log again.
Reopen = Callable[[str], None]


class Rotation:
    """A :class:`~labdock.engine.supervisor.Watcher`: one task for each running container whose log has limits."""

    def __init__(
        self, folder: Path, reopen: Reopen, spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    ) -> None:
        self._folder = folder
        self._reopen = reopen
        self._spawn = spawn
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, record: ContainerRecord) -> None:
        limits = find_limits(record.host.log_config)
        if limits is not None:
            work = self._keep(record.id, self._folder / record.id / "log", limits)
            self._tasks[record.id] = self._spawn(work, f"rotating the log of container {record.id[:12]}")

    def end(self, container: str) -> None:
        task = self._tasks.pop(container, None)
        if task is not None:
            task.cancel()

    async def _keep(self, container: str, path: Path, limits: Limits) -> None:
        while True:
            # Anew each time: it ends with its last watcher.
            watch = FolderWatch.shared()
            changed = asyncio.Event()
            number = watch.add(path.parent, changed)
            try:
                size = _size(path)
                if size is None and numbered(path, 1).exists():
                    # Renamed by an engine that was killed before it told the monitor.
                    await self._open_new(container, path, changed)
                elif size is not None and size >= limits.size:
                    shift(path, limits.files)
                    await self._open_new(container, path, changed)
                    drop(path, limits.files)
                else:
                    await changed.wait()
            except OSError as error:
                log.warning("rotating %s: %s", path, error)
            finally:
                watch.remove(number, changed)
            await asyncio.sleep(BREATH)

    async def _open_new(self, container: str, path: Path, changed: asyncio.Event) -> None:
        """Have the monitor open *path* anew, and wait until it is there."""
        with contextlib.suppress(LabdockError, TimeoutError):
            self._reopen(container)
            async with asyncio.timeout(PATIENCE):
                while not path.exists():
                    changed.clear()
                    if not path.exists():
                        await changed.wait()


def shift(path: Path, files: int) -> None:
    """Give each file of the log the next number; *files* is how many stay beside a new one. Raises OSError."""
    for number in range(max(files - 1, 1), 0, -1):
        with contextlib.suppress(FileNotFoundError):
            os.rename(numbered(path, number - 1), numbered(path, number))


def drop(path: Path, files: int) -> None:
    """Once there is a new file: remove what is more than *files*."""
    if path.exists():
        number = files
        while numbered(path, number).exists():
            os.unlink(numbered(path, number))
            number += 1


def _size(path: Path) -> int | None:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None
