"""Signals during a foreground program: passed on to it, and the terminal's size with them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from labdock.errors import LabdockError

if TYPE_CHECKING:
    from labdock.commands.face import Target

PROXIED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
ENOUGH = 3


class GaveUp(LabdockError):
    """The user asked three times; the program goes on without us, as with docker."""

    exit_code = 1


class Signals:
    """While it is entered, signals arrive as bytes on ``descriptor`` and ``handle`` acts on them.

    Handlers run in no-one's middle: Python's own only write to a pipe, which the conversation's poll sees.
    """

    def __init__(self, target: Target, size: Callable[[], tuple[int, int] | None] | None, proxy: bool) -> None:
        self._target = target
        self._size = size
        self._numbers = (*(PROXIED if proxy else ()), *((signal.SIGWINCH,) if size else ()))
        self._asked = 0
        self._last_size: tuple[int, int] | None = None

    def __enter__(self) -> Signals:
        self.descriptor, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before = [(number, signal.signal(number, _ignore)) for number in self._numbers]
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self

    def __exit__(self, *_exception: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before:
            signal.signal(number, handler)
        os.close(self.descriptor)
        os.close(self._write)

    def handle(self, arrived: bytes) -> None:
        """Act on each signal number in *arrived*."""
        for number in arrived:
            if number == signal.SIGWINCH:
                self.resize()
                continue
            if number in (signal.SIGINT, signal.SIGTERM):
                self._asked += 1
                if self._asked >= ENOUGH:
                    raise GaveUp(f"got {ENOUGH} SIGTERM/SIGINTs, forcefully exiting")
            # The program may have ended in this very moment.
            with contextlib.suppress(LabdockError):
                self._target.signal(signal.Signals(number).name.removeprefix("SIG"))

    def resize(self) -> None:
        """Give the program's terminal the size of ours when it changed."""
        size = self._size() if self._size else None
        if size is None or size == self._last_size:
            return
        self._last_size = size
        with contextlib.suppress(LabdockError):
            self._target.resize(*size)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor has carried the number already."""
