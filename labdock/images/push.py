"""Pushing: what the registry has already is asked first, layers go in parallel, the manifest goes last.

An image whose manifest came with it is pushed byte for byte. One that was made here has plain layers: they are
compressed on the way, and what came out is remembered, so that another push of the layer sends nothing and the manifest
is the same again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import msgspec

from labdock.images.image import Image
from labdock.images.manifests import MOST_JSON, as_oci, digest_of
from labdock.images.progress import Bar, Tell
from labdock.images.references import Reference
from labdock.images.sources import repository_of
from labdock.images.store import Images
from labdock.images.threads import Threads
from labdock.registry import Repository
from labdock.schema import oci
from labdock.schema.oci import Descriptor, Manifest
from labdock.store.intents import fail_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from labdock.registry.client import RegistryClient

#: Layers that one push sends at a time.
PARALLEL = 3
_PIECE = 1 << 20
_LEVEL = 1


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Pushed:
    """``digest`` and ``size`` (bytes) of the manifest that the registry has now."""

    digest: str
    size: int


class Pusher:
    """Pushes from *images*; compressed layers wait in files without a name in *scratch*."""

    def __init__(self, images: Images, scratch: Path) -> None:
        self._images = images
        self._scratch = scratch

    async def push(self, client: RegistryClient, image: Image, target: Reference, tell: Tell) -> Pushed:
        """Push *image* as *target* (a name and a tag); *tell* hears Docker's lines. Cancelling stops it.

        Raises what the client raises, Corrupt when a blob here does not hold, StorageFull.
        """
        repository = repository_of(target)
        with self._images.leases.hold(*image.blobs, *image.chain_ids):
            outgoing = _Outgoing(self._images, client, repository, self._scratch, tell)
            layers = await outgoing.send(image)
            await _send_config(self._images, client, repository, image)
            fail_at("push:unlisted")
            if image.foreign:
                media_type = image.manifest.media_type
                body = await asyncio.to_thread(self._images.content.read, image.manifest.digest, MOST_JSON)
            else:
                config = Descriptor(media_type=oci.CONFIG, digest=image.id, size=self._images.content.size(image.id))
                body = msgspec.json.encode(Manifest(config=config, layers=layers))
                media_type = oci.MANIFEST
            digest = await client.put_manifest(repository, target.tag, body, media_type)
            with self._images.leases.hold(digest_of(body)):
                await asyncio.to_thread(self._note, image, target, body)
        tell({"status": f"{target.tag}: digest: {digest} size: {len(body)}"})
        tell({"progressDetail": {}, "aux": {"Tag": target.tag, "Digest": digest, "Size": len(body)}})
        return Pushed(digest, len(body))

    def _note(self, image: Image, target: Reference, body: bytes) -> None:
        digest = self._images.content.write(body)
        known = Reference(target.domain, target.path, "", digest)
        self._images.note_digest(image.id, known, (digest,))


async def _send_config(images: Images, client: RegistryClient, repository: Repository, image: Image) -> None:
    data = await asyncio.to_thread(images.content.read, image.id, MOST_JSON)
    described = Descriptor(media_type=oci.CONFIG, digest=image.id, size=len(data))
    if not await client.blob_exists(repository, described):

        async def once() -> AsyncIterator[bytes]:
            yield data

        await client.upload_blob(repository, described, once)


@dataclass(slots=True, eq=False)
class _Layer:
    """A layer to send: how it is here, its diff id, and where on the same registry it may be mounted from."""

    here: Descriptor
    diff_id: str
    bar: Bar
    homes: tuple[str, ...] = ()
    stop: threading.Event = field(default_factory=threading.Event)


class _Outgoing:
    """The layers of one push."""

    def __init__(
        self, images: Images, client: RegistryClient, repository: Repository, scratch: Path, tell: Tell
    ) -> None:
        self._images = images
        self._client = client
        self._repository = repository
        self._scratch = scratch
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        self._threads = Threads(PARALLEL, "labdock-push")
        self._slots = asyncio.Semaphore(PARALLEL)

    def _forward(self, line: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self._tell, line)

    async def send(self, image: Image) -> tuple[Descriptor, ...]:
        """See that the registry has every layer of *image*; gives them as they are there, bottom first."""
        homes = await asyncio.to_thread(self._find_homes, image)
        unique: dict[str, _Layer] = {}
        for layer, diff_id in zip(image.layers, image.config.rootfs.diff_ids, strict=True):
            if layer.digest not in unique:
                bar = Bar(diff_id, self._forward)
                unique[layer.digest] = _Layer(layer, diff_id, bar, homes.get(layer.digest, ()))
                bar.say("Preparing")
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    digest: group.create_task(self._send(layer, foreign=image.foreign))
                    for digest, layer in unique.items()
                }
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        finally:
            self._threads.close()
        return tuple(tasks[layer.digest].result() for layer in image.layers)

    def _find_homes(self, image: Image) -> dict[str, tuple[str, ...]]:
        """Where else on this registry each layer is, by its digest here."""
        found: dict[str, set[str]] = {layer.digest: set() for layer in image.layers}
        for other in self._images.list():
            paths = {
                x.path for x in other.digests if x.domain == self._repository.host and x.path != self._repository.path
            }
            for layer in other.layers:
                if layer.digest in found:
                    found[layer.digest] |= paths
        return {digest: tuple(sorted(paths)) for digest, paths in found.items()}

    async def _send(self, layer: _Layer, *, foreign: bool) -> Descriptor:
        async with self._slots:
            if not foreign and as_oci(layer.here).media_type == oci.LAYER_TAR:
                return await self._send_plain(layer)
            if not await self._is_there(layer, layer.here):
                await self._upload(layer, layer.here, lambda: self._images.content.open(layer.here.digest))
            return layer.here if foreign else as_oci(layer.here)

    async def _send_plain(self, layer: _Layer) -> Descriptor:
        known = self._images.compressed.get(layer.diff_id)
        if known is not None and await self._is_there(layer, known):
            return known
        with self._temporary() as file:
            try:
                packed = await self._threads.work(self._compress, layer, file)
            except asyncio.CancelledError:
                layer.stop.set()
                raise
            if packed != known:
                self._images.compressed.put(layer.diff_id, packed)
            if not await self._is_there(layer, packed):
                await self._upload(layer, packed, lambda: os.fdopen(os.dup(file.fileno()), "rb", buffering=0))
            return packed

    @contextmanager
    def _temporary(self) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryFile(dir=self._scratch, buffering=0) as file:
            yield file

    def _compress(self, layer: _Layer, out: IO[bytes]) -> Descriptor:
        """gzip without a time or name in it: the same layer gives the same bytes."""
        compressor = _make_compressor()
        hasher, size, done = hashlib.sha256(), 0, 0
        with self._images.content.open(layer.here.digest) as file:
            while chunk := file.read(_PIECE):
                if layer.stop.is_set():
                    break
                done += len(chunk)
                data = compressor.compress(chunk)
                hasher.update(data)
                size += out.write(data)
                layer.bar.move("Compressing", done, layer.here.size)
        data = compressor.flush()
        hasher.update(data)
        size += out.write(data)
        return Descriptor(media_type=oci.LAYER_GZIP, digest=f"sha256:{hasher.hexdigest()}", size=size)

    async def _is_there(self, layer: _Layer, described: Descriptor) -> bool:
        if await self._client.blob_exists(self._repository, described):
            layer.bar.say("Layer already exists")
            return True
        return False

    async def _upload(self, layer: _Layer, described: Descriptor, open_blob: Callable[[], IO[bytes]]) -> None:
        async def read() -> AsyncIterator[bytes]:
            with open_blob() as file:
                file.seek(0)
                while piece := await self._threads.work(file.read, _PIECE):
                    yield piece

        sent = await self._client.upload_blob(
            self._repository,
            described,
            read,
            mount_from=Repository(self._repository.host, layer.homes[0]) if layer.homes else None,
            on_progress=lambda sent: layer.bar.move("Pushing", sent, described.size),
        )
        mounted = not sent and layer.homes
        layer.bar.say(f"Mounted from {layer.homes[0]}" if mounted else "Pushed")
        fail_at("push:sent")


def _make_compressor() -> _Compressor:
    with suppress(ImportError):
        from isal import isal_zlib

        made: _Compressor = isal_zlib.compressobj(level=_LEVEL, wbits=31)
        return made
    import zlib

    return zlib.compressobj(_LEVEL, wbits=31)
