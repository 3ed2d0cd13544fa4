"""The build cache as its user sees it: what is in it, how large, how old; and taking out of it what is not needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labdock.build import StepRecord
from labdock.build.caches import CacheFolders
from labdock.engine.views import show_time
from labdock.images.store import Images
from labdock.store.metadata import Records

Wire = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """A step's result or a cache mount. ``size`` in bytes; ``shared``: an image has the same layer."""

    id: str
    type: str
    text: str
    size: int
    created: str
    used_ns: int
    uses: int
    shared: bool = False
    in_use: bool = False


class BuildCache:
    """Looks at and prunes what builds keep. *roots* is what the step records stand on."""

    def __init__(
        self, records: Records[StepRecord], caches: CacheFolders, images: Images, roots: Callable[[], set[str]]
    ) -> None:
        self._records = records
        self._caches = caches
        self._images = images
        self._roots = roots

    def entries(self) -> list[Entry]:
        """Everything, the longest unused first. Blocking."""
        kept = self._images.roots()
        found = [
            Entry(
                record.key[:25],
                "regular",
                record.text or "a step that changed no file",
                record.layer.size if record.layer else 0,
                record.created,
                record.used_ns,
                record.uses,
                record.layer is not None and record.layer.digest in kept,
            )
            for record in self._records.all()
        ]
        found += [
            Entry(
                one.id,
                "exec.cachemount",
                f"cache mount {one.name}",
                one.size,
                show_time(one.created_ns),
                one.used_ns,
                0,
                False,
                one.in_use,
            )
            for one in self._caches.list()
        ]
        return sorted(found, key=lambda entry: entry.used_ns)

    async def list(self) -> list[Wire]:
        """``BuildCache`` of ``GET /system/df``."""
        return [
            {
                "ID": entry.id,
                "Type": entry.type,
                "Description": entry.text,
                "InUse": entry.in_use,
                "Shared": entry.shared,
                "Size": entry.size,
                "CreatedAt": entry.created,
                "LastUsedAt": show_time(entry.used_ns) if entry.used_ns else None,
                "UsageCount": entry.uses,
                "Parents": [],
            }
            for entry in await asyncio.to_thread(self.entries)
        ]

    async def prune(self, *, everything: bool, keep: int, unused_ns: int | None, ids: tuple[str, ...]) -> Wire:
        """``POST /build/prune``: all but what is in use; unless *everything*, also what images share stays.

        *keep*: the most recently used bytes that stay. *unused_ns*: only what was last used before (ns since the
        epoch). *ids*: only these.
        """
        return await asyncio.to_thread(self._prune, everything, keep, unused_ns, ids)

    def _prune(self, everything: bool, keep: int, unused_ns: int | None, ids: tuple[str, ...]) -> Wire:
        keys = {record.key[:25]: record.key for record in self._records.all()}
        entries = self.entries()
        total = sum(entry.size for entry in entries if not entry.shared)
        gone: list[str] = []
        freed = 0
        for entry in entries:
            if entry.in_use or (entry.shared and not everything) or (ids and entry.id not in ids):
                continue
            if unused_ns is not None and entry.used_ns >= unused_ns:
                continue
            if keep and total <= keep:
                break
            if entry.type == "regular":
                self._records.delete(keys[entry.id])
            elif self._caches.remove(entry.id):
                freed += entry.size
            else:
                continue
            total -= 0 if entry.shared else entry.size
            gone.append(entry.id)
        freed += self._images.collect(self._roots()).size
        return {"CachesDeleted": gone, "SpaceReclaimed": freed}
