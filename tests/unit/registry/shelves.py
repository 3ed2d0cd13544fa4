"""Holdings made of dicts and a folder: the second implementation behind the registry's server."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from labdock.errors import Corrupt, StorageFull
from labdock.registry.server import make_application
from labdock.registry.server.accounts import Accounts, seal
from labdock.registry.server.holdings import Blob, Held, Referrer
from labdock.registry.server.manifests import Parsed, referrer_type
from labdock.registry.server.refusals import Code, Refusal
from labdock.schema import oci


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Arriving:
    shelves: Shelves
    data: bytearray = field(default_factory=bytearray)
    dropped: bool = False

    def write(self, data: bytes) -> None:
        if len(self.data) + len(data) > self.shelves.room:
            raise StorageFull("writing a blob: No space left on device", hint="free some space")
        self.data += data

    def commit(self, digest: str) -> None:
        if digest_of(bytes(self.data)) != digest:
            raise Corrupt(f"the blob {digest} arrived as another")
        self.shelves.add(bytes(self.data))

    def drop(self) -> None:
        self.dropped = True


class Shelves:
    """``room``: bytes that an upload may have. ``arriving``: every upload that was begun."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.room = 1 << 30
        self.manifests: dict[tuple[str, str], Held] = {}
        self.parsed: dict[str, Parsed] = {}
        self.arriving: list[Arriving] = []

    def add(self, data: bytes) -> str:
        (self.folder / digest_of(data)[7:]).write_bytes(data)
        return digest_of(data)

    def repositories(self) -> Iterable[str]:
        return {name for name, _ in self.manifests}

    def tags(self, name: str) -> Iterable[str]:
        if name not in self.repositories():
            raise Refusal(Code.NAME_UNKNOWN, f"there is no repository {name}")
        return [reference for found, reference in self.manifests if found == name and ":" not in reference]

    def manifest(self, name: str, reference: str) -> Held:
        if reference == "broken":
            raise ZeroDivisionError("a defect")
        found = self.manifests.get((name, reference))
        if found is None:
            raise Refusal(Code.MANIFEST_UNKNOWN, f"there is no {name}:{reference}")
        return found

    def blob(self, digest: str, *, keep: bool = False) -> Blob:
        path = self.folder / digest[7:]
        if not path.exists():
            raise Refusal(Code.BLOB_UNKNOWN, f"there is no blob {digest}")
        return Blob(path, path.stat().st_size)

    def begin(self) -> Arriving:
        self.arriving.append(Arriving(self))
        return self.arriving[-1]

    def put(self, name: str, tag: str, parsed: Parsed, data: bytes) -> None:
        held = Held(parsed.digest, parsed.media_type, data)
        self.parsed[parsed.digest] = parsed
        self.manifests[name, parsed.digest] = held
        if tag:
            self.manifests[name, tag] = held

    def delete_manifest(self, name: str, reference: str) -> None:
        held = self.manifest(name, reference)
        for key, found in list(self.manifests.items()):
            if key == (name, reference) or (":" in reference and key[0] == name and found.digest == held.digest):
                del self.manifests[key]

    def delete_blob(self, digest: str) -> None:
        self.blob(digest).path.unlink()

    def referrers(self, name: str, digest: str) -> Iterable[Referrer]:
        for held in {held.digest: held for (found, _), held in self.manifests.items() if found == name}.values():
            parsed = self.parsed[held.digest]
            if parsed.subject == digest:
                yield Referrer(
                    media_type=held.media_type,
                    digest=held.digest,
                    size=len(held.data),
                    artifact_type=referrer_type(parsed),
                    annotations=parsed.annotations,
                )


@dataclass
class Served:
    shelves: Shelves
    session: aiohttp.ClientSession
    port: int
    application: web.Application

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        async with self.session.request(method, f"http://127.0.0.1:{self.port}{path}", **more) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    def image(self, *layers: bytes, **more: Any) -> bytes:
        """The manifest of an image whose blobs are here."""
        config = self.shelves.add(b'{"architecture":"amd64"}')
        return make_manifest(config, 24, [(self.shelves.add(x), len(x)) for x in layers], **more)


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The first error's."""
        found: str = self.json()["errors"][0]["code"]
        return found

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def make_manifest(config: str, size: int, layers: Iterable[tuple[str, int]], **more: Any) -> bytes:
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": oci.MANIFEST,
            "config": {"mediaType": oci.CONFIG, "digest": config, "size": size},
            "layers": [{"mediaType": oci.LAYER_TAR, "digest": digest, "size": size} for digest, size in layers],
            **more,
        }
    )


@contextlib.asynccontextmanager
async def serve(folder: Path, *logins: str, read_only: bool = False) -> AsyncIterator[Served]:
    """A registry over shelves in *folder* on a loopback port."""
    shelves = Shelves(folder)
    application = make_application(shelves, Accounts(seal(logins)), read_only=read_only)
    runner = web.AppRunner(application, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
            yield Served(shelves, session, port, application)
    finally:
        await runner.cleanup()
