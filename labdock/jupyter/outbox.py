"""What waits to go to one browser. Bounded: news of one thing replaces older news of it that has not gone yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable

#: Seconds for a browser to take one frame; it is cut off then.
PATIENCE = 60.0
#: Bytes that may wait for a browser; it is cut off with more, and reads the state anew when it connects again.
MOST = 64 << 20

SLOW = "this page takes its messages too slowly and was cut off; it may connect again"
Send = Callable[[bytes], Awaitable[None]]


class Outbox:
    """Frames in the order of their coming; sent by one task, each when the one before is on its way."""

    def __init__(self, send: Send, cut: Callable[[str], None], patience: float = PATIENCE, most: int = MOST) -> None:
        """*cut* is called once, with the reason: a frame took *patience* seconds, or more than *most* bytes wait."""
        self._send = send
        self._cut = cut
        self._patience = patience
        self._most = most
        self._frames: dict[Hashable, bytes] = {}
        self._counter = 0
        self.size = 0
        self._ready = asyncio.Event()
        self.closed = False
        self._task = asyncio.create_task(self._work(), name="labdock-outbox")

    def put(self, frame: bytes, key: Hashable = None) -> None:
        """Send *frame* after what waits, and instead of a waiting one with the same *key* (None: with no other)."""
        if self.closed:
            return
        if key is None:
            self._counter += 1
            key = self._counter
        self._take(key)
        self._frames[key] = frame
        self.size += len(frame)
        self._ready.set()
        if self.size > self._most:
            self.close()
            self._cut(SLOW)

    def drop(self, unwanted: Callable[[Hashable], bool]) -> None:
        """Forget the frames that wait under keys that are *unwanted*."""
        for key in [key for key in self._frames if unwanted(key)]:
            self._take(key)

    def _take(self, key: Hashable) -> bytes:
        frame = self._frames.pop(key, b"")
        self.size -= len(frame)
        return frame

    def __len__(self) -> int:
        return len(self._frames)

    def close(self) -> None:
        self.closed = True
        self._frames.clear()
        self.size = 0
        self._task.cancel()

    async def _work(self) -> None:
        while True:
            await self._ready.wait()
            while self._frames:
                frame = self._take(next(iter(self._frames)))
                try:
                    async with asyncio.timeout(self._patience):
                        await self._send(frame)
                except TimeoutError:
                    self.close()
                    self._cut(SLOW)
                    return
            self._ready.clear()
