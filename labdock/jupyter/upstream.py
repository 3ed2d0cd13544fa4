"""One HTTP exchange with a container's web application: both bodies at their reader's pace, nothing kept whole."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine
from tornado.iostream import IOStream, StreamClosedError

from labdock.errors import LabdockError

#: Of one connection only (RFC 9110 §7.6.1), and what tornado's server has answered itself.
HOP = (
    *("Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization"),
    *("TE", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"),
)
BODIES = ("POST", "PUT", "PATCH")
LARGEST = 1 << 40
BLOCK = 65_536

Heading = Callable[[int, str, HTTPHeaders], Awaitable[None]]
Part = Callable[[bytes], Awaitable[None]]


class Broken(LabdockError):
    """Something listens there, and it is no web server, or it hung up."""

    status = 502
    code = "bad_gateway"


class Upstream(HTTPMessageDelegate):
    """``open``, then ``send`` each part of the request's body, then ``answer``; ``close`` at any time."""

    def __init__(self, what: str) -> None:
        """*what* is for messages: the port and its container."""
        self._what = what
        self._head: Heading | None = None
        self._part: Part | None = None
        self._whole = False

    async def open(self, path: Path, method: str, target: str, headers: HTTPHeaders) -> None:
        """Connect to the unix socket *path* and send the head. Raises Broken."""
        sent = HTTPHeaders()
        for name, value in headers.get_all():
            if name not in HOP:
                sent.add(name, value)
        if method in BODIES and "Content-Length" not in sent and "Transfer-Encoding" not in headers:
            sent["Content-Length"] = "0"
        self._stream = IOStream(socket.socket(socket.AF_UNIX), max_buffer_size=16 * BLOCK, read_chunk_size=BLOCK)
        limits = HTTP1ConnectionParameters(no_keep_alive=True, max_body_size=LARGEST, chunk_size=BLOCK)
        try:
            await self._stream.connect(str(path))
            self._connection = HTTP1Connection(self._stream, True, limits)
            await self._connection.write_headers(RequestStartLine(method, target, "HTTP/1.1"), sent)
        except (OSError, StreamClosedError) as error:
            self.close()
            raise Broken(f"{self._what} hung up") from error

    async def send(self, part: bytes) -> None:
        # Who answers before it has all of a body hangs up on the rest; the answer tells why.
        with contextlib.suppress(StreamClosedError):
            await self._connection.write(part)

    async def answer(self, head: Heading, part: Part) -> None:
        """Calls *head* once and *part* for each part of the body. Raises Broken when it ends before its end."""
        self._head, self._part = head, part
        with contextlib.suppress(StreamClosedError):
            self._connection.finish()
        try:
            with contextlib.suppress(StreamClosedError):
                await self._connection.read_response(self)
        finally:
            self.close()
        if self._failed is not None:
            raise self._failed
        if not self._whole:
            raise Broken(f"{self._what} gave no whole answer that is HTTP")

    def close(self) -> None:
        self._stream.close()

    # --- tornado's HTTPMessageDelegate; it logs what these raise and goes on, so that they keep it ------------------

    _failed: BaseException | None = None

    def headers_received(  # type: ignore[override]
        self, start_line: ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        # 100 and 103 come before the answer.
        if start_line.code < 200 or self._head is None:
            return None
        return self._keep(self._head(start_line.code, start_line.reason, headers))

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._keep(self._part(chunk)) if self._part is not None else None

    async def _keep(self, work: Awaitable[None]) -> None:
        if self._failed is not None:
            return
        try:
            await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failed = error
            self.close()

    def finish(self) -> None:
        self._whole = True

    def on_connection_close(self) -> None:
        """Before the end: ``answer`` says so."""
