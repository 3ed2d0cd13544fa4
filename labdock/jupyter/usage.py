"""What running containers use: one reading of each for all browsers that look, and none while nobody does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from labdock.client.caller import path
from labdock.errors import LabdockError
from labdock.jupyter.board import AT_ONCE, Board
from labdock.jupyter.engine import Link
from labdock.jupyter.flattening import ALIVE, read_seconds
from labdock.jupyter.shapes import Engine, Shape, State

#: Seconds between two readings, and between the first two, which make the first figure.
PERIOD, FIRST = 2.0, 0.5

Wire = dict[str, Any]


class Used(Shape, frozen=True, kw_only=True):
    """``cpu``: percent of one processor since the reading before; the rest in bytes, but ``pids``."""

    id: str
    cpu: float
    memory: int
    limit: int
    read: int
    write: int
    received: int
    sent: int
    pids: int


class Usage:
    """A :class:`labdock.jupyter.board.Watcher` while somebody asks."""

    def __init__(self, link: Link, board: Board) -> None:
        self._link = link
        self._board = board
        self._wanted: dict[object, frozenset[str] | None] = {}
        self._task: asyncio.Task[None] | None = None
        self._before: dict[str, tuple[float, int]] = {}
        self._stirred = asyncio.Event()
        self._news = asyncio.Condition()
        self.rounds = 0
        self.latest: dict[str, Used] = {}

    def join(self, who: object, ids: Iterable[str] | None) -> None:
        """*ids* None: all that run."""
        self._wanted[who] = None if ids is None else frozenset(ids)
        self._stirred.set()
        if self._task is None:
            self._board.join(self)
            self._task = asyncio.create_task(self._work(), name="labdock-usage")

    def leave(self, who: object) -> None:
        self._wanted.pop(who, None)
        if not self._wanted and self._task is not None:
            self._task.cancel()
            self._task = None
            self._board.leave(self)
            self._before, self.latest = {}, {}

    async def next(self, seen: int) -> int:
        """Wait for a reading after the one with the number *seen*; its number."""
        async with self._news:
            await self._news.wait_for(lambda: self.rounds > seen)
        return self.rounds

    def show_engine(self, engine: Engine) -> None:
        self._stirred.set()

    def show_state(self, state: State) -> None:
        self._stirred.set()

    def show_change(self, kind: str, id: str, value: Shape | None) -> None:
        if kind == "container":
            self._stirred.set()

    def _running(self) -> list[str]:
        asked = self._wanted.values()
        return [
            id
            for id, container in self._board.containers.items()
            if container.state in ALIVE and any(ids is None or id in ids for ids in asked)
        ]

    async def _work(self) -> None:
        while True:
            running = self._running()
            if not running:
                if self.latest:
                    self.latest, self._before = {}, {}
                    await self._tell()
                self._stirred.clear()
                await self._stirred.wait()
                continue
            known = all(id in self._before for id in running)
            await self._read(running)
            await self._tell()
            await asyncio.sleep(PERIOD if known else FIRST)

    async def _tell(self) -> None:
        async with self._news:
            self.rounds += 1
            self._news.notify_all()

    async def _read(self, running: list[str]) -> None:
        limit = asyncio.Semaphore(AT_ONCE)
        found: dict[str, Used] = {}

        async def read(id: str) -> None:
            # One that ends meanwhile has nothing to tell.
            async with limit:
                with contextlib.suppress(LabdockError):
                    wire = await self._link.fetch(path("containers", id, "stats"), {"stream": "0", "one-shot": "1"})
                    found[id] = self._show(id, wire)

        await asyncio.gather(*(read(id) for id in running))
        self.latest = found
        self._before = {id: self._before[id] for id in found}

    def _show(self, id: str, wire: Wire) -> Used:
        at = read_seconds(wire.get("read"))
        total = int(((wire.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage") or 0)
        before_at, before = self._before.get(id, (at, total))
        self._before[id] = (at, total)
        memory = wire.get("memory_stats") or {}
        disk = {"read": 0, "write": 0}
        for entry in (wire.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ():
            name = str(entry.get("op", "")).lower()
            disk[name] = disk.get(name, 0) + int(entry.get("value") or 0)
        nets = (wire.get("networks") or {}).values()
        return Used(
            id=id,
            cpu=round(max(total - before, 0) / 1e7 / (at - before_at), 1) if at > before_at else 0.0,
            memory=int(memory.get("usage") or 0),
            limit=int(memory.get("limit") or 0),
            read=disk["read"],
            write=disk["write"],
            received=sum(int(net.get("rx_bytes") or 0) for net in nets),
            sent=sum(int(net.get("tx_bytes") or 0) for net in nets),
            pids=int((wire.get("pids_stats") or {}).get("current") or 0),
        )
