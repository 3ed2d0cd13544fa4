"""What a client sends along with a build: secrets, agents, contexts by name, caches, the context itself."""

from __future__ import annotations

import asyncio
import functools
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from labdock.build import DialAgent, StepRecord, StepRecords
from labdock.build.context import receive
from labdock.build.sources import Fetcher
from labdock.build.trees import MemoryTree
from labdock.engine.exports import read_cache
from labdock.engine.remotes import fetch_context
from labdock.errors import InvalidRequest, Unsupported
from labdock.images import archive
from labdock.images.store import Images
from labdock.schema.build_query import BuildQuery

#: A part of a build's body: its kind, its name, its bytes. The bytes are read before the next part is asked for.
Part = tuple[str, str, AsyncIterator[bytes]]
DialPath = Callable[[str], Awaitable[socket.socket]]
LARGEST_SECRET = 500 << 10
_MOST_SECRETS = 256


@dataclass(slots=True)
class Given:
    """What came. ``contexts``: trees, or the names of images."""

    tree: MemoryTree
    dockerfile: str
    secrets: dict[str, bytes] = field(default_factory=dict, repr=False)
    agents: dict[str, DialAgent] = field(default_factory=dict)
    contexts: dict[str, MemoryTree | str] = field(default_factory=dict)


class Intake:
    """Takes parts in."""

    def __init__(
        self, images: Images, records: StepRecords, fetcher: Fetcher | None, dial_agent: DialPath | None
    ) -> None:
        self._images = images
        self._records = records
        self._fetcher = fetcher
        self._dial_agent = dial_agent

    async def take(self, query: BuildQuery, parts: AsyncIterator[Part], folder: Path) -> Given:
        """All of *parts*, into *folder*. Raises InvalidRequest and what fetching raises."""
        given = Given(MemoryTree(folder), query.dockerfile)
        seen: set[str] = set()
        async for kind, name, data in parts:
            if kind == "secret":
                if len(given.secrets) >= _MOST_SECRETS:
                    raise InvalidRequest(f"a build takes at most {_MOST_SECRETS} secrets")
                given.secrets[name] = await _read_secret(name, data)
            elif kind == "context":
                given.contexts[name.lower()] = await self._take_context(query.contexts.get(name), name, data, folder)
            elif kind == "cache" and name in query.cache_parts:
                await self._take_cache(data, folder)
            elif kind == "main" and not query.remote:
                given.tree = await receive(data, _make_folder(folder))
                seen.add(kind)
            elif kind == "main":
                async for _ in data:
                    pass
            else:
                raise InvalidRequest(f"the build's body has a part {kind!r} {name!r} that was not announced")
        if query.remote:
            given.tree, alone = await fetch_context(self._need(), query.remote, _make_folder(folder))
            given.dockerfile = "Dockerfile" if alone else query.dockerfile
        elif not seen:
            raise InvalidRequest("the build's body has no context", hint="its last part is `main`, the context's tar")
        await self._fetch_contexts(query, given, folder)
        for id, path in query.agents.items():
            if self._dial_agent is None:
                raise Unsupported("this engine reaches no ssh agent")
            given.agents[id] = functools.partial(self._dial_agent, path)
        return given

    def _need(self) -> Fetcher:
        if self._fetcher is None:
            raise Unsupported("this engine fetches no contexts")
        return self._fetcher

    async def _take_context(
        self, announced: str | None, name: str, data: AsyncIterator[bytes], folder: Path
    ) -> MemoryTree | str:
        if announced == "part":
            return await receive(data, _make_folder(folder))
        if announced != "oci-layout":
            raise InvalidRequest(f"the context {name!r} was sent, but not announced as a part")
        file = await _spool(data, folder)
        with file:
            loaded = await asyncio.to_thread(archive.load, self._images, file, lambda line: None)
        if len(loaded) != 1:
            raise InvalidRequest(f"the OCI layout {name!r} has {len(loaded)} images; a context is one")
        return loaded[0].id

    async def _fetch_contexts(self, query: BuildQuery, given: Given, folder: Path) -> None:
        for name, value in query.contexts.items():
            if value.startswith("docker-image://"):
                given.contexts[name.lower()] = value.removeprefix("docker-image://")
            elif value in ("part", "oci-layout"):
                if name.lower() not in given.contexts:
                    raise InvalidRequest(f"the context {name!r} was announced as a part, and did not come")
            else:
                given.contexts[name.lower()], _ = await fetch_context(self._need(), value, _make_folder(folder))

    async def _take_cache(self, data: AsyncIterator[bytes], folder: Path) -> None:
        file = await _spool(data, folder)
        with file:
            found = await asyncio.to_thread(read_cache, self._images, file)
        for record in found:
            self._remember(record)

    def _remember(self, record: StepRecord) -> None:
        if self._records.get(record.key) is None:
            self._records.put(record.key, record)


def _make_folder(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix="part-", dir=folder))


async def _read_secret(name: str, data: AsyncIterator[bytes]) -> bytes:
    value = bytearray()
    async for piece in data:
        value += piece
        if len(value) > LARGEST_SECRET:
            raise InvalidRequest(f"the secret {name} is larger than {LARGEST_SECRET >> 10} KiB")
    return bytes(value)


async def _spool(data: AsyncIterator[bytes], folder: Path) -> BinaryIO:
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    try:
        async for piece in data:
            await asyncio.to_thread(file.write, piece)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
