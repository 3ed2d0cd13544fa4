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
from labdock.runtime.usage import Usage

Wire = dict[str, Any]

#: Seconds between two samples, and how old (ns) one may be that another watcher asked for.
PERIOD, FRESH = 1.0, 300_000_000
#: What the pids controller says when there is no limit.
_NO_LIMIT = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Sample:
    """``at``: ns since the epoch. ``system``: the machine's processor time, ns."""

    at: int
    usage: Usage
    system: int
    interfaces: dict[str, dict[str, int]]


class Stats:
    """Samples of running containers. A :class:`supervisor.Watcher`."""

    def __init__(self, ledger: Ledger, driver: RuntimeDriver, clock: Clock, device: int) -> None:
        """*device*: the number (st_dev) of the disk that containers read and write."""
        self._ledger = ledger
        self._driver = driver
        self._clock = clock
        self._device = device
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
        pids = await self._find_processes(record.id)
        own_network = record.network != "host"
        sample = await asyncio.to_thread(self._read, pids, record.state.pid if own_network else 0)
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

    def _read(self, pids: list[int], first: int) -> Sample:
        interfaces = usage.read_interfaces(first) if first else {}
        return Sample(self._clock.now(), usage.measure(pids), usage.read_system_time(), interfaces)

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
        if sample is not None:
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
    return Sample(now.at, kept, max(now.system, last.system), now.interfaces)


def show_processors(sample: Sample | None) -> Wire:
    """``cpu_stats`` and ``precpu_stats``."""
    times = (sample.usage.user, sample.usage.system) if sample else (0, 0)
    shown: Wire = {
        "cpu_usage": {
            "total_usage": sum(times),
            "usage_in_kernelmode": times[1],
            "usage_in_usermode": times[0],
        },
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }
    if sample is not None:
        shown |= {"system_cpu_usage": sample.system, "online_cpus": len(os.sched_getaffinity(0))}
    return shown


def _show_memory(record: ContainerRecord, sample: Sample | None) -> Wire:
    """``docker stats`` shows ``usage`` without ``inactive_file``: what a limit is held against."""
    if sample is None:
        return {}
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
        "limit": record.host.memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def _show_pids(record: ContainerRecord, sample: Sample | None) -> Wire:
    if sample is None:
        return {}
    limit = record.host.pids_limit or 0
    return {"current": sample.usage.threads, "limit": limit if limit > 0 else _NO_LIMIT}
