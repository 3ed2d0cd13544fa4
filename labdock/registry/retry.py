"""When to try again, and how long to wait before. Time is injected: a test has a clock of its own."""

from __future__ import annotations

import asyncio
import email.utils
import secrets
import time
from dataclasses import dataclass, field
from typing import Protocol

from labdock.errors import LabdockError


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""

    async def sleep(self, seconds: float) -> None: ...

    def jitter(self) -> float:
        """A number from 0 to 1, each time another."""


class SystemClock:
    def __init__(self) -> None:
        self._random = secrets.SystemRandom()

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        return self._random.random()


class Again(Exception):
    """An attempt failed in a way that may pass. ``error``: what to raise when it does not.

    ``after``: seconds that the server asks to wait; ``most``: attempts that make sense (None = the policy's).
    """

    def __init__(self, error: LabdockError, *, after: float | None = None, most: int | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after
        self.most = most


@dataclass(frozen=True, slots=True)
class Policy:
    """``attempts`` in all; pauses in seconds double from ``first`` up to ``longest``, half of each is jitter."""

    attempts: int = 5
    first: float = 0.4
    longest: float = 8.0
    #: A server that asks for a longer pause than this is not waited for.
    patience: float = 30.0

    def pause(self, attempt: int, jitter: float) -> float:
        """Seconds to wait after *attempt* (from 1) failed."""
        whole = min(self.longest, self.first * 2.0 ** min(attempt - 1, 30))
        return whole * (0.5 + jitter / 2)


@dataclass(slots=True)
class Attempts:
    """The attempts at one thing: ``await attempts.failed(again)`` waits, or raises what there is no help for."""

    clock: Clock
    policy: Policy = field(default_factory=Policy)
    made: int = 0

    async def failed(self, again: Again) -> None:
        self.made += 1
        most = self.policy.attempts if again.most is None else min(again.most, self.policy.attempts)
        if self.made >= most or (again.after or 0.0) > self.policy.patience:
            raise again.error from again
        await self.clock.sleep(max(again.after or 0.0, self.policy.pause(self.made, self.clock.jitter())))

    def succeeded(self) -> None:
        """Something came of it: count from the beginning again."""
        self.made = 0


def read_retry_after(value: str | None, now: float) -> float | None:
    """Seconds of a Retry-After header (a number, or a date: RFC 9110 §10.2.3); None for anything else."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
