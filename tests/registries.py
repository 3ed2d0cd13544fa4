"""A registry in this process that misbehaves on demand: made of dicts, on a loopback port of its own.

::

    async with serving(Registry()) as registry:                  # on the running event loop
    with threaded(Registry()) as registry:                       # in a thread, for engines in other processes
        registry.host                                            # "127.0.0.1:PORT"
        registry.add_blob(b"…"), registry.put("a/b", "latest", manifest)
        registry.misbehave("GET", "/blobs/", Status(503), times=2)

A fault is for the requests whose method and path (with query) match, as often as it says; what is left over is
answered by the rules. ``registry.seen`` has every request, in order, with its headers.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import ssl
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

_PIECE = 64 * 1024


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came; ``headers`` by lower-case name."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


# -- faults


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this, whatever was asked."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection after *after* bytes of the body (-1: before anything of the answer)."""

    after: int = -1


@dataclass(frozen=True, slots=True)
class Short:
    """Announce and send only *size* bytes of the body, as if that were all."""

    size: int


@dataclass(frozen=True, slots=True)
class Longer:
    """Send *more* bytes after the body; announced when *announced*, else without any length."""

    more: int
    announced: bool = True


@dataclass(frozen=True, slots=True)
class Flip:
    """Turn over the bits of the body's byte *at*."""

    at: int = 0


@dataclass(frozen=True, slots=True)
class Stall:
    """Send *after* bytes of the body (-1: nothing at all), then nothing, with the connection open."""

    after: int = -1


@dataclass(frozen=True, slots=True)
class Trickle:
    """Send the body a byte at a time, with *seconds* in between."""

    seconds: float = 0.05


@dataclass(frozen=True, slots=True)
class NoRange:
    """Answer a Range request with 200 and all of it."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Send these bytes as the whole answer, then close."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Deaf:
    """Do not read the request's body, and do not answer."""


Fault = Status | Cut | Short | Longer | Flip | Stall | Trickle | NoRange | Raw | Deaf


@dataclass(slots=True)
class _Rule:
    method: str
    part: str
    fault: Fault
    left: int


# -- who may


@dataclass(frozen=True, slots=True)
class Basic:
    """One user who may do everything; nobody else may do anything."""

    username: str = "user"
    password: str = "secret"


@dataclass(slots=True)
class Bearer:
    """Tokens from ``/token`` of this registry: for *users*, and to pull without any when *anonymous*.

    ``lifetime``: requests that a token is good for (0: endless), so that no test needs a clock.
    """

    users: Mapping[str, str] = field(default_factory=lambda: {"user": "secret"})
    anonymous: bool = True
    lifetime: int = 0
    realm: str = ""
    identity: str = "identity-token"
    issued: dict[str, tuple[frozenset[str], int]] = field(default_factory=dict)


