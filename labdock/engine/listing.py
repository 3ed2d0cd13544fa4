"""``ps``: which containers are listed, in which order, and what they hold on disk."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

from labdock.engine import filters as filtering
from labdock.engine import linking, views
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import ALIVE, Status
from labdock.engine.records import ContainerRecord
from labdock.engine.volumes import Volumes
from labdock.errors import LabdockError, NotFound
from labdock.images.store import Images
from labdock.store.snapshots import Snapshotter

Wire = dict[str, Any]


class Listing:
    """Containers as lists."""

    def __init__(self, ledger: Ledger, images: Images, snapshotter: Snapshotter, volumes: Volumes) -> None:
        self._ledger = ledger
        self._images = images
        self._snapshotter = snapshotter
        self._volumes = volumes

    async def show(
        self, all: bool, limit: int | None, size: bool, filters: filtering.Filters, detailed: bool = False
    ) -> list[Wire]:
        """Newest first; running ones only unless *all*, *limit* or a status filter asks for more.

        *detailed*: each has a member ``Labdock``, what `views.detail` says.
        """
        records = self._select(all, limit, filters)
        now = time.time_ns()
        shown = [views.summarise(record, volumes=str(self._volumes.folder), now=now) for record in records]
        linked = linking.names_of(self._ledger)
        for entry in shown:
            entry["Names"] = [*linked.get(entry["Id"], ()), *entry["Names"]]
        if detailed:
            for entry, record in zip(shown, records, strict=True):
                entry["Labdock"] = views.detail(record)
        if size:
            for entry, sizes in zip(shown, await self.measure(records), strict=True):
                entry |= sizes
        return shown

    def _select(self, all: bool, limit: int | None, filters: filtering.Filters) -> list[ContainerRecord]:
        filtering.check(filters)
        records = sorted(self._ledger, key=lambda r: r.created, reverse=True)
        # The last word counts, as in moby.
        for ref in filters.get("before", ())[-1:]:
            moment = self._ledger.get(ref).created
            records = [r for r in records if r.created < moment]
        for ref in filters.get("since", ())[-1:]:
            moment = self._ledger.get(ref).created
            records = [r for r in records if r.created > moment]
        if not (all or limit or "status" in filters):
            records = [r for r in records if r.state.status in ALIVE]
        family = self._family(filters.get("ancestor", ()))
        if family is not None:
            records = [r for r in records if r.image_id in family]
        records = [r for r in records if filtering.passes(r, filters)]
        return records[:limit] if limit and limit > 0 else records

    def _family(self, ancestors: Sequence[str]) -> set[str] | None:
        """The ids of the images of containers that stand on one of *ancestors*; None: no matter which."""
        if not ancestors:
            return None
        bases = []
        for ref in ancestors:
            with contextlib.suppress(LabdockError):
                bases.append(self._images.get(ref))
        found = set()
        for image in {record.image_id for record in self._ledger}:
            with contextlib.suppress(NotFound):
                layers = self._images.get(image).config.rootfs.diff_ids
                if any(base.id == image or _stands_on(layers, base.config.rootfs.diff_ids) for base in bases):
                    found.add(image)
        return found

    async def measure(self, records: Sequence[ContainerRecord]) -> list[Wire]:
        """``SizeRw`` and ``SizeRootFs`` of each, in bytes; looked at on the disk, in a worker thread."""
        return await asyncio.to_thread(lambda: [self._sizes(record) for record in records])

    def own_size(self, record: ContainerRecord) -> int:
        """Bytes that it wrote itself; 0 when it is being removed meanwhile. Blocks."""
        with contextlib.suppress(LabdockError):
            return self._snapshotter.usage(record.id).size
        return 0

    def _sizes(self, record: ContainerRecord) -> Wire:
        own = self.own_size(record)
        image = 0
        with contextlib.suppress(NotFound):
            image = self._images.get(record.image_id).size
        return {"SizeRw": own, "SizeRootFs": own + image}

    def prunable(self, filters: filtering.Filters) -> list[ContainerRecord]:
        """Those that do not run and pass *filters* (``until``, ``label``, ``label!``). Raises InvalidRequest."""
        filtering.check_prune(filters)
        before = [filtering.read_moment(value) for value in filters.get("until", ())]
        return [
            record
            for record in self._ledger
            if record.state.status in (Status.CREATED, Status.EXITED, Status.DEAD)
            and filtering.has_labels(record.config.labels or {}, filters)
            and all(record.created < moment for moment in before)
        ]


def _stands_on(layers: tuple[str, ...], base: tuple[str, ...]) -> bool:
    return bool(base) and layers[: len(base)] == base
