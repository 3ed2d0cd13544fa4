"""The layers of one pull on their way: fetched in parallel, verified while they arrive, unpacked in chain order.

A layer is hashed and written as it comes; another thread reads what is written, decompresses and hashes it and unpacks
the tar. Bytes are touched once in each thread and never all in memory.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from labdock.errors import Corrupt, LabdockError, StorageFull
from labdock.images.growing import Growing
from labdock.images.progress import Bar, Tell
from labdock.images.sources import Source
from labdock.images.store import Images
from labdock.images.threads import Threads
from labdock.schema.oci import Descriptor, chain_ids
from labdock.store.content import Ingest
from labdock.store.intents import fail_at
from labdock.store.snapshots import Layer

#: Layers that one pull fetches at a time, and all pulls together.
PARALLEL, MOST_PARALLEL = 3, 6
#: Bytes are handed to a thread in pieces of about this size.
_PIECE = 1 << 20


class Stopped(Exception):
    """Raised in the thread that unpacks when its pull was cancelled."""


class Turns:
    """What all pulls of an engine share: how many layers come at once, and that the same layer comes once."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(MOST_PARALLEL)
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()

    @asynccontextmanager
    async def take(self, key: str) -> AsyncIterator[None]:
        """One at a time for each *key*."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] += 1
        try:
            async with lock:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]


@dataclass(slots=True, eq=False)
class _Fetch:
    """One blob's way here. ``growing``: what can be read of it already; ``again``: it had to begin anew."""

    layer: Layer
    bar: Bar
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    growing: Growing | None = None
    again: bool = False
    complete: bool = False
    fetched: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def descriptor(self) -> Descriptor:
        layer = self.layer
        return Descriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size)

    def open(self, growing: Growing) -> None:
        self.growing = growing
        self.opened.set()

    def show_reading(self, position: int) -> None:
        """Unpacking is told of once the bytes are all here, as Docker does."""
        if self.complete:
            self.bar.move("Extracting", min(position, self.layer.size), self.layer.size)


