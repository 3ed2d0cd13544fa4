"""A blob to a registry: found there, mounted from a neighbour, or sent whole (distribution-spec, "Pushing blobs")."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from labdock.errors import Corrupt, LabdockError, NotFound, SystemFailure, Unavailable
from labdock.registry import Progress, Repository, Source
from labdock.registry.exchange import Exchange, Request
from labdock.registry.places import Place
from labdock.registry.retry import Again
from labdock.schema.oci import Descriptor

#: Seconds in which the registry must take something more, and in which it must answer when it has everything.
STALL = 60.0
SETTLE = 300.0


class Upload:
    """One blob into one repository at *place*, which is no mirror."""

    def __init__(self, exchange: Exchange, place: Place, repository: Repository, blob: Descriptor) -> None:
        self._exchange = exchange
        self._place = place
        self._repository = repository
        self._blob = blob
        self._scopes: tuple[str, ...] = (place.scope(repository, "pull,push"),)

    async def exists(self) -> bool:
        request = Request(
            "HEAD",
            self._place.url(self._repository, f"blobs/{self._blob.digest}"),
            self._scopes,
            expect=frozenset((200, 404)),
        )
        async with self._exchange.send(self._place, request) as response:
            if response.status == 404:
                return False
            length = response.headers.get("Content-Length")
            # quirk: some answer HEAD without a length; a wrong one means something else is there.
            return length is None or length == str(self._blob.size)

    async def run(self, source: Source, mount_from: Repository | None, on_progress: Progress) -> bool:
        """False when the registry had it (or a neighbour's could be mounted). Raises LabdockError."""
        attempts = self._exchange.attempts()
        while True:
            try:
                location = await self._begin(mount_from)
                if location is None:
                    return False
                await self._put(location, source, on_progress)
            except Again as again:
                on_progress(0)
                await attempts.failed(again)
            else:
                return True

    async def _begin(self, mount_from: Repository | None) -> str | None:
        """Where to send it; None when it was mounted."""
        url = self._place.url(self._repository, "blobs/uploads/")
        scopes = self._scopes
        if mount_from is not None:
            url += f"?mount={quote(self._blob.digest)}&from={quote(mount_from.path, safe='/')}"
            scopes = (*scopes, self._place.scope(mount_from))
        request = Request("POST", url, scopes, {"Content-Length": "0"}, b"", frozenset((201, 202)))
        try:
            async with self._exchange.once(self._place, request) as response:
                if response.status == 201:
                    return None
                location = response.headers.get("Location", "")
        except LabdockError:
            if mount_from is None:
                raise
            # Not allowed to read the neighbour, or no such one: then it is sent.
            return await self._begin(None)
        if not location:
            raise SystemFailure(f"{request.name}: the registry does not say where to send the blob")
        return self._exchange.redirect(request, url, location)

    async def _put(self, location: str, source: Source, on_progress: Progress) -> None:
        parts = urlsplit(location)
        query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), ("digest", self._blob.digest)])
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(self._blob.size)}
        url = urlunsplit(parts._replace(query=query))
        loop = asyncio.get_running_loop()
        broken: list[Exception] = []
        deadline = asyncio.timeout(STALL)

        def extend(seconds: float) -> None:
            with contextlib.suppress(RuntimeError):  # it is over: so is the request
                deadline.reschedule(loop.time() + seconds)

        async def watched() -> AsyncIterator[bytes]:
            sent = 0
            extend(STALL)
            try:
                async for data in source():
                    sent += len(data)
                    if sent > self._blob.size:
                        break
                    yield data
                    extend(STALL)
                    on_progress(sent)
            except Exception as error:
                broken.append(error)
                raise
            if sent != self._blob.size:
                broken.append(Corrupt(f"blob {self._blob.digest}: has {sent} bytes or more, not {self._blob.size}"))
                raise broken[0]
            extend(SETTLE)

        request = Request("PUT", url, self._scopes, headers, watched, frozenset((201, 204)))
        try:
            async with deadline, self._exchange.once(self._place, request):
                return
        except TimeoutError as error:
            raise Again(Unavailable(f"{request.name}: the registry takes nothing more (i/o timeout)")) from error
        except NotFound as error:
            # The upload is gone on their side (a registry that was restarted): begin anew.
            raise Again(error, most=3) from error
        except Again:
            if broken:
                raise broken[0] from None
            raise
