"""Health checks: what is run in a container, how often, and what its results say of the container.

The rules are moby's (daemon/health.go): a success makes it healthy at once, *retries* failures in a row make it
unhealthy, and failures in the start period do not count until it was healthy once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from labdock.engine.clock import Clock
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord, HealthResult, HealthState
from labdock.errors import InvalidRequest, LabdockError
from labdock.runtime import ExecProcess
from labdock.schema.container import HealthcheckConfig
from labdock.schema.times import SECOND, show_duration

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"

#: How many results are kept, and how many bytes of each one's output.
KEPT, OUTPUT = 5, 4096

_INTERVAL, _TIMEOUT, _START_INTERVAL = 30 * SECOND, 30 * SECOND, 5 * SECOND
_RETRIES = 3
_LEAST = 1_000_000
#: What was killed for taking too long is gone within this many seconds, or is left to the kernel.
_DEATH_SECONDS = 5.0

Start = Callable[[ContainerRecord, tuple[str, ...]], Coroutine[Any, Any, ExecProcess]]
Emit = Callable[[ContainerRecord, str], None]


class Spawn(Protocol):
    def __call__(self, work: Coroutine[Any, Any, None], what: str, /) -> asyncio.Task[None]: ...


@dataclass(frozen=True, slots=True)
class Check:
    """A health check with nothing left to inherit. Times in ns."""

    args: tuple[str, ...]
    interval: int = _INTERVAL
    timeout: int = _TIMEOUT
    start_period: int = 0
    start_interval: int = _START_INTERVAL
    retries: int = _RETRIES

    def pause(self, state: HealthState, age: int) -> int:
        """ns until the next run, *age* ns after the container's start."""
        early = state.status == STARTING and age < self.start_period
        return self.start_interval if early else self.interval


def merge_healthcheck(asked: HealthcheckConfig | None, image: HealthcheckConfig | None) -> HealthcheckConfig | None:
    """*asked* with what it leaves out taken from *image*."""
    if asked is None or image is None:
        return asked or image
    return HealthcheckConfig(
        test=asked.test or image.test,
        interval=asked.interval or image.interval,
        timeout=asked.timeout or image.timeout,
        start_period=asked.start_period or image.start_period,
        start_interval=asked.start_interval or image.start_interval,
        retries=asked.retries or image.retries,
    )


def check_healthcheck(config: HealthcheckConfig | None) -> None:
    """Raises InvalidRequest, in Docker's words, for times that can't be."""
    if config is None:
        return
    for name, value in (
        ("Interval", config.interval),
        ("Timeout", config.timeout),
        ("StartPeriod", config.start_period),
        ("StartInterval", config.start_interval),
    ):
        if value and value < _LEAST:
            raise InvalidRequest(f"{name} in Healthcheck cannot be less than 1ms")
    if config.retries < 0:
        raise InvalidRequest("Retries in Healthcheck cannot be negative")


def plan_check(record: ContainerRecord) -> Check | None:
    """What is to be run in *record*; None when nothing is (no check, ``NONE``, an unknown kind)."""
    config = record.config.healthcheck
    if config is None or not config.test:
        return None
    kind, *words = config.test
    if kind == "CMD-SHELL" and words:
        words = [*(record.config.shell or ("/bin/sh", "-c")), words[0]]
    elif kind != "CMD":
        return None
    if not words:
        return None
    return Check(
        args=tuple(words),
        interval=config.interval or _INTERVAL,
        timeout=config.timeout or _TIMEOUT,
        start_period=config.start_period,
        start_interval=config.start_interval or _START_INTERVAL,
        retries=config.retries or _RETRIES,
    )


def begin_checking(record: ContainerRecord) -> HealthState | None:
    """The health of a container that has just been started. Its earlier results stay."""
    if plan_check(record) is None:
        return None
    return HealthState(status=STARTING, log=record.state.health.log if record.state.health else ())


