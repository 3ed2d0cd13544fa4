"""What waits to go to one browser. Bounded: news of one thing replaces older news of it that has not gone yet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable

#: Seconds for a browser to take one frame; it is cut off then.
PATIENCE = 60.0

Send = Callable[[bytes], Awaitable[None]]


class Outbox:
    """Frames in the order of their coming; sent by one task, each when the one before is on its way."""

    def __init__(self, send: Send, cut: Callable[[str], None], patience: float = PATIENCE) -> None:
        """*cut* is called with the reason when the browser takes nothing for *patience* seconds."""
        self._send = send
        self._cut = cut
        self._patience = patience
        self._frames: dict[Hashable, bytes] = {}
        self._counter = 0
        self._ready = asyncio.Event()
        self._task = asyncio.create_task(self._work(), name="labdock-outbox")

    def put(self, frame: bytes, key: Hashable = None) -> None:
        """Send *frame* after what waits, and instead of a waiting one with the same *key* (None: with no other)."""
        if key is None:
            self._counter += 1
            key = self._counter
        self._frames.pop(key, None)
        self._frames[key] = frame
        self._ready.set()

    def drop(self, unwanted: Callable[[Hashable], bool]) -> None:
        """Forget the frames that wait under keys that are *unwanted*."""
        self._frames = {key: frame for key, frame in self._frames.items() if not unwanted(key)}

    def __len__(self) -> int:
        return len(self._frames)

    def close(self) -> None:
        self._frames.clear()
        self._task.cancel()

    async def _work(self) -> None:
        while True:
            await self._ready.wait()
            while self._frames:
                frame = self._frames.pop(next(iter(self._frames)))
                try:
                    async with asyncio.timeout(self._patience):
                        await self._send(frame)
                except TimeoutError:
                    self._cut("this page takes its messages too slowly and was cut off; it may connect again")
                    return
            self._ready.clear()
