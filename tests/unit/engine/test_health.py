"""Health checks on a clock that the test turns, in containers that do what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labdock.engine import health, views
from labdock.engine.health import Check, Health
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord, HealthResult, HealthState, State
from labdock.errors import Conflict, InvalidRequest
from labdock.runtime import Attachment, ExecProcess
from labdock.schema.container import ContainerConfig, HealthcheckConfig, HostConfig
from labdock.store.metadata import Database

from .clocks import SECOND, TurnedClock, settle
from .scripted import ScriptedStreams

ID = "cd" * 32


class ScriptedProbe:
    """An exec that ends when it is told, or killed."""

    def __init__(self) -> None:
        self.pid = 7
        self.feed = ScriptedStreams()
        self.streams: Attachment = self.feed
        self.killed = False
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def resize(self, rows: int, columns: int) -> None:
        return

    def kill(self, number: int) -> None:
        self.killed = True
        self.end(128 + number)

    def end(self, code: int, output: bytes = b"") -> None:
        if output:
            self.feed.output.put_nowait(("stdout", output))
        self.feed.output.put_nowait(None)
        if not self._code.done():
            self._code.set_result(code)

    async def wait(self) -> int:
        return await asyncio.shield(self._code)


class Ward:
    """One running container with a check. ``results``: (exit code, output) of the next runs; then they hang."""

    def __init__(self, folder: Path, check: HealthcheckConfig) -> None:
        self.database = Database(folder / "test.db")
        self.ledger = Ledger(self.database)
        self.clock = TurnedClock()
        self.results: list[tuple[int, bytes]] = []
        self.refuse: Exception | None = None
        self.probes: list[ScriptedProbe] = []
        self.commands: list[tuple[str, ...]] = []
        self.actions: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.health = Health(self.ledger, self.start, self.emit, self.spawn, self.clock)
        record = ContainerRecord(
            id=ID, name="web", created=1, image="i", image_id="s", host=HostConfig(), args=("sh",),
            config=ContainerConfig(healthcheck=check),
        )  # fmt: skip
        running = State(status=Status.RUNNING, started=self.clock.now(), health=health.begin_checking(record))
        self.ledger.put(msgspec.structs.replace(record, state=running))

    async def start(self, record: ContainerRecord, args: tuple[str, ...]) -> ExecProcess:
        self.commands.append(args)
        if self.refuse is not None:
            raise self.refuse
        self.probes.append(ScriptedProbe())
        if self.results:
            self.probes[-1].end(*self.results.pop(0))
        return self.probes[-1]

    def emit(self, record: ContainerRecord, action: str) -> None:
        self.actions.append(action)

    def spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(work, name=what))
        return self.tasks[-1]

    @property
    def state(self) -> HealthState:
        found = self.ledger.get(ID).state.health
        assert found is not None
        return found

    @property
    def stored(self) -> HealthState | None:
        """What an engine that starts now would find."""
        return Ledger(self.database).get(ID).state.health


def warded(tmp_path: Path, check: HealthcheckConfig, test: Callable[[Ward], Awaitable[None]]) -> None:
    async def main() -> None:
        ward = Ward(tmp_path, check)
        ward.health.begin(ward.ledger.get(ID))
        await settle()
        try:
            await test(ward)
        finally:
            ward.health.end(ID)
            await asyncio.wait(ward.tasks, timeout=10)
            ward.database.close()

    asyncio.run(main())


EVERY_TEN = HealthcheckConfig(test=("CMD", "probe", "-x"), interval=10 * SECOND, timeout=3 * SECOND, retries=2)


def test_a_success_makes_it_healthy_and_failures_in_a_row_unhealthy(tmp_path: Path) -> None:
    async def test(ward: Ward) -> None:
        assert ward.state.status == "starting"
        ward.results = [(1, b""), (0, b"fine"), (1, b"bad"), (1, b"worse"), (1, b""), (0, b"")]
        seen = []
        for _ in range(6):
            await ward.clock.turn(10)
            seen.append((ward.state.status, ward.state.streak))
        assert seen == [
            ("starting", 1), ("healthy", 0), ("healthy", 1), ("unhealthy", 2), ("unhealthy", 3), ("healthy", 0),
        ]  # fmt: skip
        assert ward.actions == ["health_status: healthy", "health_status: unhealthy", "health_status: healthy"]
        assert ward.commands == [("probe", "-x")] * 6

    warded(tmp_path, EVERY_TEN, test)


def test_five_results_are_kept_with_four_kibibytes_of_output_each(tmp_path: Path) -> None:
    async def test(ward: Ward) -> None:
        ward.results = [(0, bytes([65 + n]) * 5000) for n in range(7)]
        await ward.clock.turn(70)
        assert [r.output[0] for r in ward.state.log] == ["C", "D", "E", "F", "G"]
        assert {len(r.output) for r in ward.state.log} == {4096 + len("...")}

    warded(tmp_path, EVERY_TEN, test)


def test_a_check_that_takes_too_long_is_killed_and_counts_as_a_failure(tmp_path: Path) -> None:
    async def test(ward: Ward) -> None:
        await ward.clock.turn(10)
        killed = [ward.probes[0].killed]
        await ward.clock.turn(3)
        killed.append(ward.probes[0].killed)
        assert killed == [False, True]
        assert ward.probes[0].feed.closed
        last = ward.state.log[-1]
        assert (last.exit_code, last.output) == (-1, "Health check exceeded timeout (3s)")
        assert last.end - last.start == 3 * SECOND

    warded(tmp_path, EVERY_TEN, test)


def test_failures_in_the_start_period_do_not_count_and_come_at_its_own_pace(tmp_path: Path) -> None:
    async def test(ward: Ward) -> None:
        ward.results = [(1, b"")] * 100
        await ward.clock.turn(19)
        assert len(ward.probes) == 9
        assert (ward.state.status, ward.state.streak) == ("starting", 0)
        await ward.clock.turn(31)
        assert ward.state.status == "unhealthy"

    check = HealthcheckConfig(
        test=("CMD", "x"), interval=10 * SECOND, start_period=20 * SECOND, start_interval=2 * SECOND, retries=2
    )
    warded(tmp_path, check, test)


def test_a_check_that_cannot_be_run_is_a_failure_that_says_why(tmp_path: Path) -> None:
    async def test(ward: Ward) -> None:
        ward.refuse = Conflict("exec: no such program")
        await ward.clock.turn(20)
        assert ward.state.status == "unhealthy"
        assert ward.state.log[-1].output == "exec: no such program"

    warded(tmp_path, EVERY_TEN, test)


def test_a_paused_container_is_not_checked(tmp_path: Path) -> None:
    async def test(ward: Ward) -> None:
        ward.ledger.put(ward.ledger.get(ID).evolve(status=Status.PAUSED))
        await ward.clock.turn(50)
        assert ward.probes == []
        ward.ledger.put(ward.ledger.get(ID).evolve(status=Status.RUNNING))
        ward.results = [(0, b"")]
        await ward.clock.turn(10)
        assert ward.state.status == "healthy"

    warded(tmp_path, EVERY_TEN, test)


def test_an_end_stops_a_check_that_runs(tmp_path: Path) -> None:
    async def test(ward: Ward) -> None:
        await ward.clock.turn(10)
        ward.health.end(ID)
        await settle()
        assert ward.probes[0].killed and ward.tasks[0].done()
        await ward.clock.turn(100)
        assert len(ward.probes) == 1

    warded(tmp_path, EVERY_TEN, test)


def test_changes_are_on_disk_at_once_and_repeated_successes_are_not(tmp_path: Path) -> None:
    async def test(ward: Ward) -> None:
        ward.results = [(0, b"1"), (0, b"2"), (0, b"3"), (1, b"4")]
        await ward.clock.turn(30)
        assert ward.stored is not None and (ward.stored.status, len(ward.stored.log)) == ("healthy", 1)
        assert len(ward.state.log) == 3
        await ward.clock.turn(10)
        assert ward.stored == ward.state

    warded(tmp_path, EVERY_TEN, test)


def test_an_adopted_container_keeps_its_health_and_its_pace(tmp_path: Path) -> None:
    async def test(ward: Ward) -> None:
        ward.results = [(0, b""), (1, b""), (1, b"")]
        await ward.clock.turn(20)
        ward.health.end(ID)
        another = Health(Ledger(ward.database), ward.start, ward.emit, ward.spawn, ward.clock)
        another.begin(another._ledger.get(ID))
        await ward.clock.turn(10)
        found = another._ledger.get(ID).state.health
        another.end(ID)
        assert found is not None and (found.status, found.streak) == ("unhealthy", 2)

    warded(tmp_path, EVERY_TEN, test)


@pytest.mark.parametrize(
    ("config", "args"),
    [
        (None, None),
        (HealthcheckConfig(), None),
        (HealthcheckConfig(test=()), None),
        (HealthcheckConfig(test=("NONE",)), None),
        (HealthcheckConfig(test=("WHAT", "x")), None),
        (HealthcheckConfig(test=("CMD",)), None),
        (HealthcheckConfig(test=("CMD", "a", "b c")), ("a", "b c")),
        (HealthcheckConfig(test=("CMD-SHELL", "a && b")), ("/bin/sh", "-c", "a && b")),
    ],
)
def test_what_is_run(config: HealthcheckConfig | None, args: tuple[str, ...] | None) -> None:
    record = ContainerRecord(
        id=ID, name="web", created=1, image="i", image_id="s", host=HostConfig(), args=("sh",),
        config=ContainerConfig(healthcheck=config),
    )  # fmt: skip
    check = health.plan_check(record)
    assert (check and check.args) == args
    assert (health.begin_checking(record) is None) == (args is None)


def test_dockers_times_are_the_default() -> None:
    check = Check(("x",))
    assert (check.interval, check.timeout, check.start_period, check.retries) == (30 * SECOND, 30 * SECOND, 0, 3)


def test_a_requests_check_inherits_from_the_image_what_it_leaves_out() -> None:
    image = HealthcheckConfig(test=("CMD", "i"), interval=5 * SECOND, retries=9)
    assert health.merge_healthcheck(None, image) is image
    assert health.merge_healthcheck(HealthcheckConfig(test=("NONE",)), None) == HealthcheckConfig(test=("NONE",))
    merged = health.merge_healthcheck(HealthcheckConfig(interval=SECOND, timeout=SECOND), image)
    assert merged == HealthcheckConfig(test=("CMD", "i"), interval=SECOND, timeout=SECOND, retries=9)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (HealthcheckConfig(interval=-1), "Interval in"),
        (HealthcheckConfig(interval=999_999), "Interval in Healthcheck cannot be less than 1ms"),
        (HealthcheckConfig(timeout=1), "Timeout in Healthcheck cannot be less than 1ms"),
        (HealthcheckConfig(start_period=1), "StartPeriod in Healthcheck cannot be less than 1ms"),
        (HealthcheckConfig(start_interval=1), "StartInterval in Healthcheck cannot be less than 1ms"),
        (HealthcheckConfig(retries=-1), "Retries in Healthcheck cannot be negative"),
    ],
)
def test_times_that_cannot_be_are_refused_in_dockers_words(config: HealthcheckConfig, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        health.check_healthcheck(config)


def test_inspect_and_the_status_column_show_the_health() -> None:
    log = (HealthResult(start=1, end=2, exit_code=1, output="no"),)
    state = State(status=Status.RUNNING, started=1, health=HealthState(status="starting", streak=1, log=log))
    assert views.describe_status(state, 5 * SECOND) == "Up 4 seconds (health: starting)"
    shown = views.show_state(state)["Health"]
    assert (shown["Status"], shown["FailingStreak"]) == ("starting", 1)
    assert shown["Log"] == [
        {"Start": views.show_time(1), "End": views.show_time(2), "ExitCode": 1, "Output": "no"},
    ]
    assert "Health" not in views.show_state(State())
