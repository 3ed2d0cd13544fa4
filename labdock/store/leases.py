"""Leases keep blobs and snapshots that nothing names yet; collecting removes what neither a lease nor a root keeps.

Leases live in memory: what a killed process was in the middle of is nobody's any more, and is collected.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from labdock.errors import Conflict, NotFound
from labdock.store.content import ContentStore
from labdock.store.snapshots import Kind, Snapshotter

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed: blobs by digest, snapshots by key, and the bytes of the blobs."""

    blobs: tuple[str, ...]
    snapshots: tuple[str, ...]
    size: int


class Leases:
    """What is in flight. Any thread may use it."""

    def __init__(self, content: ContentStore, snapshotter: Snapshotter) -> None:
        self._content = content
        self._snapshotter = snapshotter
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, *keys: str) -> Iterator[Hold]:
        """Keep the blobs and snapshots of these digests and keys while inside; more can be added."""
        hold = Hold(self)
        hold.add(*keys)
        try:
            yield hold
        finally:
            hold.release()

    def _change(self, keys: Iterable[str], by: int) -> None:
        with self._lock:
            for key in keys:
                self._held[key] += by
                if self._held[key] <= 0:
                    del self._held[key]

    def free(self, digest: str) -> bool:
        """Delete the blob *digest* unless a lease keeps it; whether it is gone by this.

        Who takes a lease first and looks for the blob then can count on what it sees.
        """
        with self._lock:
            return digest not in self._held and self._content.delete(digest)

    def free_snapshot(self, key: str) -> bool:
        """As :meth:`free`, for the snapshot *key*. Raises Conflict when another stands on it, NotFound."""
        with self._lock:
            if key in self._held:
                return False
            self._snapshotter.remove(key)
            return True

    def held(self) -> set[str]:
        with self._lock:
            return set(self._held)

    def collect(self, roots: Iterable[str], *, actives: bool = False) -> Collected:
        """Remove blobs and committed snapshots that neither *roots* (digests and keys) nor a lease keeps.

        A snapshot keeps those below it. *actives*: remove active snapshots and views too.
        """
        keep = set(roots) | self.held()
        snapshots = self._collect_snapshots(keep, actives)
        blobs, size = [], 0
        for digest, bytes_ in list(self._content.walk()):
            if digest not in keep and self.free(digest):
                blobs.append(digest)
                size += bytes_
        return Collected(tuple(blobs), snapshots, size)

    def _collect_snapshots(self, keep: set[str], actives: bool) -> tuple[str, ...]:
        gone = []
        needed: set[str] = set()
        for info in reversed(list(self._snapshotter.walk())):
            kept = info.key in keep or info.key in needed or (info.kind is not Kind.COMMITTED and not actives)
            if not kept:
                try:
                    if self.free_snapshot(info.key):
                        gone.append(info.key)
                        continue
                except (Conflict, NotFound) as error:
                    # Somebody began to stand on it meanwhile, or removed it.
                    _log.debug("collecting %s: %s", info.key, error)
            if info.parent is not None:
                needed.add(info.parent)
        return tuple(gone)


class Hold:
    """One lease."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._keys: list[str] = []

    def add(self, *keys: str) -> None:
        """Keep these too."""
        self._leases._change(keys, 1)
        self._keys += keys

    def release(self) -> None:
        self._leases._change(self._keys, -1)
        self._keys = []
