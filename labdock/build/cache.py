"""The step cache: what a step made, by a key of what it does and what it does it to.

A key is the digest of a *definition* (the instruction resolved, the environment it sees, the content it takes)
and of the snapshot it stands on, whose name, a chain id, is its content's digest. Steps that only change the config
have no part in the keys of later steps, unless they change what those see. Times count nowhere.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable

import msgspec

from labdock.build import StepRecord, StepRecords
from labdock.errors import NotFound
from labdock.store.content import ContentStore
from labdock.store.snapshots import Kind, Snapshotter

#: Uses within this many ns count as one.
_USE_NS = 60 * 10**9


def make_key(kind: str, *parts: object) -> str:
    """The digest of a definition: *parts* are anything JSON has."""
    text = json.dumps([kind, *parts], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


class StepCache:
    """Finds what is still there of what was made before."""

    def __init__(
        self,
        records: StepRecords,
        snapshotter: Snapshotter,
        content: ContentStore,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._now = now
        self._records = records
        self._snapshotter = snapshotter
        self._content = content

    def find(self, key: str, allowed: frozenset[str] | None = None) -> StepRecord | None:
        """The record of *key*, when its snapshot and its blob are there; a record whose things are gone is dropped.

        *allowed*: only these snapshots may be used.
        """
        record = self._records.get(key)
        if record is None:
            return None
        if record.layer is None:
            return self._use(record)
        if allowed is not None and record.snapshot not in allowed:
            return None
        try:
            whole = self._snapshotter.stat(record.snapshot).kind is Kind.COMMITTED
        except NotFound:
            whole = False
        if whole and self._content.has(record.layer.digest):
            return self._use(record)
        self._records.delete(key)
        return None

    def _use(self, record: StepRecord) -> StepRecord:
        """Note the use, but not each of many that follow one another."""
        now = self._now()
        if now - record.used_ns > _USE_NS:
            record = msgspec.structs.replace(record, used_ns=now, uses=record.uses + 1)
            self._records.put(record.key, record)
        return record

    def keep(self, record: StepRecord) -> StepRecord:
        """Remember *record*."""
        record = msgspec.structs.replace(record, used_ns=self._now())
        self._records.put(record.key, record)
        return record
