"""Supervision over a scripted runtime: starts that fail, ends, restarts with back-off, full disks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from labdock.engine.attachments import Session
from labdock.engine.events import Events
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord
from labdock.engine.stage import Stage
from labdock.engine.supervisor import Supervisor
from labdock.errors import InvalidRequest, StorageFull
from labdock.schema.container import ContainerConfig, HostConfig, RestartPolicy
from labdock.schema.events import Event
from labdock.store.intents import Intents
from labdock.store.metadata import Database

from .scripted import BareStage, ScriptedDriver

ID = "ab" * 32


class Bench:
    """A supervisor with one container, on a clock that the test turns."""

    def __init__(self, folder: Path, host: HostConfig) -> None:
        self.database = Database(folder / "test.db")
        self.intents = Intents(self.database)
        self.ledger = Ledger(self.database)
        self.driver = ScriptedDriver()
        self.stage = BareStage(folder)
        self.events = Events()
        self.pauses: list[float] = []
        self.supervisor = Supervisor(
            self.database, self.intents, self.ledger, self.driver, cast(Stage, self.stage), self.events, self.sleep
        )
        self.removed: list[str] = []
        self.supervisor.remove = self.remove
        record = ContainerRecord(
            id=ID, name="web", created=1, image="i", image_id="s", config=ContainerConfig(), host=host, args=("sh",)
        )
        self.ledger.put(record)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def remove(self, container: str) -> None:
        self.removed.append(container)
        self.ledger.delete(container)

    @property
    def record(self) -> ContainerRecord:
        return self.ledger.get(ID)

    @property
    def actions(self) -> list[str]:
        past: list[Event] = list(self.events._past)
        return [event.action for event in past]

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


def supervised(tmp_path: Path, test: Callable[[Bench], Awaitable[None]], host: HostConfig | None = None) -> None:
    async def main() -> None:
        bench = Bench(tmp_path, host or HostConfig())
        try:
            await test(bench)
        finally:
            bench.driver.refuse_create = None
            await bench.supervisor.close(1)
            bench.database.close()

    asyncio.run(main())


def test_a_start_is_recorded_with_its_address_and_closes_its_intent(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        assert await bench.supervisor.start(ID) is True
        assert bench.record.state.status == Status.RUNNING
        assert bench.record.state.pid == 1000
        assert bench.record.endpoints[0].ip == "172.17.0.2"
        assert bench.intents.open() == []
        assert bench.actions == ["start"]
        assert await bench.supervisor.start(ID) is False

    supervised(tmp_path, test)


@pytest.mark.parametrize("where", ["stage", "create", "start"])
def test_a_start_that_fails_is_undone_and_says_why(tmp_path: Path, where: str) -> None:
    async def test(bench: Bench) -> None:
        error = InvalidRequest('exec: "x": executable file not found in $PATH')
        session = Session(False)
        bench.supervisor.live(ID).sessions.append(session)
        match where:
            case "stage":
                bench.stage.refuse = error
            case "create":
                bench.driver.refuse_create = error
            case _:
                bench.driver.refuse_start = error
        with pytest.raises(InvalidRequest, match="not found"):
            await bench.supervisor.start(ID)
        assert bench.record.state.status == Status.CREATED
        assert bench.record.state.exit_code == 127
        assert "executable file not found" in bench.record.state.error
        assert bench.driver.deleted == [ID]
        assert bench.stage.down == [ID]
        assert bench.intents.open() == []
        assert await session.read() is None
        # The same container can be started once what was wrong is mended.
        bench.stage.refuse = bench.driver.refuse_create = bench.driver.refuse_start = None
        assert await bench.supervisor.start(ID) is True

    supervised(tmp_path, test)


def test_a_session_that_began_before_the_start_sees_everything_and_ends_after_the_exit_is_known(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        session = Session(False, stdin=True)
        bench.supervisor.live(ID).sessions.append(session)
        writing = asyncio.ensure_future(session.write(b"early"))
        await bench.supervisor.start(ID)
        await writing
        container = bench.driver.made[0]
        assert container.streams[0].written == [b"early"]
        container.streams[0].output.put_nowait(("stdout", b"hello"))
        assert await session.read() == ("stdout", b"hello")
        container.end(3)
        assert await session.read() is None
        assert bench.record.state.status == Status.EXITED
        assert bench.record.state.exit_code == 3

    supervised(tmp_path, test)


def test_an_end_wakes_who_waits_and_takes_the_stage_down(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.supervisor.start(ID)
        waiting: asyncio.Future[ContainerRecord] = asyncio.get_running_loop().create_future()
        bench.supervisor.live(ID).exits.append(waiting)
        # The time of its end is a coarse clock's, which may be behind that of its start.
        bench.driver.made[0].end(9, at=bench.record.state.started - 1)
        record = await waiting
        assert (record.state.exit_code, record.state.finished, record.endpoints) == (9, record.state.started, ())
        await bench.settle()
        assert bench.stage.down == [ID]
        assert bench.actions == ["start", "die"]

    supervised(tmp_path, test)


def test_stop_asks_first_and_kills_after_the_timeout(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.driver.stubborn = True
        await bench.supervisor.start(ID)
        assert await bench.supervisor.stop(ID, 0.01, 15) is True
        assert bench.driver.made[0].signals == [15, 9]
        assert bench.record.state.exit_code == 137
        assert await bench.supervisor.stop(ID, 0.01, 15) is False

    supervised(tmp_path, test)


def test_a_restart_policy_backs_off_and_gives_up_when_told(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.supervisor.start(ID)
        for number in range(4):
            bench.driver.made[-1].end(1)
            await bench.settle()
            assert bench.record.state.restarts == min(number + 1, 3)
        assert len(bench.driver.made) == 4
        assert bench.pauses == [0.1, 0.2, 0.4]
        assert bench.record.state.status == Status.EXITED

    policy = RestartPolicy(name="on-failure", maximum_retry_count=3)
    supervised(tmp_path, test, HostConfig(restart_policy=policy))


def test_the_back_off_has_a_ceiling_and_a_long_run_resets_it(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.supervisor.start(ID)
        for _ in range(12):
            bench.driver.made[-1].end(0)
            await bench.settle()
        assert bench.pauses[-1] == 60.0
        bench.driver.made[-1].end(0, at=bench.record.state.started + 20 * 10**9)
        await bench.settle()
        assert bench.pauses[-1] == 0.1

    supervised(tmp_path, test, HostConfig(restart_policy=RestartPolicy(name="always")))


def test_what_the_user_stopped_is_not_started_again(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.supervisor.start(ID)
        await bench.supervisor.stop(ID, 1, 15)
        await bench.settle()
        assert bench.record.state.status == Status.EXITED
        assert len(bench.driver.made) == 1

    supervised(tmp_path, test, HostConfig(restart_policy=RestartPolicy(name="always")))


def test_an_auto_removed_container_goes_after_its_end(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        await bench.supervisor.start(ID)
        bench.driver.made[0].end(0)
        await bench.settle()
        assert bench.removed == [ID]

    supervised(tmp_path, test, HostConfig(auto_remove=True))


def test_an_end_on_a_full_disk_is_told_at_once_and_written_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(bench: Bench) -> None:
        await bench.supervisor.start(ID)
        full = [True]
        execute = Database.execute

        def refuse(self: Database, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
            if full[0] and statement.startswith("INSERT"):
                raise StorageFull("database or disk is full")
            return execute(self, statement, parameters)

        monkeypatch.setattr(Database, "execute", refuse)
        waiting: asyncio.Future[ContainerRecord] = asyncio.get_running_loop().create_future()
        bench.supervisor.live(ID).exits.append(waiting)
        bench.driver.made[0].end(4)
        assert (await waiting).state.exit_code == 4
        behind = [bench.ledger.behind]
        full[0] = False
        await bench.settle()
        behind.append(bench.ledger.behind)
        assert behind == [True, False]
        assert bench.pauses
        assert Ledger(bench.database).get(ID).state.exit_code == 4

    supervised(tmp_path, test)


def test_closing_stops_everything_within_its_grace(tmp_path: Path) -> None:
    async def test(bench: Bench) -> None:
        bench.driver.stubborn = True
        await bench.supervisor.start(ID)
        await bench.supervisor.close(0.01)
        assert bench.driver.made[0].signals == [15, 9]
        assert bench.record.state.status == Status.EXITED

    supervised(tmp_path, test, HostConfig(restart_policy=RestartPolicy(name="always")))
