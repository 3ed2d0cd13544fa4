"""Telling of processes that the kernel kills for want of memory, at the moment it does: the ``oom`` event.

Woken by the container's own memory.events; nothing is looked at meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from labdock.engine.health import Spawn
from labdock.engine.ledger import Ledger
from labdock.engine.records import ContainerRecord
from labdock.runtime import Exit
from labdock.runtime.groups import Groups
from labdock.runtime.logs.watch import FolderWatch


class Shortage:
    """A :class:`supervisor.Watcher`. Emits one event for each look that finds new deaths."""

    def __init__(
        self, ledger: Ledger, groups: Groups, spawn: Spawn, emit: Callable[[ContainerRecord, str], None]
    ) -> None:
        self._ledger = ledger
        self._groups = groups
        self._spawn = spawn
        self._emit = emit
        self._told: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, record: ContainerRecord) -> None:
        self.end(record.id)
        self._told.discard(record.id)
        if self._groups.controls and "memory.events" in self._groups.controls and self._groups.find(record.id):
            name = f"watching the memory of container {record.id[:12]}"
            self._tasks[record.id] = self._spawn(self._watch(record.id), name)

    def end(self, container: str) -> None:
        task = self._tasks.pop(container, None)
        if task is not None:
            task.cancel()

    def judge(self, container: str, exit_: Exit) -> tuple[bool, bool]:
        """Of a life that has ended: whether memory ran short in it, and whether that is still to be told."""
        # Not the monitor's word alone: it looks at the group when it is woken, which may be after the group's end.
        short = exit_.oom_killed or self._groups.deaths(container) > 0
        told = container in self._told
        self._told.discard(container)
        return short, short and not told

    async def _watch(self, container: str) -> None:
        found = self._groups.find(container)
        if found is None:
            return
        changed = asyncio.Event()
        watch = FolderWatch.shared()
        number = watch.add(found.folder, changed)
        # Those before an engine's start were its predecessor's to tell.
        told = self._groups.deaths(container)
        try:
            while True:
                await changed.wait()
                changed.clear()
                deaths = self._groups.deaths(container)
                if deaths > told:
                    told = deaths
                    self._told.add(container)
                    self._emit(self._ledger.get(container), "oom")
        finally:
            watch.remove(number, changed)