def stop_checking(health: HealthState | None) -> HealthState | None:
    """The health of a container that has ended: Docker calls it unhealthy."""
    return health and msgspec.structs.replace(health, status=UNHEALTHY)


def judge(check: Check, health: HealthState, result: HealthResult, started: int) -> HealthState:
    """*health* after one more *result*; *started*: the container's start, ns since the epoch."""
    log = (*health.log, result)[-KEPT:]
    if result.exit_code == 0:
        return HealthState(status=HEALTHY, log=log)
    if health.status == STARTING and result.start - started < check.start_period:
        return HealthState(status=STARTING, streak=health.streak, log=log)
    streak = health.streak + 1
    return HealthState(status=UNHEALTHY if streak >= check.retries else health.status, streak=streak, log=log)


class Health:
    """Runs the checks of all running containers: a task for each that has one. A :class:`supervisor.Watcher`."""

    def __init__(self, ledger: Ledger, start: Start, emit: Emit, spawn: Spawn, clock: Clock) -> None:
        """*start* runs a command in a container, as its own user."""
        self._ledger = ledger
        self._start = start
        self._emit = emit
        self._spawn = spawn
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, record: ContainerRecord) -> None:
        check = plan_check(record)
        if check is not None:
            self.end(record.id)
            self._tasks[record.id] = self._spawn(self._check(record.id, check), f"checking {record.id[:12]}'s health")

    def end(self, container: str) -> None:
        task = self._tasks.pop(container, None)
        if task is not None:
            task.cancel()

    async def _check(self, container: str, check: Check) -> None:
        while True:
            state = self._ledger.get(container).state
            health = state.health or HealthState(status=STARTING)
            await self._clock.sleep(check.pause(health, self._clock.now() - state.started) / SECOND)
            record = self._ledger.get(container)
            if record.state.status == Status.RUNNING:
                self._note(container, check, await self._run(record, check))

    def _note(self, container: str, check: Check, result: HealthResult) -> None:
        record = self._ledger.get(container)
        before = record.state.health or HealthState(status=STARTING)
        after = judge(check, before, result, record.state.started)
        record = record.evolve(health=after)
        if (before.status, before.streak) == (after.status, after.streak):
            # A healthy container's every check is not worth a write to the disk.
            self._ledger.remember(record)
        else:
            self._ledger.observe(record)
        if before.status != after.status:
            self._emit(record, f"health_status: {after.status}")

    async def _run(self, record: ContainerRecord, check: Check) -> HealthResult:
        """One run of the check, within its time-out."""
        began = self._clock.now()
        running = asyncio.ensure_future(self._probe(record, check))
        timer = asyncio.ensure_future(self._clock.sleep(check.timeout / SECOND))
        try:
            await asyncio.wait({running, timer}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                code, output = running.result()
            else:
                code, output = -1, f"Health check exceeded timeout ({show_duration(check.timeout)})"
        finally:
            for task in (running, timer):
                task.cancel()
            await asyncio.wait({running, timer})
        return HealthResult(start=began, end=self._clock.now(), exit_code=code, output=output)

    async def _probe(self, record: ContainerRecord, check: Check) -> tuple[int, str]:
        try:
            process = await self._start(record, check.args)
        except LabdockError as error:
            return -1, error.message[:OUTPUT]
        try:
            output = await read_output(process)
            return await process.wait(), output
        except asyncio.CancelledError:
            process.kill(signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DEATH_SECONDS):
                    await process.wait()
            raise
        finally:
            await process.streams.close()


async def read_output(process: ExecProcess) -> str:
    """All that *process* writes, of which the first OUTPUT bytes are kept."""
    kept = bytearray()
    cut = False
    while (piece := await process.streams.read()) is not None:
        room = OUTPUT - len(kept)
        cut = cut or len(piece[1]) > room
        kept += piece[1][:room]
    return kept.decode(errors="replace") + ("..." if cut else "")
