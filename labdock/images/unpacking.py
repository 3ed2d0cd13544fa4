"""Layers to snapshots and back: unpacking in chain order, and making a layer of what a snapshot changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Collection, Mapping, Sequence

from labdock.errors import Conflict, Corrupt, NotFound
from labdock.schema import oci
from labdock.store.content import ContentStore
from labdock.store.layers.compression import Plain
from labdock.store.layers.reader import Source
from labdock.store.leases import Leases
from labdock.store.snapshots import Layer, Snapshotter


class Unpacker:
    """Blocking; for worker threads."""

    def __init__(self, content: ContentStore, snapshotter: Snapshotter, leases: Leases) -> None:
        self._content = content
        self._snapshotter = snapshotter
        self._leases = leases
        self._lock = threading.Lock()

    def unpack(self, layers: Sequence[Layer], verified: Collection[str] = ()) -> Mapping[str, int]:
        """Unpack *layers*, bottom first, where their chain ids are no snapshots yet.

        Gives the plain bytes of those that were unpacked, by diff id. *verified*: digests of blobs that were hashed
        just now, as they were written. Raises Corrupt when a layer is not its diff id or can't be taken.
        """
        sizes: dict[str, int] = {}
        parent: str | None = None
        chain_ids = oci.chain_ids(tuple(layer.diff_id for layer in layers))
        with self._lock, self._leases.hold(*chain_ids):
            for layer, chain_id in zip(layers, chain_ids, strict=True):
                if not self._snapshotter.has(chain_id):
                    known = layer.digest == layer.diff_id and layer.digest in verified
                    with self._content.open(layer.digest) as file:
                        sizes[layer.diff_id] = self.apply(file, layer.diff_id, parent, verified=known)
                parent = chain_id
        return sizes

    def apply(self, blob: Source, diff_id: str, parent: str | None, *, verified: bool = False) -> int:
        """Unpack one layer from *blob*, compressed or not, on the chain id *parent*; gives its plain bytes.

        *blob* may still be arriving. Nothing of it stays when it turns out not to be *diff_id* (Corrupt), which is
        not looked at again when it was *verified*.
        """
        key = f"unpack-{os.urandom(8).hex()}"
        self._snapshotter.prepare(key, parent)
        try:
            plain = _Counted(Plain(blob))
            known = diff_id if verified else None
            found = self._snapshotter.apply(key, plain, known=known)  # type: ignore[arg-type]
            if found != diff_id:
                raise Corrupt(f"a layer unpacks to {found}; its image says {diff_id}")
            self.settle(key, chain(parent, diff_id))
            return plain.size
        except BaseException:
            with contextlib.suppress(NotFound, Conflict):
                self._snapshotter.remove(key)
            raise

    def settle(self, key: str, chain_id: str) -> None:
        """Commit the active snapshot *key* as *chain_id*; when there is such a one, *key* is dropped."""
        if not self._snapshotter.has(chain_id):
            try:
                self._snapshotter.commit(chain_id, key)
                return
            except Conflict:
                # Made by another meanwhile: the same chain id is the same tree.
                if not self._snapshotter.has(chain_id):
                    raise
        self._snapshotter.remove(key)

    def make_layer(self, key: str, parent: str | None) -> tuple[Layer, str]:
        """Make a layer of what the active snapshot *key* changed on the chain id *parent*, and its chain id.

        The snapshot is committed under the chain id (or dropped, when there is such a one); *key* is gone.
        """
        with self._content.ingest(f"layer-{key}-{os.urandom(4).hex()}") as ingest:
            diff_id = self._snapshotter.diff(key, ingest.file)
            ingest.commit_hashed(diff_id)
            size = ingest.tell()
        chain_id = chain(parent, diff_id)
        self.settle(key, chain_id)
        return Layer(oci.LAYER_TAR, diff_id, size, diff_id), chain_id


class _Counted:
    """A source, and how many bytes were read of it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self.size += len(data)
        return data


def chain(parent: str | None, diff_id: str) -> str:
    """The chain id of a layer on the chain id *parent*."""
    if parent is None:
        return diff_id
    return f"sha256:{hashlib.sha256(f'{parent} {diff_id}'.encode()).hexdigest()}"
