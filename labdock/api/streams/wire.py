"""A client's connection, taken over from aiohttp: raw bytes both ways, half-closes, flow control, disconnects.

aiohttp closes a connection as soon as its client ends its sending half, and tells a handler that only waits
nothing of a client that has gone. Attach, exec, logs, events and wait need both, so they take the transport:
:meth:`Wire.take` puts itself in the place of aiohttp's protocol, :meth:`Wire.give_back` returns it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import cast

from aiohttp import web

from labdock.api.streams.peers import is_unix
from labdock.api.streams.wires import WIRES

#: Reading stops above this many bytes not yet taken by the process.
READ_LIMIT = 256 << 10
#: ``drain`` waits above this many bytes not yet taken by the client; the kernel holds some 200 KiB more.
WRITE_LIMIT = 64 << 10
#: How long a closed stream still reads what its client was sending, so that the client sees an end and no reset.
LINGER_TIME = 1.0
#: How long output waits for the client to read the head before it. Seconds.
TAKEN_TIME = 1.0

log = logging.getLogger("labdock.api")


class ClientGone(ConnectionError):
    """The client went away, or was cut because it did not read."""


class Answered(web.StreamResponse):
    """What a handler returns when the answer has already gone out over a :class:`Wire`."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._stays = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._stays

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class Wire(asyncio.Protocol):
    """One connection. ``eof``: the client has ended its half; ``gone``: nothing more can be sent to it.
    ``was_blocked``: the client has been behind.
    """

    def __init__(self, request: web.Request, *, eof_is_end: bool) -> None:
        self.eof = False
        self.gone = False
        self.was_blocked = False
        self._eof_is_end = eof_is_end
        self._wires = request.app[WIRES]
        self._loop = asyncio.get_running_loop()
        self._waiters: list[asyncio.Future[None]] = []
        self._on_gone: Callable[[], None] | None = None
        self._received: deque[bytes] = deque()
        self._size = 0
        self._blocked = False
        self._discarding = False
        self._watched = -1
        self._hung_up = False
        # As it was sent: what was decoded might have newlines for the log.
        self._subject = f"{request.method} {request.rel_url.raw_path}"
        # aiohttp has no public way to leave its protocol; these two names are all that is used of it.
        self._previous = request.protocol
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ClientGone("the client went away before it was answered")
        self._transport = transport

    @classmethod
    def take(cls, request: web.Request, *, eof_is_end: bool) -> Wire:
        """Take *request*'s connection over; its body must have been read. ``eof_is_end``: a client that ends its
        sending half has gone (true for answers, false for a stream whose stdin may end first)."""
        wire = cls(request, eof_is_end=eof_is_end)
        previous, transport = wire._previous, wire._transport
        tail, previous._message_tail = previous._message_tail, b""
        transport.set_protocol(wire)
        transport.set_write_buffer_limits(high=WRITE_LIMIT)
        wire._wires.add(wire)
        if tail:
            wire.data_received(tail)
        if not wire._paused and not transport.is_reading():
            transport.resume_reading()
        if not eof_is_end:
            # Neither a paused nor an ended input is read any more: then a vanished client shows only as a hang-up.
            wire._watched = wire._wires.peers.watch(transport, wire._hang_up)
        return wire

    def give_back(self, *, keep_alive: bool) -> Answered:
        """Return the connection to aiohttp, with what came in meanwhile. ``keep_alive`` False closes it.

        Nothing may wait to be taken then: await :meth:`flush` after the last :meth:`send`.
        """
        self._unwatch()
        self._wires.discard(self)
        if self.gone:
            return Answered(keep_alive=False)
        self._transport.set_write_buffer_limits()
        self._transport.set_protocol(self._previous)
        self._transport.resume_reading()
        if keep_alive and not self.eof:
            while self._received:
                self._previous.data_received(self._received.popleft())
            return Answered(keep_alive=True)
        return Answered(keep_alive=False)

    # ---- what asyncio calls -------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        self._received.append(data)
        self._size += len(data)
        if self._paused and not self._hung_up:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self.eof = True
        if self._eof_is_end:
            self._leave()
            return False
        self._end_if_over()
        self._wake()
        return True

    def pause_writing(self) -> None:
        self._blocked = self.was_blocked = True

    def resume_writing(self) -> None:
        if not self._blocked:
            self._previous.resume_writing()  # the pause was its, from before the take-over
            return
        self._blocked = False
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self._wires.discard(self)
        self._previous.connection_lost(exc)
        self._leave()

    # ---- reading ------------------------------------------------------------------------------------------------

    async def read(self) -> bytes:
        """The next bytes; b"" when the client has ended its half or has gone."""
        while not self._received:
            self._end_if_over()
            if self.eof or self.gone:
                return b""
            await self._changed()
        data = self._received.popleft()
        was_paused = self._paused
        self._size -= len(data)
        if was_paused and not self._paused and not self.eof and not self.gone:
            self._transport.resume_reading()
        return data

    def _hang_up(self) -> None:
        """The client has closed both halves. What it had sent is still handed on: at most what the kernel holds."""
        self._hung_up = True
        if not self.eof:
            self._transport.resume_reading()
        self._end_if_over()

    def _end_if_over(self) -> None:
        if self._hung_up and self.eof and not self._received:
            self.abort()

    # ---- writing ------------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queue *data*. Callers that send without bound await :meth:`drain` or look at :attr:`backlog`."""
        if self.gone:
            raise ClientGone("the client went away")
        self._transport.write(data)

    @property
    def backlog(self) -> int:
        """Bytes sent that the client's side has not taken."""
        return self._transport.get_write_buffer_size()

    async def wait_taken(self) -> None:
        """Wait until the client has read all that was sent so far, at most :data:`TAKEN_TIME`; on unix sockets only.

        quirk: docker-py reads a hijacked stream beside the buffer that its HTTP parser has filled: what comes in the
        same read as the head is lost to it.
        """
        if self._watched >= 0 and is_unix(self._transport):
            await self._wires.peers.wait_taken(self._watched, TAKEN_TIME)

    @property
    def blocked(self) -> bool:
        """Whether :meth:`drain` would wait."""
        return self._blocked

    async def drain(self) -> None:
        """Wait until the client has caught up to less than :data:`WRITE_LIMIT`.

        One that takes nothing for as long as the wires' patience is cut: ClientGone.
        """
        waiting, until = self.backlog, self._loop.time() + self._wires.patience
        while self._blocked and not self.gone:
            try:
                async with asyncio.timeout_at(until):
                    await self._changed()
            except TimeoutError:
                left = self.backlog
                if left >= waiting:
                    self.cut(f"it took nothing for {self._wires.patience:g} s")
                waiting, until = left, self._loop.time() + self._wires.patience
        if self.gone:
            raise ClientGone("the client went away")

    async def flush(self) -> None:
        """Wait until the client has taken all; as :meth:`drain`."""
        self._transport.set_write_buffer_limits(high=0)
        await self.drain()

    async def finish(self) -> None:
        """End the stream: all that was sent goes out first, as far as patience goes, then the connection closes."""
        if self.gone:
            return
        self._discarding = True
        unread = bool(self._received) or not self._transport.is_reading()
        self._received.clear()
        self._size = 0
        try:
            await self.flush()
            if unread and not self.eof:
                await self._linger()
        except ClientGone:
            self._transport.abort()
        else:
            self._transport.close()

    async def _linger(self) -> None:
        # quirk: closing an AF_UNIX socket with unread bytes resets the peer, which may then miss the end.
        with contextlib.suppress(OSError, NotImplementedError):
            self._transport.write_eof()
        self._transport.resume_reading()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_TIME):
                while not self.eof and not self.gone:
                    await self._changed()

    def cut(self, why: str) -> None:
        """Cut off a client that does not read, and say so in the log."""
        log.warning("cut a client of %s: %s; %d bytes waited for it", self._subject, why, self.backlog)
        self.abort()

    def abort(self) -> None:
        """End the connection, whatever is still queued for the client."""
        self._transport.abort()
        self._leave()

    # ---- attending ----------------------------------------------------------------------------------------------

    def on_gone(self, callback: Callable[[], None] | None) -> None:
        """Have *callback* called once, when the client goes away (at once when it has); None takes it back."""
        self._on_gone = callback
        if self.gone and callback is not None:
            callback()

    def let_go(self) -> None:
        """End the attended block as if the client had gone; what was sent still goes out (detach keys)."""
        if self._on_gone is not None:
            self._on_gone()

    @contextlib.asynccontextmanager
    async def attended(self) -> AsyncIterator[None]:
        """Cancel the block as soon as the client has gone; ClientGone comes out of it then."""
        task = cast("asyncio.Task[object]", asyncio.current_task())
        cancelled = False

        def cancel() -> None:
            nonlocal cancelled
            if asyncio.current_task() is not task:  # else it sees ``gone`` itself, at its next send
                cancelled = True
                task.cancel()

        if self.gone:
            raise ClientGone("the client went away")
        self._on_gone = cancel
        try:
            yield
        except asyncio.CancelledError:
            if cancelled and task.uncancel() == 0:
                raise ClientGone("the client went away") from None
            raise
        finally:
            self._on_gone = None

    # ---- inside -------------------------------------------------------------------------------------------------

    @property
    def _paused(self) -> bool:
        return self._size > READ_LIMIT

    def _leave(self) -> None:
        if self.gone:
            return
        self.gone = True
        self._received.clear()
        if self._on_gone is not None:
            self._on_gone()
        self._wake()

    def _unwatch(self) -> None:
        if self._watched >= 0:
            self._wires.peers.forget(self._watched)
            self._watched = -1

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _changed(self) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)
