"""``docker stats``: what containers use, sampled each second for whoever watches, in the API's shape."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from labdock.engine.clock import Clock
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord
from labdock.engine.views import ZERO_TIME, show_time
from labdock.runtime import RuntimeDriver, usage
from labdock.runtime.groups import Counted, Groups
from labdock.runtime.usage import Usage

Wire = dict[str, Any]

#: Seconds between two samples, and how old (ns) one may be that another watcher asked for.
PERIOD, FRESH = 1.0, 300_000_000
#: What the pids controller says when there is no limit.
_NO_LIMIT = 2**64 - 1
#: The controllers that together count all there is.
_COUNTED = frozenset(("cpu", "memory", "pids", "io"))


@dataclass(frozen=True, slots=True)
class Sample:
    """``at``: ns since the epoch. ``system``: the machine's processor time, ns."""

    at: int
    usage: Usage
    system: int
    interfaces: dict[str, dict[str, int]]
    group: Counted | None = None


class Stats:
    """Samples of running containers. A :class:`supervisor.Watcher`."""

    def __init__(
        self, ledger: Ledger, driver: RuntimeDriver, clock: Clock, device: int, groups: Groups | None = None
    ) -> None:
        """*device*: the number (st_dev) of the disk that containers read and write."""
        self._ledger = ledger
        self._driver = driver
        self._clock = clock
        self._device = device
        self._groups = groups or Groups(None)
        self._last: dict[str, Sample] = {}
        self._found: dict[str, list[int]] = {}
        self._looked = 0
        self._looking = asyncio.Lock()

    def begin(self, record: ContainerRecord) -> None:
        self.end(record.id)

    def end(self, container: str) -> None:
        self._last.pop(container, None)
        self._found.pop(container, None)

    def watch(self, ref: str, stream: bool, one_shot: bool) -> AsyncGenerator[Wire, None]:
        """One answer, or with *stream* one each second until the container is removed. NoSuchContainer at once.

        Without *one_shot* a single answer takes a second: it has the sample before it as well.
        """
        record = self._ledger.get(ref)
        return self._stream(record.id) if stream else self._once(record.id, one_shot)

    async def _once(self, container: str, one_shot: bool) -> AsyncGenerator[Wire, None]:
        before = None
        if not one_shot:
            before = await self._sample(self._ledger.get(container))
            if before is not None:
                await self._clock.sleep(PERIOD)
        record = self._ledger.get(container)
        yield self._show(record, before, await self._sample(record))

    async def _stream(self, container: str) -> AsyncGenerator[Wire, None]:
        before = None
        while self._ledger.has_id(container):
            record = self._ledger.get(container)
            sample = await self._sample(record)
            yield self._show(record, before, sample)
            before = sample
            await self._clock.sleep(PERIOD)

    async def _sample(self, record: ContainerRecord) -> Sample | None:
        """None when it does not run."""
        if record.state.status not in (Status.RUNNING, Status.PAUSED):
            return None
        last = self._last.get(record.id)
        if last is not None and 0 <= self._clock.now() - last.at < FRESH:
            return last
        group = await asyncio.to_thread(self._groups.count, record.id)
        # Whatever the group does not count is looked for at the processes.
        whole = group is not None and group.kept >= _COUNTED
        pids = [] if whole else await self._find_processes(record.id)
        own_network = record.network != "host"
        sample = await asyncio.to_thread(self._read, pids, record.state.pid if own_network else 0, group)
        last = self._last.get(record.id)
        if last is not None:
            sample = _after(last, sample)
        self._last[record.id] = sample
        return sample

    async def _find_processes(self, container: str) -> list[int]:
        """The pids of *container*; one look at /proc serves all who ask in the same moment."""
        async with self._looking:
            now = self._clock.now()
            if container not in self._found or not 0 <= now - self._looked < FRESH:
                running = [r.id for r in self._ledger if r.state.status in (Status.RUNNING, Status.PAUSED)]
                self._found = await self._driver.survey(running)
                self._looked = now
            return self._found.get(container, [])

    def _read(self, pids: list[int], first: int, group: Counted | None) -> Sample:
        interfaces = usage.read_interfaces(first) if first else {}
        used = usage.measure(pids)
        if group is not None:
            used = combine(used, group)
        return Sample(self._clock.now(), used, usage.read_system_time(), interfaces, group)

    def _show(self, record: ContainerRecord, before: Sample | None, sample: Sample | None) -> Wire:
        return {
            "name": f"/{record.name}",
            "id": record.id,
            "read": show_time(sample.at) if sample else ZERO_TIME,
            "preread": show_time(before.at) if before else ZERO_TIME,
            "pids_stats": _show_pids(record, sample),
            "blkio_stats": self._show_disk(sample),
            "num_procs": 0,
            "storage_stats": {},
            "cpu_stats": show_processors(sample),
            "precpu_stats": show_processors(before),
            "memory_stats": _show_memory(record, sample),
            "networks": sample.interfaces if sample else {},
        }

    def _show_disk(self, sample: Sample | None) -> Wire:
        entries = None
        if sample is not None and sample.group is not None and "io" in sample.group.kept:
            entries = [
                {"major": major, "minor": minor, "op": op, "value": counted.get(key, 0)}
                for (major, minor), counted in sample.group.disks.items()
                for op, key in (("read", "rbytes"), ("write", "wbytes"))
            ]
        elif sample is not None:
            where = {"major": os.major(self._device), "minor": os.minor(self._device)}
            entries = [
                {**where, "op": "read", "value": sample.usage.read},
                {**where, "op": "write", "value": sample.usage.written},
            ]
        others = ("serviced", "queue", "service_time", "wait_time", "merged", "time")
        return {
            "io_service_bytes_recursive": entries,
            **{f"io_{name}_recursive": None for name in others},
            "sectors_recursive": None,
        }


