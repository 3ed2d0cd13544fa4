"""REST: a container's files, whether it runs or not."""

from __future__ import annotations

import asyncio
import io
import posixpath
import tarfile
import time
from collections.abc import AsyncIterator
from urllib.parse import quote

from tornado import web
from tornado.http1connection import HTTP1Connection

from labdock.client.caller import encode_query, path
from labdock.errors import InvalidRequest, NotFound
from labdock.jupyter import wire
from labdock.jupyter.access import Handler
from labdock.jupyter.proxy import LARGEST, UPLOADING
from labdock.jupyter.wire import Reply

TAR = (("Content-Type", "application/x-tar"),)


class FilesHandler(Handler):
    """One folder."""

    @web.authenticated
    async def get(self) -> None:
        container, place = self.argument("container"), self.get_query_argument("path", "/") or "/"
        await self.desk.link.ensure()
        found = await self.desk.link.fetch(path("labdock", "containers", container, "files"), {"path": place})
        entries = [{name.lower(): value for name, value in entry.items()} for entry in found["Entries"]]
        self.answer({"path": found["Path"], "entries": entries, "truncated": found["Truncated"]})


@web.stream_request_body
class ContentHandler(Handler):
    """One file's bytes: taken out as an attachment, or put in as they come."""

    _parts: asyncio.Queue[bytes | None]
    _putting: asyncio.Task[None] | None = None

    async def prepare(self) -> None:  # type: ignore[override]
        await super().prepare()
        if self._finished or self.request.method != "PUT":
            return
        if isinstance(self.request.connection, HTTP1Connection):
            self.request.connection.set_max_body_size(LARGEST)
        length = self.request.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise InvalidRequest("the file's length is not known: Content-Length is missing")
        container, place = self.argument("container"), posixpath.normpath("/" + self.argument("path"))
        folder, name = posixpath.split(place)
        if not name:
            raise InvalidRequest(f"{place} is a folder", hint="name the file as well")
        self._parts = asyncio.Queue(UPLOADING)
        self._putting = asyncio.create_task(self._put(container, folder, name, int(length)), name="labdock-upload")

    async def _put(self, container: str, folder: str, name: str, length: int) -> None:
        await self.desk.link.ensure()
        target = path("containers", container, "archive") + encode_query({"path": folder, "copyUIDGID": True})
        await wire.call(self.desk.link.path, "PUT", target, TAR, self._tar(name, length))

    async def _tar(self, name: str, length: int) -> AsyncIterator[bytes]:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = length, 0o644, int(time.time())
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        while (part := await self._parts.get()) is not None:
            yield part
        yield bytes(-length % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)

    async def _pass_on(self, part: bytes | None) -> None:
        if self._putting is None or self._putting.done():
            return
        giving = asyncio.ensure_future(self._parts.put(part))
        await asyncio.wait((giving, self._putting), return_when=asyncio.FIRST_COMPLETED)
        giving.cancel()

    async def data_received(self, chunk: bytes) -> None:
        await self._pass_on(chunk)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._putting is not None:
            self._putting.cancel()

    @web.authenticated
    async def put(self) -> None:
        assert self._putting is not None
        await self._pass_on(None)
        await self._putting
        self.set_status(204)
        self.finish()

    @web.authenticated
    async def get(self) -> None:
        container, place = self.argument("container"), self.argument("path")
        await self.desk.link.ensure()
        link = self.desk.link
        async with await link.stream("GET", path("containers", container, "archive"), {"path": place}) as reply:
            await self.while_wanted(self._send(reply, place))

    async def _send(self, reply: Reply, place: str) -> None:
        chunks = reply.chunks()
        info, rest = await _read_header(chunks)
        if not info.isreg():
            what = "a folder" if info.isdir() else "a link" if info.issym() else "no file"
            raise InvalidRequest(f"{place} is {what}", hint="docker/containers/ID/archive gives it as a tar")
        name = posixpath.basename(place)
        self.set_header("Content-Length", str(info.size))
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name, safe='')}")
        self.set_header("Content-Type", "application/octet-stream")
        left = info.size
        while True:
            part = rest[:left]
            left -= len(part)
            if part:
                self.write(part)
                await self.flush()
            if not left:
                break
            rest = await anext(chunks)
        await self.finish(set_content_type="application/octet-stream")


async def _read_header(chunks: AsyncIterator[bytes]) -> tuple[tarfile.TarInfo, bytes]:
    """The first member of a tar, and the bytes after its header. Long names take several blocks."""
    data = b""
    async for chunk in chunks:
        data += chunk
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
                info = archive.next()
        except tarfile.ReadError:
            continue
        if info is not None and len(data) >= info.offset_data:
            return info, data[info.offset_data :]
        if len(data) > 1 << 20:
            break
    raise NotFound("the engine gave no file")
