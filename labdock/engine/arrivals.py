"""What is pushed to the engine's registry until it is an image: blobs arrive, wait for a manifest, are examined."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from labdock.errors import Corrupt, LabdockError
from labdock.images import platforms
from labdock.images.catalog import parse_config
from labdock.images.manifests import MOST_JSON, decode, is_index, read_manifest
from labdock.images.store import Images
from labdock.registry.server.manifests import Parsed
from labdock.schema.oci import Descriptor, Index, Manifest
from labdock.store.content import ContentStore, Ingest
from labdock.store.intents import fail_at
from labdock.store.layers.compression import Plain
from labdock.store.leases import Hold
from labdock.store.snapshots import Layer

#: Seconds that a blob is kept for the manifest that will name it, and the most that are at a time.
KEPT, MOST_KEPT = 600.0, 4096
#: A layer that is unpacked to more than this many times its bytes (and a GiB) makes no image of this engine.
MOST_RATIO, ALWAYS = 100, 1 << 30

log = logging.getLogger("labdock.registry")


@dataclass(frozen=True, slots=True)
class Arrived:
    """An image whose layers were seen to be what its config says; *sizes*: plain bytes by diff id."""

    manifest: Descriptor
    config: bytes
    layers: tuple[Layer, ...]
    sizes: dict[str, int]


def examine(images: Images, name: str, parsed: Parsed, data: bytes) -> Arrived | None:
    """The image that was pushed (of an index: this machine's part); None when it is none that can be run."""
    try:
        found = _runnable(images.content, parsed, data)
        return _verify(images, *found) if found else None
    except (LabdockError, msgspec.MsgspecError, RecursionError) as error:
        log.warning("%s was pushed and is no image of this engine: %s", name, error)
        return None


def _runnable(content: ContentStore, parsed: Parsed, data: bytes) -> tuple[Descriptor, Manifest] | None:
    if parsed.is_runnable:
        descriptor = Descriptor(media_type=parsed.media_type, digest=parsed.digest, size=parsed.size)
        return descriptor, read_manifest(data)
    if not is_index(parsed.media_type):
        return None
    chosen = platforms.choose(decode(data, Index).manifests, platforms.native(), parsed.digest)
    if is_index(chosen.media_type):
        return None
    return chosen, read_manifest(content.read(chosen.digest, MOST_JSON))


def _verify(images: Images, descriptor: Descriptor, manifest: Manifest) -> Arrived:
    """See that each layer unpacks to the diff id that the config gives it. Raises Corrupt."""
    config = images.content.read(manifest.config.digest, MOST_JSON)
    diff_ids = parse_config(config).rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers):
        raise Corrupt(f"its config names {len(diff_ids)} layers, its manifest {len(manifest.layers)}")
    known = {
        (layer.digest, diff_id): size
        for image in images.list()
        for layer, diff_id, size in zip(image.layers, image.config.rootfs.diff_ids, image.sizes, strict=True)
    }
    layers, sizes = [], {}
    for part, diff_id in zip(manifest.layers, diff_ids, strict=True):
        size = part.size if part.digest == diff_id else known.get((part.digest, diff_id))
        sizes[diff_id] = size if size is not None else _measure(images.content, part, diff_id)
        layers.append(Layer(part.media_type, part.digest, part.size, diff_id))
    return Arrived(descriptor, config, tuple(layers), sizes)


def _measure(content: ContentStore, part: Descriptor, diff_id: str) -> int:
    size, found = 0, hashlib.sha256()
    most = max(ALWAYS, MOST_RATIO * part.size)
    with content.open(part.digest) as file:
        plain = Plain(file)
        while chunk := plain.read(1 << 20):
            found.update(chunk)
            size += len(chunk)
            if size > most:
                raise Corrupt(f"the layer {part.digest} of {part.size} bytes unpacks to more than {most}")
    if f"sha256:{found.hexdigest()}" != diff_id:
        raise Corrupt(f"the layer {part.digest} unpacks to sha256:{found.hexdigest()}; its config says {diff_id}")
    return size


class Kept:
    """Blobs that no manifest names yet, kept by leases for KEPT seconds; the oldest goes when there are too many."""

    def __init__(
        self, images: Images, others: Callable[[], Iterable[str]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._images = images
        self._others = others
        self._clock = clock
        self._lock = threading.Lock()
        self._holds: OrderedDict[str, tuple[Hold, float, bool]] = OrderedDict()

    def keep(self, digest: str, *, arrived: bool = False) -> None:
        """Keep it from now. *arrived*: it was uploaded, and is deleted when no manifest came to name it."""
        hold = Hold(self._images.leases)
        hold.add(digest)
        with self._lock:
            old = self._holds.pop(digest, None)
            if old is not None:
                old[0].release()
                arrived = arrived or old[2]
            self._holds[digest] = (hold, self._clock(), arrived)
        self.expire()

    def let_go(self, digest: str) -> None:
        with self._lock:
            found = self._holds.pop(digest, None)
        if found is not None:
            found[0].release()

    def expire(self, idle: float = KEPT, most: int = MOST_KEPT) -> None:
        """Let go of the old ones, and of what is beyond *most*."""
        gone = []
        with self._lock:
            while self._holds:
                digest, (hold, since, arrived) = next(iter(self._holds.items()))
                if len(self._holds) <= most and self._clock() - since < idle:
                    break
                del self._holds[digest]
                hold.release()
                if arrived:
                    gone.append(digest)
        if gone:
            self._images.free(gone, self._others())

    def close(self) -> None:
        self.expire(idle=0.0, most=0)


class ArrivingBlob:
    """An upload into the store's ingest (labdock.registry.server.uploads.Arriving)."""

    def __init__(self, ingest: Ingest, kept: Kept) -> None:
        self._ingest = ingest
        self._kept = kept
        self._over = False

    def write(self, data: bytes) -> None:
        self._ingest.write(data)

    def commit(self, digest: str) -> None:
        # The lease first: once it is visible, somebody may be collecting.
        self._kept.keep(digest, arrived=True)
        try:
            self._ingest.commit(digest)
            fail_at("registry:arrived")
        except BaseException:
            self._kept.let_go(digest)
            raise

    def drop(self) -> None:
        if not self._over:
            self._over = True
            self._ingest.__exit__(None, None, None)
