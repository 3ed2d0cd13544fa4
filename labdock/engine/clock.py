"""The clock of health checks, stats and the watchdog. Tests turn another one by hand."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> int:
        """ns since the epoch."""

    async def sleep(self, seconds: float, /) -> None: ...


class SystemClock:
    """The machine's own."""

    def now(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float, /) -> None:
        await asyncio.sleep(seconds)
