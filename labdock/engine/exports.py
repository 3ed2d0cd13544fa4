"""What builds hand over: files of an image, OCI layouts, caches. Each is a tar on the data disk until it is fetched."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from labdock.build import Finished, StepRecord
from labdock.engine.provenance import make_statement
from labdock.engine.views import show_time
from labdock.errors import Corrupt, NotFound, Unavailable
from labdock.images.image import Image
from labdock.images.store import Images
from labdock.schema import oci
from labdock.schema.build_query import BuildQuery
from labdock.schema.oci import Descriptor, Index, Manifest, chain_ids
from labdock.store.layers import headers
from labdock.store.layers.compression import Plain
from labdock.store.layers.headers import BLOCK, Entry
from labdock.store.layers.pack import pack
from labdock.store.layers.reader import Reader, Source
from labdock.store.snapshots import Layer, Snapshotter
from labdock.store.snapshots.mounting import open_mounted

#: What ``--output type=`` may be.
OUTPUTS = ("local", "tar", "oci")
#: Seconds until what nobody fetched is dropped; and how many wait at a time.
LIFETIME = 120.0
MOST = 64
CACHE_CONFIG = "application/vnd.labdock.buildcache.v1+json"
_STATEMENT = "application/vnd.in-toto+json"
_MOST_RECORDS = 100_000
_LONGEST_CONFIG = 64 << 20
_PIECE = 1 << 20


class Exports:
    """Those that wait to be fetched. *folder* is on the data disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[str, BinaryIO] = {}

    def create(self) -> BinaryIO:
        """A file without a name, to write to and :meth:`offer`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self._folder)

    def offer(self, file: BinaryIO) -> str:
        """Keep *file* for a while; gives the token it is fetched by. Raises Unavailable when too many wait."""
        if len(self._waiting) >= MOST:
            file.close()
            raise Unavailable(f"{MOST} exports wait to be fetched already")
        token = os.urandom(16).hex()
        self._waiting[token] = file
        asyncio.get_running_loop().call_later(LIFETIME, self._drop, token)
        return token

    def _drop(self, token: str) -> None:
        file = self._waiting.pop(token, None)
        if file is not None:
            file.close()

    def take(self, token: str) -> AsyncIterator[bytes]:
        """The file's bytes; nobody gets them again. Raises NotFound."""
        file = self._waiting.pop(token, None)
        if file is None:
            raise NotFound("there is no such export", hint="it is kept for two minutes, and handed out once")
        return _read(file)


