"""An answer in pieces over a :class:`Wire`: head at once, chunks as they come, then the next request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from http import HTTPStatus

import msgspec
from aiohttp import ClientPayloadError, HttpVersion11, web

from labdock.api.answers import COMMON_HEADERS, JSON, error_line
from labdock.api.failures import explain
from labdock.api.streams.wire import Answered, ClientGone, Wire

#: A client may be this many bytes behind before it is cut, where its producer can't be made to wait.
LAG_LIMIT = 16 << 20
#: Small pieces are gathered up to this size while more of them is at hand.
GATHER = 64 << 10
#: How long a client may have gone before work that has said nothing yet is ended. Seconds.
ATTENTION = 0.5

Send = Callable[[object], None]

_encode = msgspec.json.encode


def head(status: int, headers: dict[str, str], reason: str = "") -> bytes:
    """A response head, as bytes."""
    lines = [f"HTTP/1.1 {status} {reason or HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in {**COMMON_HEADERS, **headers}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class StreamAnswer:
    """A chunked answer (HTTP/1.0 clients get it plain, up to the connection's end)."""

    def __init__(self, request: web.Request, content_type: str, headers: dict[str, str] | None = None) -> None:
        """Sends the head at once; ClientGone when there is nobody any more."""
        self.wire = Wire.take(request, eof_is_end=True)
        self._loop = asyncio.get_running_loop()
        self._gathered = bytearray()
        self._chunked = request.version >= HttpVersion11
        self._keep_alive = self._chunked and request.keep_alive
        framing = {"Transfer-Encoding": "chunked"} if self._chunked else {"Connection": "close"}
        if self._chunked and not self._keep_alive:
            framing["Connection"] = "close"
        self.wire.send(head(200, {"Content-Type": content_type, **(headers or {}), **framing}))

    def send(self, data: bytes) -> None:
        """Send one piece at once. A client that lags by :data:`LAG_LIMIT` is cut: ClientGone."""
        if not data:
            return
        self.wire.send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        if self.wire.backlog > LAG_LIMIT:
            self.wire.cut("it is too far behind")

    def gather(self, data: bytes) -> bool:
        """Queue a small piece: it goes out when the loop next turns, or with more. True: await :meth:`drain` now."""
        gathered = self._gathered
        if not gathered:
            self._loop.call_soon(self._flush)
        gathered += data
        return len(gathered) >= GATHER or self.wire.blocked

    async def drain(self) -> None:
        self._flush()
        await self.wire.drain()

    async def finish(self) -> Answered:
        """End the answer; the connection is kept when the client wants that."""
        self._flush()
        if self.wire.gone:
            return self.wire.give_back(keep_alive=False)
        if self._chunked:
            self.wire.send(b"0\r\n\r\n")
        with contextlib.suppress(ClientGone):
            await self.wire.flush()
        return self.wire.give_back(keep_alive=self._keep_alive)

    def break_off(self) -> Answered:
        """End without the last chunk, so that the client knows that something is missing."""
        self.wire.abort()
        return self.wire.give_back(keep_alive=False)

    @contextlib.asynccontextmanager
    async def attended(self) -> AsyncIterator[None]:
        """Stop the block quietly when the client goes away. What it raises breaks the answer off: its status is out."""
        try:
            with contextlib.suppress(ClientGone):
                async with self.wire.attended():
                    yield
        except Exception:
            self.wire.abort()
            raise

    def _flush(self) -> None:
        if self._gathered:
            data = bytes(self._gathered)
            self._gathered.clear()
            if not self.wire.gone:
                self.wire.send(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)


class LineAnswer:
    """JSON lines from a producer that can't wait, begun by the first of them.

    Until the first line an error can still have a status of its own. The head goes out once the request's body has
    been read to its end (a rest that the producer left is thrown away); lines wait for that.
    """

    def __init__(self, request: web.Request, content_type: str = JSON) -> None:
        self._request = request
        self._content_type = content_type
        self._stream: StreamAnswer | None = None
        self._early = bytearray()
        self._opening: asyncio.Task[None] | None = None
        self._work: asyncio.Task[None] | None = None
        self._gone = False

    async def run(self, work: Callable[[Send], Coroutine[None, None, None]], *, late_errors: bool = False) -> Answered:
        """Run *work*, which sends its lines, to its end. A client that goes away, or lags by :data:`LAG_LIMIT`,
        cancels it. What it raises before the first line is raised here (*late_errors*: also becomes a line)."""
        self._work = asyncio.get_running_loop().create_task(work(self.send))
        try:
            while not self._work.done():
                await asyncio.wait({self._work}, timeout=None if self._begun else ATTENTION)
                # Before the first line nothing watches the connection: aiohttp only takes its transport away.
                if not self._begun and self._request.transport is None:
                    self._leave()
        finally:
            if not self._work.done():
                self._work.cancel()
                await asyncio.wait({self._work})
        failure = None if self._work.cancelled() else self._work.exception()
        if failure is not None and not self._gone:
            if not isinstance(failure, Exception):
                raise failure
            if not self._begun and not late_errors:
                raise failure
            self.send(error_line(explain(failure)))
        return await self._finish()

    def send(self, line: object) -> None:
        """Send one value as a line; never waits and never raises (a client that has gone ends the work)."""
        data = _encode(line) + b"\r\n"
        if self._stream is None and self._opening is None and self._request.content.at_eof():
            self._begin()
        if self._stream is not None:
            with contextlib.suppress(ClientGone):
                self._stream.send(data)
            return
        if self._gone:
            return
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._open())
        self._early += data
        if len(self._early) > LAG_LIMIT:
            self._leave()

    @property
    def _begun(self) -> bool:
        return self._stream is not None or self._opening is not None

    def _begin(self) -> None:
        try:
            self._stream = StreamAnswer(self._request, self._content_type)
        except ClientGone:
            self._leave()
            return
        self._stream.wire.on_gone(self._leave)
        with contextlib.suppress(ClientGone):
            self._stream.send(bytes(self._early))
        self._early.clear()

    async def _open(self) -> None:
        """Throw the rest of the body away, then begin."""
        try:
            while await self._request.content.readany():
                pass
        except (ConnectionError, web.PayloadAccessError, ClientPayloadError):
            self._leave()
        else:
            self._begin()

    def _leave(self) -> None:
        self._gone = True
        if self._work is not None:
            self._work.cancel()

    async def _finish(self) -> Answered:
        if self._opening is not None:
            await self._opening
        if self._stream is None and not self._gone:
            self._begin()
        if self._stream is None:
            return Answered(keep_alive=False)
        return await self._stream.finish()
