"""The bounded queue between a process's output and one reader of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from labdock.errors import Unavailable
from labdock.runtime import Stream

#: A reader may fall this many bytes behind before anybody waits for it …
BOUND = 8 << 20


class OutputQueue:
    """Bytes on their way to one reader, in order. ``put`` never waits; ``full`` tells the writer to hold on.

    ``on_room`` is called when a full queue has fallen to half its bound.
    """

    def __init__(self, on_room: Callable[[], None], bound: int = BOUND) -> None:
        self._items: deque[tuple[Stream, bytes]] = deque()
        self._size = 0
        self._bound = bound
        self._on_room = on_room
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def size(self) -> int:
        """The bytes that wait."""
        return self._size

    @property
    def full(self) -> bool:
        return self._size >= self._bound

    @property
    def roomy(self) -> bool:
        return self._size <= self._bound // 2

    @property
    def ended(self) -> bool:
        return self._ended

    def put(self, stream: Stream, data: bytes) -> None:
        if self._ended:
            return
        self._items.append((stream, data))
        self._size += len(data)
        self._wake()

    def end(self) -> None:
        """No more comes; what is queued can still be read."""
        self._ended = True
        self._wake()

    def cut(self, why: str) -> None:
        """Drop what is queued; the reader gets Unavailable with *why*."""
        self._items.clear()
        self._size = 0
        self._error = Unavailable(why, hint="the container's log has the whole output")
        self.end()

    def discard(self) -> None:
        """The reader is gone."""
        self._items.clear()
        self._size = 0
        self.end()

    async def get(self) -> tuple[Stream, bytes] | None:
        """The next bytes; None at the end. Raises Unavailable once when the reader was cut."""
        while not self._items:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if self._ended:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        was_full = self._size > self._bound // 2
        stream, data = self._items.popleft()
        self._size -= len(data)
        if was_full and self.roomy:
            self._on_room()
        return stream, data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
