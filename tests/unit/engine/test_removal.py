"""Removal is announced first and cleaned up after, whatever the cleaning of an ended container still does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from labdock.engine.containers import Containers
from labdock.engine.rooms import Rooms
from labdock.engine.stage import Stage
from labdock.errors import NoSuchContainer
from labdock.schema.container import HostConfig

from .test_supervisor import ID, Bench, supervised


class Removed:
    """A snapshotter and volumes of which only the removal is asked."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def remove(self, key: str) -> None:
        self.keys.append(key)

    async def drop_anonymous(self, names: object) -> None:
        return


def containers_of(bench: Bench, folder: Path) -> tuple[Containers, Removed]:
    removed = Removed()
    unused = cast(Any, None)
    rooms = Rooms(
        database=bench.database,
        intents=bench.intents,
        ledger=bench.ledger,
        supervisor=bench.supervisor,
        stage=cast(Stage, bench.stage),
        driver=bench.driver,
        snapshotter=cast(Any, removed),
        images=unused,
        volumes=cast(Any, removed),
        enforcer=unused,
        find_image=unused,
        folder=folder,
        controls=frozenset(),
        settle_network=unused,
    )
    return Containers(rooms), removed


def removing(tmp_path: Path, test: Callable[[Bench, Containers, Removed], Awaitable[None]]) -> None:
    async def with_containers(bench: Bench) -> None:
        await test(bench, *containers_of(bench, tmp_path))

    supervised(tmp_path, with_containers, HostConfig())


def test_an_ended_container_is_removed_while_its_mounts_still_go(tmp_path: Path) -> None:
    async def test(bench: Bench, containers: Containers, removed: Removed) -> None:
        await bench.supervisor.start(ID)
        bench.stage.gate = asyncio.Event()
        bench.driver.made[0].end(0)
        await bench.settle()
        await containers.remove(ID, force=False, volumes=False, link=False)
        # Its name, ports and addresses are free; only its mounts are still there.
        assert bench.stage.released == [ID]
        assert bench.stage.down == []
        with pytest.raises(NoSuchContainer):
            bench.ledger.get("web")
        assert [intent.action for intent in bench.intents.open()] == ["container.remove"]
        assert removed.keys == []
        bench.stage.gate.set()
        await bench.settle()
        assert removed.keys == [ID]
        assert bench.stage.forgotten == [ID]
        assert bench.intents.open() == []

    removing(tmp_path, test)


def test_a_start_waits_until_what_the_last_run_stood_on_is_gone(tmp_path: Path) -> None:
    async def test(bench: Bench, containers: Containers, removed: Removed) -> None:
        await bench.supervisor.start(ID)
        bench.stage.gate = asyncio.Event()
        bench.driver.made[0].end(0)
        await bench.settle()
        starting = asyncio.create_task(containers.start(ID))
        await bench.settle()
        assert bench.stage.up == [ID]
        bench.stage.gate.set()
        assert await starting is True
        assert bench.stage.up == [ID, ID]

    removing(tmp_path, test)


def test_a_start_that_waited_for_a_removed_container_finds_none(tmp_path: Path) -> None:
    async def test(bench: Bench, containers: Containers, removed: Removed) -> None:
        await bench.supervisor.start(ID)
        bench.stage.gate = asyncio.Event()
        bench.driver.made[0].end(0)
        await bench.settle()
        starting = asyncio.create_task(containers.start(ID))
        await bench.settle()
        await containers.remove(ID, force=False, volumes=False, link=False)
        bench.stage.gate.set()
        with pytest.raises(NoSuchContainer):
            await starting
        assert bench.stage.up == [ID]

    removing(tmp_path, test)
