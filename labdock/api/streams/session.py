"""Attach and exec: one process's streams over one hijacked connection.

The client asks with ``Upgrade: tcp`` (answered by 101 UPGRADED) or without (the form from before API 1.20: 200 OK,
then the same raw bytes). Output goes out raw when framing is off (a terminal), else in frames.
"""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from labdock.api.facade import Streams
from labdock.api.streams.answer import head
from labdock.api.streams.detach import DetachMatcher
from labdock.api.streams.frames import MULTIPLEXED, RAW, frame
from labdock.api.streams.wire import Answered, ClientGone, Wire
from labdock.errors import LabdockError

_MULTIPLEXED_SINCE = (1, 42)


def take(request: web.Request) -> Wire:
    """Take the connection over, before anything else is awaited, so that no early byte or end is lost."""
    return Wire.take(request, eof_is_end=False)


async def carry(
    request: web.Request,
    wire: Wire,
    streams: Streams,
    *,
    framed: bool,
    stdin: bool,
    version: tuple[int, int],
    detach: DetachMatcher | None = None,
) -> Answered:
    """Answer the head, then carry bytes until the process ends, the client goes away or detaches.

    ``stdin``: hand on what the client sends, and its end. ``detach``: watch that input for the detach keys.
    """
    inward: asyncio.Task[None] | None = None
    try:
        with contextlib.suppress(ClientGone):
            wire.send(_head(request, framed, version))
            async with wire.attended():
                inward = asyncio.create_task(_inward(wire, streams, stdin, detach))
                await wire.wait_taken()
                await _outward(wire, streams, framed)
    finally:
        if inward is not None:
            inward.cancel()
            await asyncio.wait({inward})
        await streams.close()
    await wire.finish()
    return Answered(keep_alive=False)


async def refuse(
    request: web.Request, wire: Wire, error: LabdockError, *, framed: bool, version: tuple[int, int]
) -> Answered:
    """Answer the head, and *error* as the only output."""
    text = f"{error.message}\r\n".encode()
    with contextlib.suppress(ClientGone):
        wire.send(_head(request, framed, version))
        async with wire.attended():
            await wire.wait_taken()
        wire.send(frame("stdout", text) if framed else text)
    await wire.finish()
    return Answered(keep_alive=False)


def _head(request: web.Request, framed: bool, version: tuple[int, int]) -> bytes:
    content_type = MULTIPLEXED if framed and version >= _MULTIPLEXED_SINCE else RAW
    if request.headers.get("Upgrade"):
        return head(101, {"Content-Type": content_type, "Connection": "Upgrade", "Upgrade": "tcp"}, "UPGRADED")
    return head(200, {"Content-Type": content_type, "Connection": "close"})


async def _outward(wire: Wire, streams: Streams, framed: bool) -> None:
    """Output until its end. An error of the stream itself (a client that lagged too far) becomes its last frame."""
    try:
        while (found := await streams.read()) is not None:
            stream, data = found
            wire.send(frame(stream, data) if framed else data)
            await wire.drain()
    except ClientGone:
        raise
    except (LabdockError, OSError) as error:
        if framed:
            wire.send(frame("error", str(error).encode()))


async def _inward(wire: Wire, streams: Streams, stdin: bool, detach: DetachMatcher | None) -> None:
    """The client's bytes to the process; without *stdin* they are only read away, so that its end is seen."""
    wanted = stdin
    while data := await wire.read():
        if not wanted:
            continue
        detached = False
        if detach is not None:
            data, detached = detach.feed(data)
        try:
            if data:
                await streams.write(data)
        except (LabdockError, OSError):
            wanted = False  # the process has closed its stdin or has ended; its output may still go on
        if detached:
            wire.let_go()
            return
    if wanted:
        with contextlib.suppress(LabdockError, OSError):
            if detach is not None and (held := detach.flush()):
                await streams.write(held)
            await streams.close_stdin()
