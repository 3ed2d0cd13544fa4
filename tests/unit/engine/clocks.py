"""A clock that stands still until a test turns it."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

SECOND = 10**9


class TurnedClock:
    """A :class:`labdock.engine.clock.Clock`. ``slept`` has every pause that was asked for, in seconds."""

    def __init__(self, now: int = 1000 * SECOND) -> None:
        self._now = now
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self.slept: list[float] = []

    def now(self) -> int:
        return self._now

    async def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + round(seconds * SECOND), next(self._order), future))
        await future

    async def turn(self, seconds: float) -> None:
        """Let *seconds* pass; who sleeps meanwhile is woken at its time."""
        end = self._now + round(seconds * SECOND)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, at)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now = end
        await settle()


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(30):
        await asyncio.sleep(0)
