"""The registry on HTTP: a request is read, the holdings are asked, the answer is written.

Deadlines: a body that stops for BODY_IDLE seconds is given up (what arrived of an upload stays), and a reader of a
blob must take SLOWEST bytes a second on average. At most MOST_REQUESTS are served at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from labdock.errors import Corrupt, LabdockError
from labdock.registry.server import manifests, pages, ranges
from labdock.registry.server.accounts import Accounts
from labdock.registry.server.holdings import Held, Holdings
from labdock.registry.server.refusals import Code, Refusal, refuse
from labdock.registry.server.routes import WRITES, Resource, Route, check_digest, parse
from labdock.registry.server.sending import BlobAnswer, send_whole
from labdock.registry.server.uploads import Upload, Uploads
from labdock.schema import oci

BODY_IDLE = 60.0
MOST_REQUESTS = 512
#: Bytes of a body that are handed to a worker thread at a time.
_PIECE = 1 << 20
#: How long the rest of a refused body is read, so that its sender can read why, in seconds.
_LINGER = 2.0
#: Seconds between two looks for idle uploads.
_SWEEP = 30.0
#: Logins that are checked at a time, and those that may wait: scrypt takes 16 MiB and a core.
_CHECKS, _WAITING = 2, 64
_COMMON = {"Docker-Distribution-Api-Version": "registry/2.0", "X-Content-Type-Options": "nosniff"}
_JSON = "application/json"

T = TypeVar("T")
Handler = Callable[[web.Request, Route], Awaitable[web.StreamResponse]]
log = logging.getLogger("labdock.registry")


class Server:
    """Serves *holdings*."""

    def __init__(self, holdings: Holdings, accounts: Accounts, *, read_only: bool) -> None:
        self._holdings = holdings
        self._accounts = accounts
        self._read_only = read_only
        self._uploads = Uploads(lambda: asyncio.get_running_loop().time())
        self._served = 0
        self._checks = asyncio.Semaphore(_CHECKS)
        self._waiting = 0
        # Threads of its own: what waits here must not keep the engine's work waiting, and the other way round.
        self._quick = ThreadPoolExecutor(4, "labdock-registry")
        self._slow = ThreadPoolExecutor(2, "labdock-registry-slow")
        self._handlers: dict[tuple[Resource, str], Handler] = {
            (Resource.BASE, "GET"): self._base,
            (Resource.BASE, "HEAD"): self._base,
            (Resource.CATALOG, "GET"): self._catalog,
            (Resource.TAGS, "GET"): self._tags,
            (Resource.MANIFEST, "GET"): self._get_manifest,
            (Resource.MANIFEST, "HEAD"): self._get_manifest,
            (Resource.MANIFEST, "PUT"): self._put_manifest,
            (Resource.MANIFEST, "DELETE"): self._delete_manifest,
            (Resource.BLOB, "GET"): self._get_blob,
            (Resource.BLOB, "HEAD"): self._get_blob,
            (Resource.BLOB, "DELETE"): self._delete_blob,
            (Resource.UPLOADS, "POST"): self._begin,
            (Resource.UPLOAD, "GET"): self._show_upload,
            (Resource.UPLOAD, "PATCH"): self._patch,
            (Resource.UPLOAD, "PUT"): self._finish,
            (Resource.UPLOAD, "DELETE"): self._cancel,
            (Resource.REFERRERS, "GET"): self._referrers,
        }

    def application(self) -> web.Application:
        """To be served with AppRunner(..., handler_cancellation=False); its end drops every upload."""
        # A body is a blob's bytes: nobody may unpack them on the way.
        application = web.Application(
            handler_args={"access_log": None, "auto_decompress": False, "lingering_time": _LINGER}
        )
        application.router.add_route("*", "/{path:.*}", self.serve)
        application.cleanup_ctx.append(self._sweep)
        return application

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The one handler: every answer and every refusal leaves here."""
        self._served += 1
        try:
            answer = await self._serve(request)
        except LabdockError as error:
            answer = _refused(refuse(error))
        except (ConnectionError, web.PayloadAccessError, web.RequestPayloadError):
            answer = _refused(Refusal(Code.UNKNOWN, "the client went away", http=400))  # nobody will see it
        except TimeoutError:
            answer = _refused(Refusal(Code.UNKNOWN, f"no byte of the body came for {BODY_IDLE:g} s", http=408))
        except Exception as error:
            id = secrets.token_hex(6)
            log.error("request %s failed", id, exc_info=error)
            answer = _refused(Refusal(Code.UNKNOWN, f"the registry failed on this request (id {id})"))
        finally:
            self._served -= 1
        if answer.status >= 400 and not request.content.at_eof():
            # The rest of a refused body is not waited for.
            answer.force_close()
        return answer

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self._served > MOST_REQUESTS:
            raise Refusal(Code.TOOMANYREQUESTS, "too many requests at a time", headers={"Retry-After": "2"})
        await self._admit(request)
        route = parse(request.method, request.rel_url.raw_path)
        if self._read_only and request.method in WRITES:
            allowed = ", ".join(method for method in route.allowed if method not in WRITES)
            raise Refusal(Code.UNSUPPORTED, "this registry is served read-only", headers={"Allow": allowed})
        return await self._handlers[route.resource, request.method](request, route)

    async def _admit(self, request: web.Request) -> None:
        if self._accounts.open:
            return
        header = request.headers.get("Authorization", "")
        if header and self._accounts.knows(header):
            return
        if header:
            if self._waiting >= _WAITING:
                raise Refusal(Code.TOOMANYREQUESTS, "too many logins at a time", headers={"Retry-After": "2"})
            self._waiting += 1
            try:
                async with self._checks:
                    if self._accounts.knows(header) or await self._run(self._quick, self._accounts.check, header):
                        return
            finally:
                self._waiting -= 1
        raise Refusal(
            Code.UNAUTHORIZED,
            "authentication required" if not header else "the name or the password is wrong",
            headers={"WWW-Authenticate": 'Basic realm="labdock registry", charset="UTF-8"'},
        )

    async def _sweep(self, _: web.Application) -> AsyncIterator[None]:
        async def watch() -> None:
            while True:
                await asyncio.sleep(_SWEEP)
                for upload in self._uploads.expire():
                    await self._run(self._quick, upload.arriving.drop)

        task = asyncio.create_task(watch(), name="registry uploads")
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for pool in (self._quick, self._slow):
            await asyncio.to_thread(pool.shutdown)
        for upload in self._uploads.close_all():
            upload.arriving.drop()

    @staticmethod
    async def _run(pool: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)

    # -- listing

    async def _base(self, request: web.Request, route: Route) -> web.StreamResponse:
        return _json({})

    async def _catalog(self, request: web.Request, route: Route) -> web.StreamResponse:
        found = await self._run(self._quick, lambda: sorted(self._holdings.repositories()))
        page = pages.cut(found, request.query, "/v2/_catalog", most=1000)
        return _json({"repositories": page.entries}, headers=page.headers)

    async def _tags(self, request: web.Request, route: Route) -> web.StreamResponse:
        found = await self._run(self._quick, self._holdings.tags, route.name)
        ordered = sorted(found, key=lambda tag: (tag.lower(), tag))
        page = pages.cut(ordered, request.query, f"/v2/{route.name}/tags/list")
        return _json({"name": route.name, "tags": page.entries}, headers=page.headers)

    async def _referrers(self, request: web.Request, route: Route) -> web.StreamResponse:
        found = await self._run(self._quick, self._holdings.referrers, route.name, route.reference)
        wanted = request.query.get("artifactType")
        by_digest = {r.digest: r for r in found if not wanted or r.artifact_type == wanted}
        page = pages.cut(
            sorted(by_digest), request.query, f"/v2/{route.name}/referrers/{route.reference}", most=pages.REFERRERS
        )
        index = {
            "schemaVersion": 2,
            "mediaType": oci.INDEX,
            "manifests": [by_digest[digest] for digest in page.entries],
        }
        filtered = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
        return _json(index, headers={**page.headers, **filtered}, kind=oci.INDEX)

    # -- manifests

    async def _get_manifest(self, request: web.Request, route: Route) -> web.StreamResponse:
        held: Held = await self._run(self._quick, self._holdings.manifest, route.name, route.reference)
        headers = {
            "Content-Type": held.media_type,
            "Docker-Content-Digest": held.digest,
            "ETag": f'"{held.digest}"',
        }
        if request.headers.get("If-None-Match") in (headers["ETag"], held.digest):
            return web.Response(status=304, headers={**_COMMON, **headers})
        return web.Response(body=held.data, headers={**_COMMON, **headers})

    async def _put_manifest(self, request: web.Request, route: Route) -> web.StreamResponse:
        data = await _read_manifest(request)
        parsed = manifests.read(data, request.headers.get("Content-Type", ""))
        by_digest = ":" in route.reference
        if by_digest and route.reference != parsed.digest:
            raise Refusal(Code.DIGEST_INVALID, f"the manifest's digest is {parsed.digest}, not {route.reference}")
        await self._run(self._slow, self._keep, route.name, "" if by_digest else route.reference, parsed, data)
        headers = {
            "Location": f"/v2/{route.name}/manifests/{parsed.digest}",
            "Docker-Content-Digest": parsed.digest,
        }
        if parsed.subject:
            headers["OCI-Subject"] = parsed.subject
        return _empty(201, headers)

    def _keep(self, name: str, tag: str, parsed: manifests.Parsed, data: bytes) -> None:
        for part in parsed.blobs:
            try:
                found = self._holdings.blob(part.digest, keep=True)
            except Refusal as error:
                raise Refusal(
                    Code.MANIFEST_BLOB_UNKNOWN, f"the manifest names the blob {part.digest}, which is not here"
                ) from error
            if found.size != part.size:
                raise Refusal(
                    Code.SIZE_INVALID, f"the blob {part.digest} has {found.size} bytes; the manifest says {part.size}"
                )
        self._holdings.put(name, tag, parsed, data)

    async def _delete_manifest(self, request: web.Request, route: Route) -> web.StreamResponse:
        await self._run(self._slow, self._holdings.delete_manifest, route.name, route.reference)
        return _empty(202)

    # -- blobs

    async def _get_blob(self, request: web.Request, route: Route) -> web.StreamResponse:
        # Who asks whether it is here is about to push a manifest that names it.
        asks = request.method == "HEAD"
        blob = await self._run(self._quick, lambda: self._holdings.blob(route.reference, keep=asks))
        headers = {
            **_COMMON,
            "Content-Type": "application/octet-stream",
            "Docker-Content-Digest": route.reference,
            "Cache-Control": "max-age=31536000",
        }
        if request.headers.get("Range") is None or ranges.is_single(request.headers.get("Range")):
            return BlobAnswer(blob, headers)
        return await send_whole(request, blob, headers)

    async def _delete_blob(self, request: web.Request, route: Route) -> web.StreamResponse:
        await self._run(self._slow, self._holdings.delete_blob, route.reference)
        return _empty(202)

    # -- uploads

    async def _begin(self, request: web.Request, route: Route) -> web.StreamResponse:
        query = request.query
        if (mount := query.get("mount")) is not None:
            # Blobs are one set for all repositories, so `from` need not be looked at (spec: it may be left out).
            with contextlib.suppress(Refusal):
                check_digest(mount)
                await self._run(self._quick, lambda: self._holdings.blob(mount, keep=True))
                return _blob_made(route.name, mount)
        if (wanted := query.get("digest")) is not None:
            check_digest(wanted)
        upload = self._uploads.begin(route.name, self._holdings.begin)
        if wanted is None:
            return _empty(202, upload.headers())
        return await self._complete(request, upload, wanted)

    async def _show_upload(self, request: web.Request, route: Route) -> web.StreamResponse:
        return _empty(204, self._uploads.find(route.name, route.reference).headers())

    async def _patch(self, request: web.Request, route: Route) -> web.StreamResponse:
        upload = self._uploads.find(route.name, route.reference)
        await self._receive(request, upload)
        return _empty(202, upload.headers())

    async def _finish(self, request: web.Request, route: Route) -> web.StreamResponse:
        upload = self._uploads.find(route.name, route.reference)
        return await self._complete(request, upload, check_digest(request.query.get("digest", "")))

    async def _cancel(self, request: web.Request, route: Route) -> web.StreamResponse:
        upload = self._uploads.find(route.name, route.reference)
        with self._uploads.writing(upload):
            self._uploads.close(upload)
            await self._run(self._quick, upload.arriving.drop)
        return _empty(204)

    async def _complete(self, request: web.Request, upload: Upload, digest: str) -> web.StreamResponse:
        """Take what is left in the body, then make the blob of it."""
        await self._receive(request, upload)
        with self._uploads.writing(upload):
            try:
                await self._run(self._quick, upload.arriving.commit, digest)
            except Corrupt as error:
                raise Refusal(Code.DIGEST_INVALID, error.message) from error
            finally:
                self._uploads.close(upload)
                upload.arriving.drop()
        return _blob_made(upload.name, digest)

    async def _receive(self, request: web.Request, upload: Upload) -> None:
        """Add the body to *upload*. What arrived before the client went away or fell silent stays."""
        with self._uploads.writing(upload):
            size = ranges.check_chunk(upload.offset, request.headers.get("Content-Range"), request.content_length)
            before = upload.offset
            held = bytearray()
            try:
                while piece := await _next_piece(request):
                    if size is not None and upload.offset - before + len(held) + len(piece) > size:
                        raise Refusal(Code.SIZE_INVALID, f"the chunk has more than the {size} bytes it announced")
                    held += piece
                    if len(held) >= _PIECE:
                        await self._store(upload, held)
            finally:
                await self._store(upload, held)
            if size is not None and upload.offset - before != size:
                raise Refusal(Code.SIZE_INVALID, f"{upload.offset - before} bytes came of {size} announced")

    async def _store(self, upload: Upload, held: bytearray) -> None:
        """Write *held* and empty it. A disk that does not take it ends the upload."""
        if not held:
            return
        data = bytes(held)
        held.clear()
        try:
            await self._run(self._quick, upload.arriving.write, data)
        except BaseException:
            self._uploads.close(upload)
            upload.arriving.drop()
            raise
        self._uploads.add(upload, len(data))


async def _next_piece(request: web.Request) -> bytes:
    """What has come of the body; b"" at its end. Raises TimeoutError."""
    if request.content.at_eof():
        return b""
    async with asyncio.timeout(BODY_IDLE):
        return await request.content.read(_PIECE)


async def _read_manifest(request: web.Request) -> bytes:
    data = bytearray()
    while piece := await _next_piece(request):
        data += piece
        if len(data) > manifests.LARGEST:
            raise Refusal(
                Code.MANIFEST_INVALID, f"a manifest may have {manifests.LARGEST} bytes; this has more", http=413
            )
    return bytes(data)


def _json(value: Any, *, headers: dict[str, str] | None = None, kind: str = _JSON) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value) + b"\n", headers={**_COMMON, **(headers or {}), "Content-Type": kind}
    )


def _empty(status: int, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, headers={**_COMMON, **(headers or {})})


def _blob_made(name: str, digest: str) -> web.Response:
    return _empty(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})


def _refused(refusal: Refusal) -> web.Response:
    return web.Response(
        status=refusal.http, body=refusal.body(), headers={**_COMMON, **refusal.headers, "Content-Type": _JSON}
    )
