"""Attaching over a WebSocket (``/containers/ID/attach/ws``): the same streams, one message for each piece, no frames.

Binary messages, text ones before API 1.28 (moby: api/server/router/container, wsContainersAttach). Both of the
client's kinds go to stdin. A WebSocket has no half-close: stdin ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aiohttp import WSMsgType, web

from labdock.api.facade import Streams
from labdock.api.streams.detach import DetachMatcher
from labdock.api.streams.wires import WIRES
from labdock.errors import LabdockError

log = logging.getLogger("labdock.api")

BINARY_SINCE = (1, 28)
#: The largest message taken; a client's terminal or pipe sends far less at once.
LARGEST = 4 << 20
#: How long the other side gets to answer a close. Seconds.
GOODBYE = 2.0


def make_socket() -> web.WebSocketResponse:
    return web.WebSocketResponse(max_msg_size=LARGEST, timeout=GOODBYE, compress=False)


async def carry(
    request: web.Request,
    socket: web.WebSocketResponse,
    streams: Streams,
    *,
    binary: bool,
    stdin: bool,
    detach: DetachMatcher | None = None,
) -> None:
    """Carry messages until the process ends, the client goes away or detaches; then close."""
    outward = asyncio.create_task(_outward(request, socket, streams, binary))
    inward = asyncio.create_task(_inward(socket, streams, stdin, detach))
    both = {outward, inward}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        await asyncio.wait(both)
        await streams.close()
    with contextlib.suppress(ConnectionError):
        await socket.close()
    for task in both:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _outward(request: web.Request, socket: web.WebSocketResponse, streams: Streams, binary: bool) -> None:
    patience = request.app[WIRES].patience
    with contextlib.suppress(LabdockError, OSError):
        while (found := await streams.read()) is not None:
            data = found[1]
            try:
                async with asyncio.timeout(patience):
                    await (socket.send_bytes(data) if binary else socket.send_str(data.decode(errors="replace")))
            except TimeoutError:
                log.warning("cut a client of GET %s: it took nothing for %g s", request.rel_url.raw_path, patience)
                if request.transport is not None:
                    request.transport.abort()
                return


async def _inward(socket: web.WebSocketResponse, streams: Streams, stdin: bool, detach: DetachMatcher | None) -> None:
    wanted = stdin
    async for message in socket:
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT) or not wanted:
            continue
        data = message.data.encode() if message.type == WSMsgType.TEXT else message.data
        detached = False
        if detach is not None:
            data, detached = detach.feed(data)
        try:
            if data:
                await streams.write(data)
        except (LabdockError, OSError):
            wanted = False  # the process has closed its stdin or has ended; its output may still go on
        if detached:
            return
    if wanted:
        with contextlib.suppress(LabdockError, OSError):
            await streams.close_stdin()