async def _read(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        file.seek(0)
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece


class Handover:
    """Makes one build's exports when it is done. ``started``: RFC 3339."""

    def __init__(
        self,
        images: Images,
        snapshotter: Snapshotter,
        exports: Exports,
        query: BuildQuery,
        folder: Path,
        started: str,
    ) -> None:
        self._images = images
        self._snapshotter = snapshotter
        self._exports = exports
        self._query = query
        self._folder = folder
        self._started = started

    async def finish(self, finished: Finished) -> None:
        """Write everything that was asked for, and say where it is."""
        for number, kind in enumerate(self._query.outputs):
            await self._export(number, kind, finished, functools.partial(self._write, kind, finished))
        for number, mode in enumerate(self._query.cache_to):
            chosen = [(record, layers) for record, layers, own in finished.records if own or mode == "max"]
            await self._export(number, "cache", finished, functools.partial(write_cache, self._images, chosen))

    async def _export(self, number: int, kind: str, finished: Finished, write: Callable[[BinaryIO], None]) -> None:
        file = self._exports.create()
        try:
            await asyncio.to_thread(write, file)
        except BaseException:
            file.close()
            raise
        finished.exported(number, kind, self._exports.offer(file))

    def _write(self, kind: str, finished: Finished, out: BinaryIO) -> None:
        if kind != "oci":
            write_files(self._snapshotter, finished.snapshot, self._folder, out)
            return
        image = self._images.get(finished.image)
        statement = None
        if self._query.provenance:
            ended = show_time(time.time_ns())
            manifest = image.manifest.digest
            statement = make_statement(self._query, manifest, finished.sources, self._started, ended)
        write_image(self._images, image, statement, out)


# Everything below blocks.


def write_files(snapshotter: Snapshotter, snapshot: str | None, folder: Path, out: BinaryIO) -> None:
    """The tree of *snapshot* as a tar. *folder* is for a mount point. Raises OSError, SystemFailure."""
    if snapshot is None:
        out.write(bytes(2 * BLOCK))
        return
    key = f"build-view-{os.urandom(12).hex()}"
    mounts = snapshotter.view(key, snapshot)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as point:
            tree = open_mounted(mounts, Path(point))
        try:
            pack(tree, out)
        finally:
            os.close(tree)
    finally:
        snapshotter.remove(key)


class _Layout:
    """An OCI layout in a tar."""

    def __init__(self, images: Images, out: BinaryIO) -> None:
        self._content = images.content
        self._out = out
        self._written: set[str] = set()

    def add_file(self, name: str, data: bytes) -> None:
        self._out.write(headers.encode(Entry(name.encode(), size=len(data))) + data + bytes(-len(data) % BLOCK))

    def add_bytes(self, data: bytes, media_type: str, **notes: Any) -> Descriptor:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if digest not in self._written:
            self._written.add(digest)
            self.add_file(f"blobs/{digest.replace(':', '/', 1)}", data)
        return Descriptor(media_type=media_type, digest=digest, size=len(data), **notes)

    def add_blob(self, digest: str) -> None:
        if digest in self._written:
            return
        self._written.add(digest)
        size = self._content.size(digest)
        self._out.write(headers.encode(Entry(f"blobs/{digest.replace(':', '/', 1)}".encode(), size=size)))
        with self._content.open(digest) as file:
            while piece := file.read(_PIECE):
                self._out.write(piece)
        self._out.write(bytes(-size % BLOCK))

    def finish(self, manifests: Sequence[Descriptor]) -> None:
        self.add_file("index.json", msgspec.json.encode(Index(manifests=tuple(manifests))))
        self.add_file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        self._out.write(bytes(2 * BLOCK))


def write_image(images: Images, image: Image, statement: Mapping[str, Any] | None, out: BinaryIO) -> None:
    """*image* as an OCI layout; with its provenance *statement* as an attestation manifest beside it."""
    layout = _Layout(images, out)
    for digest in (*(layer.digest for layer in image.layers), image.id, image.manifest.digest):
        layout.add_blob(digest)
    config = image.config
    platform = oci.Platform(os=config.os, architecture=config.architecture, variant=config.variant)
    names = {oci.REF_NAME: image.names[0].tag} if image.names else {}
    manifests = [msgspec.structs.replace(image.manifest, platform=platform, annotations=names)]
    if statement is not None:
        manifests.append(_attest(layout, image, statement))
    layout.finish(manifests)


def _attest(layout: _Layout, image: Image, statement: Mapping[str, Any]) -> Descriptor:
    data = msgspec.json.encode(statement)
    kind = {"in-toto.io/predicate-type": str(statement["predicateType"])}
    layer = layout.add_bytes(data, _STATEMENT, annotations=kind)
    config = {
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    }
    described = layout.add_bytes(msgspec.json.encode(config), oci.CONFIG)
    manifest = msgspec.json.encode(Manifest(config=described, layers=(layer,)))
    notes = {
        "vnd.docker.reference.digest": image.manifest.digest,
        "vnd.docker.reference.type": "attestation-manifest",
    }
    unknown = oci.Platform(os="unknown", architecture="unknown", variant="")
    return layout.add_bytes(manifest, oci.MANIFEST, platform=unknown, annotations=notes)


class CacheEntry(msgspec.Struct, frozen=True):
    """A step in an exported cache: its record, and all layers up to it, bottom first."""

    record: StepRecord
    layers: tuple[Layer, ...]


def write_cache(images: Images, entries: Sequence[tuple[StepRecord, tuple[Layer, ...]]], out: BinaryIO) -> None:
    """A step cache as an OCI layout."""
    layout = _Layout(images, out)
    layers: dict[str, Descriptor] = {}
    for _, below in entries:
        for one in below:
            layers[one.digest] = Descriptor(media_type=one.media_type, digest=one.digest, size=one.size)
            layout.add_blob(one.digest)
    data = msgspec.json.encode([CacheEntry(record, below) for record, below in entries])
    config = layout.add_bytes(data, CACHE_CONFIG)
    manifest = msgspec.json.encode(Manifest(config=config, layers=tuple(layers.values())))
    layout.finish([layout.add_bytes(manifest, oci.MANIFEST)])


def read_cache(images: Images, stream: Source) -> list[StepRecord]:
    """Take the layers of an exported cache into the store; gives its records. Raises Corrupt."""
    entries: list[CacheEntry] | None = None
    with images.leases.hold() as hold:
        reader = Reader(Plain(stream))
        for entry in reader:
            name = entry.name.decode(errors="surrogateescape")
            if entry.type != headers.FILE or not name.startswith("blobs/sha256/"):
                continue
            digest = f"sha256:{name.rpartition('/')[2]}"
            with images.content.ingest(f"cache-{os.urandom(8).hex()}") as ingest:
                first = b""
                while piece := reader.take():
                    first = first or bytes(piece[:64])
                    ingest.write(piece)
                found = f"sha256:{ingest.hexdigest}"
                if found != digest:
                    raise Corrupt(f"the cache's {name} is not what its digest says")
                hold.add(digest)
                ingest.commit()
            if first.startswith(b"[{") and images.content.size(digest) <= _LONGEST_CONFIG:
                entries = _decode(images.content.read(digest, _LONGEST_CONFIG)) or entries
        if entries is None:
            raise Corrupt("this is no build cache of labdock's: it has no list of steps")
        return [_settle(images, entry, hold) for entry in entries[:_MOST_RECORDS]]


def _decode(data: bytes) -> list[CacheEntry] | None:
    try:
        return msgspec.json.decode(data, type=list[CacheEntry])
    except msgspec.MsgspecError:
        return None


def _settle(images: Images, entry: CacheEntry, hold: Any) -> StepRecord:
    record = entry.record
    if record.layer is None:
        return msgspec.structs.replace(record, used_ns=0)
    chains = chain_ids(tuple(layer.diff_id for layer in entry.layers))
    if not chains or chains[-1] != record.snapshot or entry.layers[-1] != record.layer:
        raise Corrupt(f"the cache's step {record.text[:100]!r} does not fit its layers")
    hold.add(*chains)
    images.unpack_layers(entry.layers)
    return msgspec.structs.replace(record, used_ns=0)