class Registry:
    """See the module. All may be changed while it serves."""

    def __init__(self, auth: Basic | Bearer | None = None) -> None:
        self.auth = auth
        self.blobs: dict[str, bytes] = {}
        #: (repository, digest) that may be read there: a blob is mounted to be seen elsewhere.
        self.held: set[tuple[str, str]] = set()
        self.manifests: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.seen: list[Seen] = []
        self.host = ""
        self.scheme = "http"
        self.page = 1000
        #: Sent with every answer (rate limits, for example).
        self.headers: dict[str, str] = {}
        #: Where blobs really are: a redirect to this URL, the digest behind it.
        self.storage = ""
        self._rules: list[_Rule] = []
        self._uploads: dict[str, bytearray] = {}
        self._number = 0

    # -- what a test puts in

    def misbehave(self, method: str, part: str, fault: Fault, *, times: int = 1) -> None:
        """The next *times* requests with *method* ("" = any) and *part* in their path get *fault*."""
        self._rules.append(_Rule(method, part, fault, times))

    def add_blob(self, data: bytes, *repositories: str) -> str:
        """Gives its digest. In no *repositories*: readable in all."""
        digest = digest_of(data)
        self.blobs[digest] = data
        self.held |= {(repository, digest) for repository in repositories or ("",)}
        return digest

    def put(self, repository: str, reference: str, body: bytes | Mapping[str, Any], kind: str = MANIFEST) -> str:
        """A manifest under its digest and *reference*; gives the digest."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        digest = digest_of(data)
        for name in (reference, digest):
            self.manifests[repository, name] = (data, kind)
        return digest

    def add_image(self, repository: str, tag: str, layers: list[bytes], config: Mapping[str, Any]) -> str:
        """An OCI image of uncompressed or compressed *layers* as they are; gives the manifest's digest."""
        plain = json.dumps(config).encode()
        for data in (plain, *layers):
            self.add_blob(data, repository)

        def describe(data: bytes, kind: str) -> dict[str, Any]:
            return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}

        kinds = [f"{LAYER}+gzip" if data[:2] == b"\x1f\x8b" else LAYER for data in layers]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": describe(plain, CONFIG),
            "layers": [describe(data, kind) for data, kind in zip(layers, kinds, strict=True)],
        }
        return self.put(repository, tag, manifest)

    def asked(self, method: str, part: str) -> list[Seen]:
        """The requests so far that match."""
        return [seen for seen in self.seen if seen.method == method and part in seen.path]

    # -- a connection

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, ValueError):
            pass
        finally:
            writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            first_byte = await reader.readexactly(1)
            if first_byte == b"\x16":
                # TLS, to somebody who speaks plain: answered as Go's servers do.
                writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n")
                await writer.drain()
                return False
            head = first_byte + await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return False
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        rule = next(
            (r for r in self._rules if r.left and r.method in ("", method) and r.part in path),
            None,
        )
        fault = rule.fault if rule is not None else None
        if rule is not None:
            rule.left -= 1
        if isinstance(fault, Deaf):
            self.seen.append(Seen(method, path, headers, b""))
            await _forever()
        body = await _read_body(reader, headers)
        seen = Seen(method, path, headers, body)
        self.seen.append(seen)
        if isinstance(fault, Status):
            answer = Answer(fault.status, dict(fault.headers), fault.body)
        else:
            answer = self._answer(seen, ranged=not isinstance(fault, NoRange))
        answer.headers = {**self.headers, **answer.headers}
        return await _send(writer, seen, answer, fault)

    # -- the rules

    def _answer(self, seen: Seen, *, ranged: bool) -> Answer:
        url = urlsplit(seen.path)
        path, query = unquote(url.path), {name: values[0] for name, values in parse_qs(url.query).items()}
        if path == "/token":
            return self._give_token(seen, query)
        if not path.startswith("/v2/"):
            return Answer(404, {}, b"404 page not found")
        repository, kind, rest = _take_apart(path.removeprefix("/v2/"))
        refused = self._refuse(seen, repository, "pull" if seen.method in ("GET", "HEAD") else "push")
        if refused is not None:
            return refused
        if not kind:
            return Answer(200, {"Content-Type": "application/json"}, b"{}")
        if kind == "catalog":
            names = sorted({name for name, _ in self.manifests})
            return self._list(names, "repositories", "/v2/_catalog", query)
        if kind == "tags":
            tags = sorted(ref for name, ref in self.manifests if name == repository and ":" not in ref)
            if not tags:
                return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
            return self._list(tags, "tags", f"/v2/{repository}/tags/list", query)
        if kind == "manifests":
            return self._manifest(seen, repository, rest)
        if kind == "uploads":
            return self._upload(seen, repository, rest, query)
        return self._blob(seen, repository, rest, ranged)

    def _list(self, names: list[str], key: str, path: str, query: Mapping[str, str]) -> Answer:
        most = min(int(query.get("n", self.page)), self.page)
        left = [name for name in names if name > query.get("last", "")]
        headers = {"Content-Type": "application/json"}
        if len(left) > most:
            headers["Link"] = f'<{path}?last={left[most - 1]}&n={most}>; rel="next"'
        return Answer(200, headers, json.dumps({key: left[:most]}).encode())

    def _manifest(self, seen: Seen, repository: str, reference: str) -> Answer:
        if seen.method == "PUT":
            kind = seen.headers.get("content-type", "")
            digest = self.put(repository, reference, seen.body, kind)
            return Answer(201, {"Docker-Content-Digest": digest, "Location": f"/v2/{repository}/manifests/{digest}"})
        found = self.manifests.get((repository, reference))
        if found is None:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return Answer(200, {"Content-Type": found[1], "Docker-Content-Digest": digest_of(found[0])}, found[0])

    def _blob(self, seen: Seen, repository: str, digest: str, ranged: bool) -> Answer:
        if digest not in self.blobs or not {(repository, digest), ("", digest)} & self.held:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if self.storage and seen.method == "GET":
            return Answer(307, {"Location": f"{self.storage}{digest}?signed=yes"})
        data = self.blobs[digest]
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        found = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("range", ""))
        if found and ranged:
            start = int(found[1])
            if start >= len(data):
                return Answer(416)
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return Answer(206, headers, data[start:])
        return Answer(200, headers, data)

    def _upload(self, seen: Seen, repository: str, upload: str, query: Mapping[str, str]) -> Answer:
        if seen.method == "POST":
            mounted, origin = query.get("mount", ""), query.get("from", "")
            if {(origin, mounted), ("", mounted)} & self.held:
                self.held.add((repository, mounted))
                return Answer(201, {"Location": f"/v2/{repository}/blobs/{mounted}"})
            self._number += 1
            upload = f"u{self._number}"
            self._uploads[upload] = bytearray()
            return Answer(202, {"Location": f"/v2/{repository}/blobs/uploads/{upload}?_state=a%2Bb"})
        if upload not in self._uploads:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        self._uploads[upload] += seen.body
        if seen.method == "PATCH":
            return Answer(202, {"Location": f"/v2/{repository}/blobs/uploads/{upload}"})
        data = bytes(self._uploads.pop(upload))
        if digest_of(data) != query.get("digest"):
            return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        return Answer(201, {"Docker-Content-Digest": self.add_blob(data, repository)})

    # -- who may

    def _refuse(self, seen: Seen, repository: str, action: str) -> Answer | None:
        given = seen.headers.get("authorization", "")
        if isinstance(self.auth, Basic):
            pair = base64.b64encode(f"{self.auth.username}:{self.auth.password}".encode()).decode()
            if given == f"Basic {pair}":
                return None
            return _unauthorized('Basic realm="a test"')
        if self.auth is None:
            return None
        scope = f"repository:{repository}:{'pull' if action == 'pull' else 'pull,push'}" if repository else ""
        scopes, left = self.auth.issued.get(given.removeprefix("Bearer "), (frozenset(), -1))
        if left >= 0 and (not scope or any(_covers(held, repository, action) for held in scopes)):
            if left == 1:
                del self.auth.issued[given.removeprefix("Bearer ")]
            elif left > 1:
                self.auth.issued[given.removeprefix("Bearer ")] = (scopes, left - 1)
            return None
        realm = self.auth.realm or f"{self.scheme}://{self.host}/token"
        asked = f',scope="{scope}"' if scope else ""
        return _unauthorized(f'Bearer realm="{realm}",service="a test"{asked}')

    def _give_token(self, seen: Seen, query: Mapping[str, str]) -> Answer:
        assert isinstance(self.auth, Bearer)
        form = {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}
        scopes = frozenset(
            (form.get("scope") or " ".join(parse_qs(urlsplit(seen.path).query).get("scope", []))).split()
        )
        given = seen.headers.get("authorization", "")
        known = False
        if given.startswith("Basic "):
            name, _, password = base64.b64decode(given[6:]).decode().partition(":")
            known = self.auth.users.get(name) == password
        elif form:
            known = form.get("refresh_token") == self.auth.identity
        if (given or form) and not known:
            return _error(401, "UNAUTHORIZED", "incorrect username or password")
        if not known:
            if not self.auth.anonymous:
                return _error(401, "UNAUTHORIZED", "authentication required")
            scopes = frozenset(scope for scope in scopes if scope.endswith(":pull"))
        value = f"token-{len(self.auth.issued)}-{len(self.seen)}"
        self.auth.issued[value] = (scopes, self.auth.lifetime)
        answer: dict[str, Any] = {"token": value, "expires_in": 300}
        if query.get("offline_token") and known:
            answer["refresh_token"] = self.auth.identity
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())


