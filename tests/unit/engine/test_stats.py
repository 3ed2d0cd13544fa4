"""Stats: samples a second apart, in the API's shape, and nothing that grows ever goes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import msgspec
import pytest

from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord
from labdock.engine.stats import Stats
from labdock.errors import NoSuchContainer
from labdock.runtime import Bundle, usage
from labdock.runtime.usage import Usage
from labdock.schema.container import ContainerConfig, HostConfig
from labdock.store.metadata import Database

from .clocks import SECOND, TurnedClock
from .scripted import ScriptedDriver

ID = "a" * 64


class Scale:
    """One running container; ``weights`` are what each look at it finds."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / "test.db")
        self.ledger = Ledger(self.database)
        self.driver = ScriptedDriver()
        self.clock = TurnedClock()
        self.stats = Stats(self.ledger, self.driver, self.clock, 0x801)
        self.weights: list[Usage] = []
        self.looks = 0
        record = ContainerRecord(
            id=ID, name="web", created=1, image="i", image_id="s", config=ContainerConfig(), host=HostConfig(memory=99),
            args=("sh",),
        )  # fmt: skip
        self.ledger.put(record.evolve(status=Status.RUNNING))

    def measure(self, pids: object) -> Usage:
        self.looks += 1
        return self.weights[min(self.looks, len(self.weights)) - 1]


def weighed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: Callable[[Scale], Awaitable[None]]) -> None:
    async def main() -> None:
        scale = Scale(tmp_path)
        monkeypatch.setattr(usage, "measure", scale.measure)
        monkeypatch.setattr(usage, "read_system_time", lambda: scale.clock.now())
        await scale.driver.create(Bundle(ID, tmp_path, {}, None))
        try:
            await test(scale)
        finally:
            scale.database.close()

    asyncio.run(main())


async def turn_until(clock: TurnedClock, task: asyncio.Task[dict[str, object]]) -> None:
    """Turn the clock until *task*, which sleeps by it and works in threads, is done."""
    for _ in range(500):
        await clock.turn(0.1)
        if task.done():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not end")


async def first(scale: Scale, one_shot: bool) -> dict[str, object]:
    return await anext(scale.stats.watch("web", False, one_shot))


def test_one_shot_is_one_look_and_a_single_answer_without_it_has_the_look_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(scale: Scale) -> None:
        scale.weights = [Usage(user=SECOND), Usage(user=3 * SECOND, system=SECOND, threads=4)]
        shot = await first(scale, True)
        assert scale.looks == 1
        assert shot["preread"] == "0001-01-01T00:00:00Z"
        await scale.clock.turn(5)
        scale.looks = 0
        task = asyncio.create_task(first(scale, False))
        await turn_until(scale.clock, task)
        answer = task.result()
        assert scale.looks == 2
        now, before = answer["cpu_stats"], answer["precpu_stats"]
        assert isinstance(now, dict) and isinstance(before, dict)
        assert now["cpu_usage"] == {
            "total_usage": 4 * SECOND, "usage_in_kernelmode": SECOND, "usage_in_usermode": 3 * SECOND,
        }  # fmt: skip
        assert before["cpu_usage"]["total_usage"] == SECOND
        assert now["system_cpu_usage"] - before["system_cpu_usage"] >= SECOND
        assert answer["pids_stats"] == {"current": 4, "limit": 2**64 - 1}

    weighed(tmp_path, monkeypatch, test)


def test_times_and_bytes_moved_never_go_back_when_a_process_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(scale: Scale) -> None:
        scale.weights = [Usage(user=9, read=9, anonymous=9), Usage(user=4, read=4, anonymous=4)]
        await first(scale, True)
        await scale.clock.turn(5)
        shot = await first(scale, True)
        assert shot["cpu_stats"]["cpu_usage"]["total_usage"] == 9  # type: ignore[index]
        disk = shot["blkio_stats"]["io_service_bytes_recursive"]  # type: ignore[index]
        assert disk[0] == {"major": 8, "minor": 1, "op": "read", "value": 9}
        assert shot["memory_stats"]["usage"] == 4  # type: ignore[index]
        assert shot["memory_stats"]["limit"] == 99  # type: ignore[index]
        scale.stats.begin(scale.ledger.get(ID))
        shot = await first(scale, True)
        assert shot["cpu_stats"]["cpu_usage"]["total_usage"] == 4, "a new start counts anew"  # type: ignore[index]

    weighed(tmp_path, monkeypatch, test)


def test_watchers_of_one_moment_share_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(scale: Scale) -> None:
        scale.weights = [Usage()]
        for _ in range(5):
            await first(scale, True)
        assert scale.looks == 1

    weighed(tmp_path, monkeypatch, test)


def test_many_containers_of_one_moment_are_found_by_one_look_at_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(scale: Scale) -> None:
        scale.weights = [Usage()]
        surveys: list[list[str]] = []
        survey = scale.driver.survey

        async def counted(containers: Iterable[str]) -> dict[str, list[int]]:
            surveys.append(list(containers))
            return await survey(surveys[-1])

        monkeypatch.setattr(scale.driver, "survey", counted)
        others = [letter * 64 for letter in "bcdef"]
        for other in others:
            await scale.driver.create(Bundle(other, tmp_path, {}, None))
            scale.ledger.put(msgspec.structs.replace(scale.ledger.get(ID), id=other, name=other[0]))
        answers = [anext(scale.stats.watch(other, False, True)) for other in (ID, *others)]
        assert {shot["id"] for shot in await asyncio.gather(*answers)} == {ID, *others}
        assert [set(asked) for asked in surveys] == [{ID, *others}]

    weighed(tmp_path, monkeypatch, test)


def test_a_container_that_does_not_run_has_an_empty_answer_and_an_unknown_one_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(scale: Scale) -> None:
        scale.ledger.put(scale.ledger.get(ID).evolve(status=Status.EXITED))
        shot = await first(scale, False)
        assert (shot["read"], shot["memory_stats"], shot["networks"]) == ("0001-01-01T00:00:00Z", {}, {})
        with pytest.raises(NoSuchContainer):
            scale.stats.watch("nope", True, False)
        stream = scale.stats.watch("web", True, False)
        assert (await anext(stream))["name"] == "/web"
        scale.ledger.delete(ID)
        task = asyncio.create_task(anext(stream, {}))
        await turn_until(scale.clock, task)
        assert task.result() == {}, "the stream ends with its container"

    weighed(tmp_path, monkeypatch, test)