class Incoming:
    """*layers* (bottom first) from *source*; the caller holds leases on their digests and chain ids."""

    def __init__(self, images: Images, turns: Turns, source: Source, layers: Sequence[Layer], tell: Tell) -> None:
        self._content = images.content
        self._snapshotter = images.snapshotter
        self._unpacker = images.unpacker
        self._turns = turns
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        self._chain = list(zip(layers, chain_ids(tuple(layer.diff_id for layer in layers)), strict=True))
        # The thread that unpacks tells of it too.
        self._fetches = {layer.digest: _Fetch(layer, Bar(layer.digest, self._forward)) for layer in layers}
        # Downloads use up to PARALLEL threads, unpacking one: none waits for a thread that waits for it.
        self._threads = Threads(PARALLEL + 1, "labdock-pull")
        self._slots = asyncio.Semaphore(PARALLEL)

    def _forward(self, line: dict[str, object]) -> None:
        self._loop.call_soon_threadsafe(self._tell, line)

    async def run(self) -> dict[str, int]:
        """Fetch and unpack all; gives the plain bytes of what was unpacked, by diff id.

        Raises what the source raises, Corrupt, StorageFull, SystemFailure. Whole layers stay, and what arrived of
        others is gone on with next time.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for fetch in self._fetches.values():
                    fetch.task = group.create_task(self._fetch(fetch))
                unpacked = group.create_task(self._unpack_all())
        except BaseExceptionGroup as errors:
            raise _pick(errors) from errors
        finally:
            for fetch in self._fetches.values():
                if fetch.growing is not None:
                    fetch.growing.close()
            self._threads.close()
        return unpacked.result()

    # Fetching

    async def _fetch(self, fetch: _Fetch) -> None:
        layer = fetch.layer
        try:
            if self._content.has(layer.digest):
                fetch.open(self._ended(fetch))
                return
            fetch.fetched = True
            fetch.bar.say("Pulling fs layer")
            async with self._slots, self._turns.slots, self._turns.take(layer.digest):
                if not self._content.has(layer.digest):
                    await self._receive_whole(fetch)
                    fail_at("pull:fetched")
            fetch.complete = True
            fetch.bar.say("Download complete")
            if fetch.growing is None:
                fetch.open(self._ended(fetch))
        finally:
            fetch.opened.set()

    def _ended(self, fetch: _Fetch) -> Growing:
        """The whole blob, to be read."""
        fetch.complete = True
        growing = Growing(self._content.path(fetch.layer.digest), fetch.layer.size, fetch.show_reading)
        growing.end()
        return growing

    async def _receive_whole(self, fetch: _Fetch) -> None:
        try:
            await self._receive(fetch)
        except Corrupt:
            # What was here before may have been damaged by a power cut, and servers change their minds: once more.
            fetch.again = True
            self._source.reject(fetch.descriptor)
            await self._receive(fetch)

    async def _receive(self, fetch: _Fetch) -> None:
        layer = fetch.layer
        with await self._threads.work(self._begin, layer.digest) as ingest:
            try:
                growing = Growing(ingest.path, ingest.tell(), fetch.show_reading)
                if fetch.again:
                    growing.close()
                else:
                    fetch.open(growing)
                await self._copy(fetch, ingest, growing)
                growing.end()
                fetch.bar.say("Verifying Checksum")
                await self._threads.work(ingest.commit, layer.digest, layer.size)
            except BaseException as error:
                growing.fail(error if isinstance(error, Exception) else Stopped())
                if isinstance(error, StorageFull | Corrupt):
                    # A full disk is not helped by half a layer, and damaged bytes are no start.
                    ingest.discard()
                raise

    def _begin(self, digest: str) -> Ingest:
        return self._content.ingest(f"blob-{digest}", keep=True)

    async def _copy(self, fetch: _Fetch, ingest: Ingest, growing: Growing) -> None:
        layer = fetch.layer
        pieces: list[bytes] = []
        held = 0
        if ingest.tell() >= layer.size:
            return
        async for piece in self._source.blob(fetch.descriptor, ingest.tell()):
            pieces.append(piece)
            held += len(piece)
            if ingest.tell() + held > layer.size:
                raise Corrupt(f"layer {layer.digest} is larger than the {layer.size} bytes that were announced")
            if held >= _PIECE:
                await self._write(fetch, ingest, growing, pieces)
                pieces, held = [], 0
                fail_at("pull:fetching")
        await self._write(fetch, ingest, growing, pieces)

    async def _write(self, fetch: _Fetch, ingest: Ingest, growing: Growing, pieces: list[bytes]) -> None:
        await self._threads.work(lambda: ingest.write(b"".join(pieces) if len(pieces) != 1 else pieces[0]))
        growing.grow(ingest.tell())
        fetch.bar.move("Downloading", ingest.tell(), fetch.layer.size)

    # Unpacking

    async def _unpack_all(self) -> dict[str, int]:
        sizes: dict[str, int] = {}
        parent: str | None = None
        read: set[str] = set()
        for layer, chain_id in self._chain:
            fetch = self._fetches[layer.digest]
            async with self._turns.take(chain_id):
                if self._snapshotter.has(chain_id):
                    await self._finish(fetch)
                    fetch.bar.say("Pull complete" if fetch.fetched else "Already exists")
                else:
                    sizes[layer.diff_id] = await self._unpack(fetch, layer, parent, again=layer.digest in read)
                    fail_at("pull:unpacked")
                    fetch.bar.say("Pull complete")
            read.add(layer.digest)
            parent = chain_id
        return sizes

    async def _finish(self, fetch: _Fetch) -> None:
        """Wait until the blob is here; raises what its fetching raised."""
        assert fetch.task is not None
        await asyncio.shield(fetch.task)

    async def _unpack(self, fetch: _Fetch, layer: Layer, parent: str | None, *, again: bool) -> int:
        await fetch.opened.wait()
        if fetch.growing is not None and not again:
            try:
                size = await self._apply(fetch.growing, layer, parent)
                await self._finish(fetch)
                return size
            except Corrupt:
                # The tar may be bad, or the bytes that came: the download knows.
                await self._finish(fetch)
                if not fetch.again:
                    raise
        await self._finish(fetch)
        with self._ended(fetch) as whole:
            return await self._apply(whole, layer, parent)

    async def _apply(self, growing: Growing, layer: Layer, parent: str | None) -> int:
        return await self._threads.work(self._unpacker.apply, growing, layer.diff_id, parent)


def _pick(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error to raise of several that have one cause: what labdock raised on purpose, else the first."""
    flat: list[BaseException] = []
    for error in errors.exceptions:
        flat.append(_pick(error) if isinstance(error, BaseExceptionGroup) else error)
    return next((error for error in flat if isinstance(error, LabdockError)), flat[0])
