"""HTTP to the engine's unix socket, for asyncio: one connection an exchange, both ways at the reader's pace.

The bytes are read by :mod:`labdock.client.http1`, as the blocking client reads them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from labdock.client import http1
from labdock.client.failures import restore
from labdock.client.http1 import Head, Request
from labdock.errors import EngineUnreachable

BLOCK = 65_536
#: Seconds for an engine to take a connection: a full backlog is the only reason to wait.
CONNECTING = 10.0

Headers = tuple[tuple[str, str], ...]
Body = bytes | AsyncIterator[bytes] | None


class Reply:
    """An answer: its head, and its body to read once. Leaving its context hangs up."""

    def __init__(
        self,
        head: Head,
        method: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        early: bytes,
        sending: asyncio.Task[None] | None,
    ) -> None:
        self.head = head
        self.reader = reader
        self.writer = writer
        self.early = early
        self._body = http1.body_for(head, method)
        self._sending = sending

    @property
    def status(self) -> int:
        return self.head.status

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises EngineUnreachable when it breaks off."""
        data, self.early = self.early, b""
        while True:
            if data:
                for part in self._body.feed(data):
                    yield part
            if self._body.finished:
                return
            try:
                data = await self.reader.read(BLOCK)
            except OSError:
                data = b""
            if not data:
                self._body.end()

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([part async for part in self.chunks()])

    async def lines(self) -> AsyncIterator[bytes]:
        """The body's lines as they arrive, without their ends and without empty ones."""
        rest = b""
        async for chunk in self.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                if line.strip():
                    yield line
        if rest.strip():
            yield rest

    def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        self.writer.close()

    async def __aenter__(self) -> Reply:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.close()


async def connect(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to *path*. Raises EngineUnreachable."""
    try:
        async with asyncio.timeout(CONNECTING):
            return await asyncio.open_unix_connection(str(path), limit=4 * BLOCK)
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or "nobody answers"
        # The path stays here: this error may be shown in a browser.
        raise EngineUnreachable(
            f"cannot connect to the engine: {reason}",
            hint="`labdock engine start` starts one; `labdock doctor` says what this machine allows",
        ) from error


async def send(
    path: Path, method: str, target: str, headers: Headers = (), body: Body = None, *, upgrade: bool = False
) -> Reply:
    """The answer once its head is there, whatever its status. Raises EngineUnreachable."""
    reader, writer = await connect(path)
    sending: asyncio.Task[None] | None = None
    try:
        if body is None or isinstance(body, bytes):
            head = http1.encode_head(Request(method, target, headers, body, upgrade))
            writer.write(head + (body or b""))
        else:
            # An empty iterable: the head then says that chunks follow.
            writer.write(http1.encode_head(Request(method, target, headers, iter(()))))
            sending = asyncio.create_task(_send_chunks(writer, body), name="labdock-upload")
        found, early = await _read_head(reader, method, target)
    except BaseException:
        if sending is not None:
            sending.cancel()
        writer.close()
        raise
    return Reply(found, method, reader, writer, early, sending)


async def call(path: Path, method: str, target: str, headers: Headers = (), body: Body = None) -> bytes:
    """The whole answer. Raises labdock's errors for a status of 400 and more."""
    async with await send(path, method, target, headers, body) as reply:
        data = await reply.read()
        if reply.status >= 400:
            raise restore(reply.status, data)
        return data


async def open_stream(path: Path, method: str, target: str, headers: Headers = (), body: Body = None) -> Reply:
    """As :func:`send`, but an error's answer is raised."""
    reply = await send(path, method, target, headers, body)
    if reply.status < 400:
        return reply
    async with reply:
        raise restore(reply.status, await reply.read())


async def _send_chunks(writer: asyncio.StreamWriter, body: AsyncIterator[bytes]) -> None:
    # An engine that refuses a body answers before it has all of it; the answer tells why.
    with contextlib.suppress(OSError):
        async for part in body:
            if part:
                writer.write(http1.encode_chunk(part))
                await writer.drain()
        writer.write(http1.LAST_CHUNK)
        await writer.drain()


async def _read_head(reader: asyncio.StreamReader, method: str, target: str) -> tuple[Head, bytes]:
    data = b""
    while (parsed := http1.parse_head(data)) is None:
        try:
            more = await reader.read(BLOCK)
        except OSError:
            more = b""
        if not more:
            raise EngineUnreachable(
                f"the engine hung up on {method} {target.partition('?')[0]}",
                hint="it may have been stopped or restarted meanwhile; `labdock engine logs` shows its last words",
            )
        data += more
        if data.startswith(b"HTTP/1.1 100"):
            data = data.partition(b"\r\n\r\n")[2]
    return parsed
