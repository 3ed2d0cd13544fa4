"""Keeping limits: by a container's cgroup as far as its controllers reach, and softly where they do not.

Softly: processors by affinity and niceness, memory by a watchdog.

The watchdog looks only while a container with a memory limit runs, and the sooner again the nearer one is to its
limit: :data:`SHORTEST` to :data:`LONGEST` seconds, by how long filling the rest would take at :data:`FILL_RATE`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import stat
from collections.abc import Iterable
from dataclasses import replace

from labdock.engine.clock import Clock
from labdock.engine.controls import control
from labdock.engine.health import Spawn
from labdock.engine.ledger import Ledger
from labdock.engine.limits import Limits, choose_cpus, keep_softly, limits_of
from labdock.engine.records import ContainerRecord
from labdock.errors import LabdockError
from labdock.runtime import ExecRequest, RuntimeDriver, usage
from labdock.runtime.groups import Groups

log = logging.getLogger("labdock.engine")

#: Seconds between two looks, and the bytes per second that a program is thought to fill.
SHORTEST, LONGEST, FILL_RATE = 0.1, 1.0, 1 << 30


class Enforcer:
    """Keeps what :mod:`labdock.engine.limits` says. A :class:`supervisor.Watcher`."""

    def __init__(
        self, ledger: Ledger, driver: RuntimeDriver, spawn: Spawn, clock: Clock, groups: Groups | None = None
    ) -> None:
        self._ledger = ledger
        self._driver = driver
        self._spawn = spawn
        self._clock = clock
        self._groups = groups or Groups(None)
        self._available = frozenset(os.sched_getaffinity(0))
        self._watched: dict[str, int] = {}
        self._watch: asyncio.Task[None] | None = None
        self._sooner = asyncio.Event()

    # -- processors ---------------------------------------------------------------------------------

    def constrain(self, record: ContainerRecord, pid: int) -> None:
        """Put one process, and what it will start, under *record*'s limits. Nothing happens when it has ended.

        Raises SystemFailure for a limit that the kernel refuses, InvalidRequest for one of a device that is not there.
        """
        self._write(record)
        limits = self._soft(record)
        if limits.cpus or limits.cpuset or limits.nice:
            self._hold((pid,), record.id, limits)

    def constrain_exec(self, record: ContainerRecord, request: ExecRequest) -> ExecRequest:
        """*request* under *record*'s limits."""
        limits = self._soft(record)
        cpus = choose_cpus(limits, self._available, int(record.id[:8], 16))
        return request if cpus is None and not limits.nice else replace(request, cpus=cpus, nice=limits.nice)

    def _soft(self, record: ContainerRecord) -> Limits:
        return keep_softly(limits_of(record.host), self._groups.controls)

    def _write(self, record: ContainerRecord) -> None:
        self._groups.limit(record.id, control(record.host, self._groups.controls, number_of))

    def _hold(self, pids: Iterable[int], container: str, limits: Limits) -> None:
        cpus = choose_cpus(limits, self._available, int(container[:8], 16)) or self._available
        for pid in pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                for thread in os.listdir(f"/proc/{pid}/task"):
                    _hold_thread(int(thread), cpus, limits.nice)

    # -- memory ---------------------------------------------------------------------------------------

    def begin(self, record: ContainerRecord) -> None:
        memory = self._soft(record).memory
        if not memory:
            self.end(record.id)
            return
        self._watched[record.id] = memory
        self._sooner.set()
        if self._watch is None:
            self._watch = self._spawn(self._look(), "watching memory limits")

    def end(self, container: str) -> None:
        self._watched.pop(container, None)
        if not self._watched and self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def change(self, record: ContainerRecord) -> None:
        """*record* runs, and its limits are others now. Raises as :meth:`constrain`."""
        self._write(record)
        self.begin(record)
        found = await self._driver.survey([record.id])
        self._hold(found.get(record.id, ()), record.id, self._soft(record))

    async def _look(self) -> None:
        while True:
            found = await self._driver.survey(tuple(self._watched))
            pause = LONGEST
            for container, pids in found.items():
                limit = self._watched.get(container)
                if limit is None:
                    continue
                used = await asyncio.to_thread(measure_memory, pids, limit)
                if used > limit:
                    await self._kill(container, used, limit)
                pause = min(pause, max(SHORTEST, (limit - used) / FILL_RATE))
            self._sooner.clear()
            await self._rest(pause)

    async def _rest(self, pause: float) -> None:
        """Until *pause* is over, or there is another limit to look at."""
        timer = asyncio.ensure_future(self._clock.sleep(pause))
        sooner = asyncio.ensure_future(self._sooner.wait())
        try:
            await asyncio.wait({timer, sooner}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            sooner.cancel()

    async def _kill(self, container: str, used: int, limit: int) -> None:
        log.info("container %s holds %d bytes of memory, its limit is %d: killing it", container[:12], used, limit)
        self._watched.pop(container, None)
        try:
            await self._driver.kill_as_oom(container)
        except LabdockError as error:
            # It has ended by itself meanwhile.
            log.debug("killing container %s: %s", container[:12], error)


def number_of(path: str) -> tuple[int, int]:
    """The (major, minor) of the block device at *path*. Raises OSError."""
    found = os.stat(path)
    if not stat.S_ISBLK(found.st_mode):
        raise OSError(errno.ENOTBLK, os.strerror(errno.ENOTBLK), path)
    return os.major(found.st_rdev), os.minor(found.st_rdev)


def measure_memory(pids: Iterable[int], limit: int) -> int:
    """The memory that *pids* hold; exactly only when a quick look can't rule out that it is above *limit*."""
    bound = usage.bound_memory(pids)
    return bound if bound <= limit else usage.measure(pids).memory


def _hold_thread(thread: int, cpus: Iterable[int], nice: int) -> None:
    try:
        os.sched_setaffinity(thread, cpus)
        if os.getpriority(os.PRIO_PROCESS, thread) != nice:
            os.setpriority(os.PRIO_PROCESS, thread, nice)
    except ProcessLookupError:
        return
    except OSError as error:
        # Lowering niceness again is refused without CAP_SYS_NICE outside the sandbox.
        log.debug("limiting thread %d: %s", thread, error)
