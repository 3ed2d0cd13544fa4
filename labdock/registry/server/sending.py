"""Sending a blob: by sendfile(2), one range of it when that is asked for, and never for longer than it may take."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from labdock.registry.server.holdings import Blob

#: The slowest reader that is served, in bytes a second on average, and what every one gets besides, in seconds.
SLOWEST, PATIENCE = 16 << 10, 60.0
_PIECE = 1 << 20


def deadline(size: int) -> float:
    """Seconds that sending *size* bytes may take."""
    return PATIENCE + size / SLOWEST


class BlobAnswer(web.FileResponse):
    """A blob, or the one range of it that the request names; HEAD sends none of it."""

    def __init__(self, blob: Blob, headers: dict[str, str]) -> None:
        super().__init__(blob.path, headers=headers)
        self._seconds = deadline(blob.size)

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        try:
            async with asyncio.timeout(self._seconds):
                return await super().prepare(request)
        except TimeoutError as error:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the reader of a blob was too slow") from error


async def send_whole(request: web.Request, blob: Blob, headers: dict[str, str]) -> web.StreamResponse:
    """All of *blob*, for a ``Range`` that is passed over (several ranges, another unit)."""
    answer = web.StreamResponse(headers={**headers, "Accept-Ranges": "bytes"})
    answer.content_length = blob.size
    try:
        async with asyncio.timeout(deadline(blob.size)):
            await answer.prepare(request)
            if request.method != "HEAD":
                with open(blob.path, "rb", buffering=0) as file:
                    while piece := await asyncio.to_thread(file.read, _PIECE):
                        await answer.write(piece)
            await answer.write_eof()
    except TimeoutError as error:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the reader of a blob was too slow") from error
    return answer
