"""Bytes between the event loop and a worker thread, in both directions, with a bound on what is under way."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TypeVar

T = TypeVar("T")

#: Bytes under way at most, not counting the piece that goes over it.
MOST = 8 << 20


class _Conduit:
    """Pieces in order, an end, and the error that is the end of it all. Any thread may put, take, end and fail."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._turned = asyncio.Event()

    def _turn(self) -> None:
        """Wake both sides; under the lock."""
        self._changed.notify_all()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._turned.set)

    def fail(self, failure: BaseException) -> None:
        """End it: both sides raise *failure* from now on."""
        with self._changed:
            self._failure = self._failure or failure
            self._pieces.clear()
            self._size = 0
            self._turn()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._turn()


class Inlet(_Conduit):
    """What arrives on the event loop, read by a thread as from a file."""

    async def feed(self, pieces: AsyncIterator[bytes]) -> None:
        """Put all of *pieces* in, as room is made; what they raise, the reader raises too."""
        try:
            async for piece in pieces:
                with self._changed:
                    self._pieces.append(piece)
                    self._size += len(piece)
                    self._changed.notify_all()
                while self._size > MOST and self._failure is None:
                    self._turned.clear()
                    if self._size > MOST:
                        await self._turned.wait()
                if self._failure is not None:
                    return
        except BaseException as error:
            self.fail(error if isinstance(error, Exception) else ConnectionAbortedError("the transfer was given up"))
            raise
        self._end()

    def read(self, size: int = -1, /) -> bytes:
        """*size* bytes, fewer only at the end; all when it is negative. For the thread."""
        taken: list[bytes] = []
        left = size
        with self._changed:
            while left:
                while not self._pieces and not self._ended and self._failure is None:
                    self._changed.wait()
                if self._failure is not None:
                    raise self._failure
                if not self._pieces:
                    break
                piece = self._pieces.popleft()
                if 0 <= left < len(piece):
                    self._pieces.appendleft(piece[left:])
                    piece = piece[:left]
                taken.append(piece)
                left -= len(piece) if left > 0 else 0
                was = self._size
                self._size -= len(piece)
                if was > MOST >= self._size:
                    self._turn()
        return taken[0] if len(taken) == 1 else b"".join(taken)


class Outlet(_Conduit):
    """What a thread writes as into a file, taken on the event loop piece by piece."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Hand *data* on; waits while too much is under way. For the thread."""
        data = bytes(data)
        with self._changed:
            while self._size > MOST and self._failure is None:
                self._changed.wait()
            if self._failure is not None:
                raise self._failure
            self._pieces.append(data)
            self._size += len(data)
            if len(self._pieces) == 1:
                self._turn()
        return len(data)

    def end(self) -> None:
        """All was written."""
        self._end()

    async def pieces(self) -> AsyncIterator[bytes]:
        """What was written, until the end."""
        while True:
            with self._changed:
                if self._failure is not None:
                    raise self._failure
                piece = self._pieces.popleft() if self._pieces else None
                if piece is not None:
                    was = self._size
                    self._size -= len(piece)
                    if was > MOST >= self._size:
                        self._changed.notify_all()
                elif self._ended:
                    return
                else:
                    self._turned.clear()
            if piece is not None:
                yield piece
            else:
                await self._turned.wait()


async def run_alone(work: Callable[[], T]) -> T:
    """Run *work* in a thread of its own: its pace is a client's, and it would keep a place in the common pool for as
    long as that likes. Who cancels this makes *work* end by other means."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    thread = threading.Thread(target=run, name="labdock-transfer", daemon=True)
    thread.start()
    try:
        return await done
    finally:
        if done.done() and not done.cancelled():
            thread.join()  # it has nothing left to do


async def read_in_thread(pieces: AsyncIterator[bytes], work: Callable[[Inlet], T]) -> T:
    """Run *work* in a thread on what *pieces* brings. Raises what either raises; cancelled, the thread's next read
    fails and it is waited for."""
    inlet = Inlet()
    feeding = asyncio.create_task(inlet.feed(pieces))
    working = asyncio.create_task(run_alone(lambda: work(inlet)))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        inlet.fail(ConnectionAbortedError("the transfer was given up"))
        await asyncio.wait({working})
        raise
    finally:
        inlet.fail(ConnectionAbortedError("nobody reads any more"))
        feeding.cancel()
        await asyncio.wait({feeding})
        if not feeding.cancelled():
            feeding.exception()


async def write_in_thread(work: Callable[[Outlet], object]) -> AsyncGenerator[bytes, None]:
    """What *work* writes in a thread, piece by piece. Raises what it raises; closed early, its next write fails."""
    outlet = Outlet()

    def run() -> None:
        try:
            work(outlet)
        except BaseException as error:
            outlet.fail(error)
        else:
            outlet.end()

    working = asyncio.create_task(run_alone(run))
    try:
        async for piece in outlet.pieces():
            yield piece
    finally:
        outlet.fail(ConnectionAbortedError("nobody takes it any more"))
        await asyncio.wait({working})