def _after(last: Sample, now: Sample) -> Sample:
    """*now*, but nothing that only grows goes back: an exec that has ended takes its share with it."""
    found = now.usage
    kept = Usage(
        user=max(found.user, last.usage.user),
        system=max(found.system, last.usage.system),
        anonymous=found.anonymous,
        shared=found.shared,
        file=found.file,
        threads=found.threads,
        read=max(found.read, last.usage.read),
        written=max(found.written, last.usage.written),
    )
    return Sample(now.at, kept, max(now.system, last.system), now.interfaces, now.group)


def combine(used: Usage, group: Counted) -> Usage:
    """What *group* counts, and the rest as *used* has it."""
    found, kept = group.usage, group.kept
    memory, disk = (found if "memory" in kept else used), (found if "io" in kept else used)
    return Usage(
        user=found.user,
        system=found.system,
        anonymous=memory.anonymous,
        shared=memory.shared,
        file=memory.file,
        threads=found.threads if "pids" in kept else used.threads,
        read=disk.read,
        written=disk.written,
    )


def show_processors(sample: Sample | None) -> Wire:
    """``cpu_stats`` and ``precpu_stats``."""
    times = (sample.usage.user, sample.usage.system) if sample else (0, 0)
    periods, throttled, nanoseconds = sample.group.throttled if sample and sample.group else (0, 0, 0)
    shown: Wire = {
        "cpu_usage": {
            "total_usage": sum(times),
            "usage_in_kernelmode": times[1],
            "usage_in_usermode": times[0],
        },
        "throttling_data": {"periods": periods, "throttled_periods": throttled, "throttled_time": nanoseconds},
    }
    if sample is not None:
        shown |= {"system_cpu_usage": sample.system, "online_cpus": len(os.sched_getaffinity(0))}
    return shown


def _show_memory(record: ContainerRecord, sample: Sample | None) -> Wire:
    """``docker stats`` shows ``usage`` without ``inactive_file``: what a limit is held against."""
    if sample is None:
        return {}
    limit = record.host.memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if sample.group is not None and "memory" in sample.group.kept:
        return {"usage": sample.group.held, "stats": dict(sample.group.memory), "limit": limit}
    found = sample.usage
    return {
        "usage": found.memory + found.file,
        "stats": {
            "anon": found.anonymous,
            "shmem": found.shared,
            "file": found.file + found.shared,
            "file_mapped": found.file + found.shared,
            "active_anon": found.memory,
            "inactive_anon": 0,
            "active_file": 0,
            "inactive_file": found.file,
        },
        "limit": limit,
    }


def _show_pids(record: ContainerRecord, sample: Sample | None) -> Wire:
    if sample is None:
        return {}
    limit = record.host.pids_limit or 0
    return {"current": sample.usage.threads, "limit": limit if limit > 0 else _NO_LIMIT}
