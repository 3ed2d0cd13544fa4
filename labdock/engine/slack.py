"""What a crowd of readers needed, or a slow one, is given back when they have gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from labdock.sys import memory

#: So many readers at a time are a crowd, and so many seconds after it the memory is given back.
CROWD, PAUSE = 32, 1.0


class Slack:
    """Counts readers. *trim* takes milliseconds, so it runs in a thread, once for each crowd."""

    def __init__(self, trim: Callable[[], None] = memory.trim, pause: float = PAUSE) -> None:
        self._trim = trim
        self._pause = pause
        self._open = 0
        self._most = 0
        self._due = False

    @contextmanager
    def reader(self) -> Iterator[None]:
        """For as long as somebody reads."""
        self._open += 1
        self._most = max(self._most, self._open)
        try:
            yield
        finally:
            self._open -= 1
            if self._open == 0 and self._most >= CROWD:
                self._most = 0
                self.give_back()

    def give_back(self) -> None:
        """Soon, and once for all who ask until then. Later: who has just ended still holds what it read."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(self._pause, self._act)

    def _act(self) -> None:
        self._due = False
        asyncio.get_running_loop().run_in_executor(None, self._trim)