def _covers(scope: str, repository: str, action: str) -> bool:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return kind == "repository" and name == repository and action in actions.split(",")


def _take_apart(path: str) -> tuple[str, str, str]:
    """(repository, kind, rest) of what comes after /v2/."""
    if path == "_catalog":
        return "", "catalog", ""
    found = re.fullmatch(r"(.+)/(blobs/uploads|blobs|manifests|tags)/(.*)", path)
    if found is None:
        return "", "", ""
    return found[1], "uploads" if found[2] == "blobs/uploads" else found[2], found[3]


def _error(status: int, code: str, message: str) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message, "detail": None}]}).encode()
    return Answer(status, {"Content-Type": "application/json"}, body)


def _unauthorized(challenge: str) -> Answer:
    answer = _error(401, "UNAUTHORIZED", "authentication required")
    answer.headers["WWW-Authenticate"] = challenge
    return answer


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", ""):
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = bytearray()
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return bytes(body)


async def _send(writer: asyncio.StreamWriter, seen: Seen, answer: Answer, fault: Fault | None) -> bool:
    """Whether the connection may be used again."""
    if isinstance(fault, Raw):
        writer.write(fault.data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        return False
    if fault == Cut(-1):
        return False
    if fault == Stall(-1):
        await _forever()
    body, length = answer.body, str(len(answer.body))
    if isinstance(fault, Short):
        body, length = body[: fault.size], str(min(len(body), fault.size))
    elif isinstance(fault, Longer):
        body += b"x" * fault.more
        length = str(len(body)) if fault.announced else ""
    elif isinstance(fault, Flip):
        body = body[: fault.at] + bytes((body[fault.at] ^ 0xFF,)) + body[fault.at + 1 :]
    lines = [f"HTTP/1.1 {answer.status} Whatever", *(f"{name}: {value}" for name, value in answer.headers.items())]
    lines.append(f"Content-Length: {length}" if length else "Connection: close")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    if seen.method == "HEAD":
        await writer.drain()
        return bool(length)
    if isinstance(fault, Cut | Stall):
        body = body[: fault.after]
    step = 1 if isinstance(fault, Trickle) else _PIECE
    for at in range(0, len(body), step):
        writer.write(body[at : at + step])
        await writer.drain()
        if isinstance(fault, Trickle):
            await asyncio.sleep(fault.seconds)
    if isinstance(fault, Stall):
        await _forever()
    if isinstance(fault, Cut) or not length:
        # An orderly end of the stream: what was written arrives first.
        writer.close()
        await writer.wait_closed()
        return False
    return True


# -- serving


@contextlib.asynccontextmanager
async def serving(
    registry: Registry, *, tls: ssl.SSLContext | None = None, name: str = "127.0.0.1"
) -> AsyncIterator[Registry]:
    """*registry* on a free port of this host, as *name*:PORT, until the end of the block."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await registry.serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the block is over
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    registry.host = f"{name}:{server.sockets[0].getsockname()[1]}"
    registry.scheme = "https" if tls is not None else "http"
    try:
        yield registry
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


@contextlib.contextmanager
def threaded(registry: Registry) -> Iterator[Registry]:
    """*registry* served by a thread of its own, for clients in other processes. (No fork while it runs.)"""
    started = threading.Event()
    ended: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        end = asyncio.Event()
        async with serving(registry):
            ended.append((asyncio.get_running_loop(), end))
            started.set()
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="registry")
    thread.start()
    assert started.wait(10), "the registry did not start"
    try:
        yield registry
    finally:
        loop, end = ended[0]
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
