"""Keeping limits without a cgroup: which processors, how soon the watchdog looks again, and whom it kills."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labdock.engine import enforcement
from labdock.engine.enforcement import Enforcer
from labdock.engine.ledger import Ledger
from labdock.engine.records import ContainerRecord
from labdock.runtime import Bundle, usage
from labdock.schema.container import ContainerConfig, HostConfig
from labdock.store.metadata import Database

from .clocks import TurnedClock
from .scripted import ScriptedDriver

MIB = 1 << 20
FIRST, SECOND = "a" * 64, "b" * 64


class Guard:
    """Two running containers, of which the test says how much memory they hold."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / "test.db")
        self.driver = ScriptedDriver()
        self.clock = TurnedClock()
        self.tasks: list[asyncio.Task[None]] = []
        self.enforcer = Enforcer(Ledger(self.database), self.driver, self.spawn, self.clock)
        self.held: dict[int, int] = {}
        self.folder = folder

    def spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(work, name=what))
        return self.tasks[-1]

    def measure(self, pids: Iterable[int], limit: int) -> int:
        return sum(self.held.get(pid, 0) for pid in pids)

    async def run(self, container: str, memory: int, held: int) -> None:
        made = await self.driver.create(Bundle(container, self.folder, {}, None))
        self.held[made.pid] = held
        self.enforcer.begin(record(container, HostConfig(memory=memory)))

    async def turn(self, seconds: float) -> None:
        """Let time pass, and the worker threads that measure come back."""
        await self.clock.turn(seconds)
        for _ in range(20):
            await asyncio.sleep(0.001)


def record(container: str, host: HostConfig) -> ContainerRecord:
    return ContainerRecord(
        id=container, name=container[0], created=1, image="i", image_id="s", config=ContainerConfig(), host=host,
        args=("sh",),
    )  # fmt: skip


def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: Callable[[Guard], Awaitable[None]]) -> None:
    async def main() -> None:
        guard = Guard(tmp_path)
        monkeypatch.setattr(enforcement, "measure_memory", guard.measure)
        try:
            await test(guard)
        finally:
            for container in (FIRST, SECOND):
                guard.enforcer.end(container)
            await asyncio.wait(guard.tasks or [asyncio.create_task(asyncio.sleep(0))], timeout=10)
            guard.database.close()

    asyncio.run(main())


def test_who_holds_more_than_its_limit_is_killed_as_out_of_memory_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(guard: Guard) -> None:
        await guard.run(FIRST, 100 * MIB, 50 * MIB)
        await guard.run(SECOND, 100 * MIB, 90 * MIB)
        await guard.turn(1)
        greedy, modest = guard.driver.made[1], guard.driver.made[0]
        guard.held[greedy.pid] = 101 * MIB
        await guard.turn(1)
        end = await asyncio.wait_for(greedy.wait(), 10)
        assert (end.code, end.oom_killed) == (137, True)
        assert not modest._exit.done()

    guarded(tmp_path, monkeypatch, test)


def test_the_nearer_a_container_is_to_its_limit_the_sooner_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(guard: Guard) -> None:
        await guard.run(FIRST, 4096 * MIB, 0)
        await guard.turn(0)
        guard.held[guard.driver.made[0].pid] = 4096 * MIB - 512 * MIB
        await guard.turn(1)
        guard.held[guard.driver.made[0].pid] = 4096 * MIB - 1
        await guard.turn(1)
        assert guard.clock.slept[0] == enforcement.LONGEST
        assert 0.5 in guard.clock.slept
        assert guard.clock.slept[-1] == enforcement.SHORTEST

    guarded(tmp_path, monkeypatch, test)


def test_nothing_is_watched_when_nothing_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(guard: Guard) -> None:
        await guard.run(FIRST, 0, 10**12)
        assert guard.tasks == []
        await guard.run(SECOND, 100 * MIB, 0)
        assert len(guard.tasks) == 1
        guard.enforcer.end(SECOND)
        await guard.turn(0)
        assert guard.tasks[0].done()

    guarded(tmp_path, monkeypatch, test)


def test_an_update_puts_a_running_container_under_its_new_limit_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(guard: Guard) -> None:
        await guard.run(FIRST, 4096 * MIB, 200 * MIB)
        await guard.turn(0)
        await guard.enforcer.change(record(FIRST, HostConfig(memory=100 * MIB)))
        await guard.turn(0)
        assert (await asyncio.wait_for(guard.driver.made[0].wait(), 10)).oom_killed

    guarded(tmp_path, monkeypatch, test)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process of our own that waits."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        yield process
        process.send_signal(signal.SIGKILL)


def test_a_process_is_held_to_processors_and_made_nicer(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    available = os.sched_getaffinity(0)

    async def main() -> None:
        guard = Guard(tmp_path)
        last = str(max(available))
        guard.enforcer.constrain(record(FIRST, HostConfig(cpuset_cpus=last, cpu_shares=256)), sleeper.pid)
        guard.enforcer.constrain(record(FIRST, HostConfig(cpuset_cpus=last)), 2**22 - 1)
        guard.database.close()

    asyncio.run(main())
    assert os.sched_getaffinity(sleeper.pid) == {max(available)}
    assert os.getpriority(os.PRIO_PROCESS, sleeper.pid) == 6


def test_a_process_without_limits_is_left_alone(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    os.sched_setaffinity(sleeper.pid, {min(os.sched_getaffinity(0))})

    async def main() -> None:
        guard = Guard(tmp_path)
        guard.enforcer.constrain(record(FIRST, HostConfig(memory=100 * MIB)), sleeper.pid)
        guard.database.close()

    asyncio.run(main())
    assert os.sched_getaffinity(sleeper.pid) == {min(os.sched_getaffinity(0))}


def test_memory_is_measured_exactly_only_when_a_quick_look_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = [os.getpid()]
    assert enforcement.measure_memory(mine, 1) == pytest.approx(usage.measure(mine).memory, rel=0.2)
    monkeypatch.setattr(usage, "measure", None)
    assert 0 < enforcement.measure_memory(mine, 2**60) < 2**40
