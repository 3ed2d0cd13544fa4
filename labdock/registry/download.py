"""A blob as it streams: size and digest checked, gone on with where it broke off, from mirrors first."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import aiohttp

from labdock.errors import Corrupt, LabdockError, Unavailable
from labdock.registry import Repository
from labdock.registry.exchange import Exchange, Request
from labdock.registry.places import Place
from labdock.registry.retry import Again
from labdock.registry.wire import FAILURES, explain
from labdock.schema.oci import Descriptor

#: Times in all that one blob is gone on with, however often something came in between.
MOST_PIECES = 50
#: A sender slower than SLOWEST bytes in WINDOW seconds (of waiting for it) has stalled.
WINDOW = 60.0
SLOWEST = 16 * 1024
#: Progress that makes the attempts count from the beginning again, in bytes.
_PROGRESS = 64 * 1024

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class Piece:
    """One answer with the bytes of a blob from *offset* on, or from 0 by a server that knows no Range."""

    def __init__(self, exchange: Exchange, place: Place, repository: Repository, blob: Descriptor) -> None:
        self._exchange = exchange
        self._place = place
        self._blob = blob
        self._request_url = place.url(repository, f"blobs/{blob.digest}")
        self._scopes = (place.scope(repository),)

    async def read(self, offset: int) -> AsyncGenerator[bytes, None]:
        """The bytes from *offset* to the end that was announced. Raises Again (went wrong), LabdockError."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        request = Request(
            "GET", self._request_url, self._scopes, headers, expect=frozenset((200, 206, 416) if offset else (200,))
        )
        async with self._exchange.once(self._place, request) as response:
            skipped = self._check(response, request, offset)
            left = self._blob.size - offset
            async for data in _receive(response, request):
                if skipped:
                    data, skipped = data[skipped:], max(0, skipped - len(data))
                    if not data:
                        continue
                if len(data) > left:
                    raise self._wrong(request, "it is longer")
                left -= len(data)
                yield data
        if left:
            raise Again(Unavailable(f"{request.name}: the connection ended {left} bytes too early (unexpected EOF)"))

    def _check(self, response: aiohttp.ClientResponse, request: Request, offset: int) -> int:
        """How many bytes to leave out. Raises Again when the length that is announced is not the blob's."""
        size, skipped = self._blob.size, offset
        if response.status == 416:
            raise self._wrong(request, "it is shorter")
        if response.status == 206:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
            if found is None or int(found[1]) != offset or found[3] not in ("*", str(size)):
                raise self._wrong(request, f"its Content-Range is {response.headers.get('Content-Range')!r:.60}")
            skipped = 0
        announced = response.content_length
        if announced is not None and announced != size - offset + skipped:
            raise self._wrong(request, f"{announced} bytes are announced")
        return skipped

    def _wrong(self, request: Request, what: str) -> Again:
        text = f"{request.name}: the blob has {self._blob.size} bytes by its manifest, but {what}"
        return Again(Corrupt(text, hint="the registry, or a proxy in between, is at fault"), most=2)


async def _receive(response: aiohttp.ClientResponse, request: Request) -> AsyncIterator[bytes]:
    """What comes, as it comes. Raises Again when it breaks off, stalls or trickles."""
    loop = asyncio.get_running_loop()
    waited, came = 0.0, 0
    while True:
        since = loop.time()
        try:
            async with asyncio.timeout(max(0.01, WINDOW - waited)):
                data = await response.content.readany()
        except TimeoutError as error:
            raise Again(Unavailable(f"{request.name}: the registry stalled (i/o timeout)")) from error
        except FAILURES as error:
            raise explain(request.method, request.url, error) from error
        if not data:
            return
        # Only the waiting counts: a consumer may take its time.
        waited += loop.time() - since
        came += len(data)
        if came >= SLOWEST:
            waited, came = 0.0, 0
        yield data


class Download:
    """One blob from the first of *places* that has it; ``place``: who served last."""

    def __init__(
        self,
        exchange: Exchange,
        repository: Repository,
        blob: Descriptor,
        on_failure: Callable[[Place, LabdockError], None],
    ) -> None:
        self._exchange = exchange
        self._repository = repository
        self._blob = blob
        self._on_failure = on_failure
        self.place: Place | None = None

    async def read(self, places: AsyncIterator[Place], offset: int, *, verify: bool) -> AsyncGenerator[bytes, None]:
        """The bytes from *offset*. Raises what the last place fails with, Corrupt for another digest."""
        digest = hashlib.sha256() if verify and offset == 0 else None
        received, failed = offset, LabdockError("there is no place to ask")
        async for place in places:
            self.place = place
            pieces = self._read_from(place, received)
            try:
                async for data in pieces:
                    received += len(data)
                    if digest is not None:
                        digest.update(data)
                    yield data
            except LabdockError as error:
                if not place.mirror:
                    raise
                failed = error
                self._on_failure(place, error)
                continue
            finally:
                await pieces.aclose()
            if digest is not None and f"sha256:{digest.hexdigest()}" != self._blob.digest:
                raise Corrupt(
                    f"{place.url(self._repository, 'blobs/' + self._blob.digest)}: the bytes are"
                    f" sha256:{digest.hexdigest()}, not what was asked for",
                    hint="the registry, or a proxy in between, is at fault",
                )
            return
        raise failed

    async def _read_from(self, place: Place, offset: int) -> AsyncGenerator[bytes, None]:
        attempts = self._exchange.attempts(place)
        piece = Piece(self._exchange, place, self._repository, self._blob)
        size = self._blob.size
        for _ in range(MOST_PIECES):
            since = offset
            try:
                async with contextlib.aclosing(piece.read(offset)) as stream:
                    async for data in stream:
                        offset += len(data)
                        yield data
                return
            except Again as again:
                if offset - since >= _PROGRESS:
                    attempts.succeeded()
                if offset == size:
                    return
                await attempts.failed(again)
        raise Unavailable(f"{place.url(self._repository, 'blobs/' + self._blob.digest)}: broke off {MOST_PIECES} times")
