"""The engine's own API, streamed both ways; what takes a connection over is refused here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlencode

from tornado import web
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError

from labdock.errors import Forbidden
from labdock.jupyter.access import Handler
from labdock.jupyter.wire import Reply

#: What goes on to the engine of a request, and to the browser of an answer; cookies and tokens are in neither.
TO_ENGINE = ("Accept", "Content-Type", "X-Registry-Auth", "X-Registry-Config")
TO_BROWSER = ("content-type", "x-docker-container-path-stat", "api-version", "docker-experimental", "content-length")
#: Blocks of an upload under way to the engine.
UPLOADING = 16
#: Bytes that an upload may have: an archive of an image, a folder of files.
LARGEST = 1 << 40

_VERSION = re.compile(r"^/v\d+\.\d+(?=/)")
_HIJACKING = re.compile(
    r"^/(containers/[^/]+/attach(/ws)?|exec/[^/]+/start|session|grpc|labdock/containers/[^/]+/ports/.*)$"
)


def choose_target(path: str, query: str) -> str:
    """What the engine is asked for. Raises Forbidden for what takes the connection over."""
    if _HIJACKING.match(_VERSION.sub("", path)):
        raise Forbidden(
            f"{path} takes the connection over, which a browser's requests can't",
            hint="a terminal (POST terminals) is the way in",
        )
    kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "token"]
    return path + (f"?{urlencode(kept)}" if kept else "")


@web.stream_request_body
class DockerHandler(Handler):
    """``docker/<path>``: any method, any body."""

    _parts: asyncio.Queue[bytes | None]
    _asking: asyncio.Task[Reply] | None = None

    async def prepare(self) -> None:  # type: ignore[override]
        await super().prepare()
        if self._finished or self.request.method == "OPTIONS":
            return
        connection = self.request.connection
        if isinstance(connection, HTTP1Connection):
            connection.set_max_body_size(LARGEST)
        if self.request.headers.get("Upgrade"):
            raise Forbidden("connections are not upgraded here", hint="a terminal (POST terminals) is the way in")
        prefix = f"{self.base_url}labdock/api/docker"
        target = choose_target(self.request.path.removeprefix(prefix), self.request.query)
        headers = tuple((name, self.request.headers[name]) for name in TO_ENGINE if name in self.request.headers)
        self._parts = asyncio.Queue(UPLOADING)
        has_body = "Transfer-Encoding" in self.request.headers or self.request.headers.get("Content-Length", "0") != "0"
        work = self.desk.link.send(str(self.request.method), target, headers, self._body() if has_body else None)
        self._asking = asyncio.create_task(work, name="labdock-proxy")

    async def _body(self) -> AsyncIterator[bytes]:
        while (part := await self._parts.get()) is not None:
            yield part

    async def data_received(self, chunk: bytes) -> None:
        if self._asking is None or self._asking.done():
            return  # The engine has answered already; the rest is passed over.
        putting = asyncio.ensure_future(self._parts.put(chunk))
        await asyncio.wait((putting, self._asking), return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._asking is not None:
            self._asking.cancel()

    async def _pass_on(self) -> None:
        assert self._asking is not None
        if not self._asking.done():
            await self._end_upload(self._asking)
        async with await self.while_wanted(_result(self._asking)) as reply:
            self.set_status(reply.status, reply.head.reason or None)
            for name in TO_BROWSER:
                if name in reply.head.headers:
                    self.set_header(name, reply.head.headers[name])
            if "content-type" not in reply.head.headers:
                self.clear_header("Content-Type")
            await self.while_wanted(self._stream(reply))

    async def _end_upload(self, asking: asyncio.Task[Reply]) -> None:
        putting = asyncio.ensure_future(self._parts.put(None))
        await asyncio.wait((putting, asking), return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()

    async def _stream(self, reply: Reply) -> None:
        content_type = reply.head.headers.get("content-type", "application/octet-stream")
        # A followed log says that it is there before its first line comes.
        if reply.head.headers.get("transfer-encoding"):
            await self.flush()
        async for part in reply.chunks():
            self.write(part)
            await self.flush()
        if reply.status in (204, 304):
            self.clear_header("Content-Length")
        await self.finish(set_content_type=content_type)

    def on_finish(self) -> None:
        super().on_finish()
        if self._asking is not None and not self._asking.done():
            self._asking.cancel()

    @web.authenticated
    async def get(self) -> None:
        await self._pass_on()

    @web.authenticated
    async def head(self) -> None:
        await self._pass_on()

    @web.authenticated
    async def post(self) -> None:
        await self._pass_on()

    @web.authenticated
    async def put(self) -> None:
        await self._pass_on()

    @web.authenticated
    async def delete(self) -> None:
        await self._pass_on()


async def _result(asking: asyncio.Task[Reply]) -> Reply:
    try:
        return await asking
    except asyncio.CancelledError as error:
        raise StreamClosedError from error
