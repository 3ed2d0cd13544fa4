"""The build cache as its user sees it: what is in it, how large, how old; and taking out of it what is not needed."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labdock.build import StepRecord
from labdock.build.caches import CacheFolders
from labdock.engine.views import show_time
from labdock.errors import InvalidRequest
from labdock.images.store import Images
from labdock.store.metadata import Records

Wire = dict[str, Any]

#: The policy's defaults: a tenth of the disk but at least 2 GiB, and two months.
LEAST = 2 << 30
UNUSED_DAYS = 60
_SIZE = re.compile(r"(\d{1,18})([kKmMgGtT]?)[bB]?")
_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


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


@dataclass(frozen=True, slots=True)
class Policy:
    """What stays without being asked for: ``keep`` bytes, the most recently used; nothing unused for ``unused_ns``."""

    keep: int
    unused_ns: int = UNUSED_DAYS * 86_400 * 10**9


def read_policy(environment: Mapping[str, str], folder: Path) -> Policy:
    """LABDOCK_BUILD_CACHE (bytes, or 500M, 20G, 1T); by default a tenth of *folder*'s disk. Raises InvalidRequest."""
    text = environment.get("LABDOCK_BUILD_CACHE", "").strip()
    if not text:
        disk = os.statvfs(folder)
        return Policy(max(disk.f_blocks * disk.f_frsize // 10, LEAST))
    found = _SIZE.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"LABDOCK_BUILD_CACHE is no size: {text!r}", hint="write bytes, or 500M, 20G, 1T")
    return Policy(int(found[1]) << _SHIFTS[found[2].upper()])


class BuildCache:
    """Looks at and prunes what builds keep. *roots* is what the step records stand on."""

    def __init__(
        self,
        records: Records[StepRecord],
        caches: CacheFolders,
        images: Images,
        roots: Callable[[], set[str]],
        policy: Policy,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._records = records
        self._caches = caches
        self._images = images
        self._roots = roots
        self._policy = policy
        self._now = now

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

    async def tend(self) -> tuple[str, ...]:
        """Keep to the policy; gives the ids of what went. For the time after a build, off its way."""
        return await asyncio.to_thread(self._tend)

    def _tend(self) -> tuple[str, ...]:
        old = self._now() - self._policy.unused_ns
        idle = [entry for entry in self.entries() if not entry.shared and not entry.in_use]
        gone: list[str] = []
        if any(entry.used_ns < old for entry in idle):
            gone += self._prune(False, 0, old, ())["CachesDeleted"]
        if sum(entry.size for entry in idle if entry.id not in gone) > self._policy.keep:
            gone += self._prune(False, self._policy.keep, None, ())["CachesDeleted"]
        return tuple(gone)

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
