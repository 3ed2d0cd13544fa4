"""Waiting for a container's end, also for one that is gone already."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal

from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import ALIVE
from labdock.engine.records import ContainerRecord
from labdock.engine.supervisor import Supervisor
from labdock.errors import LabdockError

Condition = Literal["not-running", "next-exit", "removed"]
#: How many removed containers' exit codes are kept for a late `/wait`.
GRAVES = 256


@dataclass(frozen=True, slots=True)
class WaitResult:
    """``error`` is for a wait that went wrong, never for what kept a container from starting."""

    code: int
    error: str | None = None


class Waits:
    """Who waits for which container; the last removed ones' exit codes are kept under id and name."""

    def __init__(self, ledger: Ledger, supervisor: Supervisor) -> None:
        self._ledger = ledger
        self._supervisor = supervisor
        self._graves: OrderedDict[str, WaitResult] = OrderedDict()

    def bury(self, record: ContainerRecord) -> None:
        """It has been removed: a late `/wait` shall still know how it ended."""
        self._graves[record.id] = self._graves[record.name] = WaitResult(record.state.exit_code)
        while len(self._graves) > GRAVES:
            self._graves.popitem(last=False)

    def prepare(self, ref: str, condition: Condition) -> Awaitable[WaitResult]:
        """An awaitable for *condition*; NoSuchContainer at once. ``removed`` waits also for what never started."""
        future: asyncio.Future[WaitResult] = asyncio.get_running_loop().create_future()
        try:
            record = self._ledger.get(ref)
        except LabdockError:
            grave = self._graves.get(ref.removeprefix("/"))
            if grave is None:
                raise
            future.set_result(grave)
            return future
        if condition == "not-running" and record.state.status not in ALIVE:
            future.set_result(WaitResult(record.state.exit_code))
            return future
        live = self._supervisor.live(record.id)
        ended: asyncio.Future[ContainerRecord] = asyncio.get_running_loop().create_future()
        (live.removals if condition == "removed" else live.exits).append(ended)
        return _result_of(ended)


async def _result_of(ended: asyncio.Future[ContainerRecord]) -> WaitResult:
    record = await ended
    return WaitResult(record.state.exit_code)
