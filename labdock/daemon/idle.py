"""Ending an engine that nobody uses. The clock is the event loop's; a test gives another one."""

from __future__ import annotations

from asyncio import TimerHandle
from collections.abc import Callable, Mapping
from typing import Protocol

from labdock.errors import InvalidRequest

VARIABLE = "LABDOCK_IDLE_STOP"


class Timer(Protocol):
    """A clock that can call back: ``loop.call_later``."""

    def __call__(self, seconds: float, act: Callable[[], None], /) -> TimerHandle: ...


def read_idle_stop(environment: Mapping[str, str]) -> float | None:
    """The seconds that *environment* asks for; None when it asks for none. Raises InvalidRequest."""
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError as error:
        raise InvalidRequest(f"{VARIABLE}={text!r} is not a number", hint="give seconds, such as 3600") from error
    return seconds if seconds > 0 else None


class IdleWatch:
    """Calls *expire* once nothing was *busy*, and *activity* (any growing count) stood still, for *seconds*.

    It looks once per period, so that expiry comes after one to two of them.
    """

    def __init__(
        self,
        seconds: float,
        busy: Callable[[], bool],
        activity: Callable[[], int],
        expire: Callable[[float], None],
        call_later: Timer,
    ) -> None:
        self._seconds = seconds
        self._busy = busy
        self._activity = activity
        self._expire = expire
        self._call_later = call_later
        self._seen = activity()
        self._timer = call_later(seconds, self._check)

    def _check(self) -> None:
        seen, last = self._activity(), self._seen
        if self._busy() or seen != last:
            self._seen = seen
            self._timer = self._call_later(self._seconds, self._check)
        else:
            self._expire(self._seconds)

    def cancel(self) -> None:
        self._timer.cancel()
