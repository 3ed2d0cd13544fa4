"""Serving the registry on a port of the host: the record, the port that outer holds, coming back after a restart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from labdock.engine.serving import RegistryService
from labdock.errors import Conflict, InvalidRequest, NotFound
from labdock.network import Address, HostNetwork, Published
from labdock.store.metadata import Database


class Nothing:
    """Holdings without anything in them."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: ()


class Outer:
    """Holds ports in memory; ``taken``: those that some program of the host has."""

    def __init__(self) -> None:
        self.held: dict[str, Published] = {}
        self.taken: set[int] = set()

    async def publish(self, owner: str, host: Address, target: Address) -> Published:
        if host.port in self.taken:
            raise Conflict("port is already allocated")
        assert owner not in self.held
        self.held[owner] = Published(owner, Address(host.ip, host.port or 5001), target)
        return self.held[owner]

    async def unpublish(self, owner: str) -> None:
        self.held.pop(owner, None)

    async def retarget(self, owner: str, ip: str) -> None:
        raise AssertionError("the registry's port stays where it is")

    async def published(self) -> tuple[Published, ...]:
        return tuple(self.held.values())

    async def host(self) -> HostNetwork:
        return HostNetwork()

    async def dial(self, host: str, port: int) -> Any:
        raise AssertionError("nothing here dials")

    async def dial_udp(self, ip: str, port: int) -> Any:
        raise AssertionError("nothing here dials")

    def keep(self, owner: str, sockets: Any) -> None:
        raise AssertionError("nothing here has sockets to keep")

    def let_go(self, owner: str) -> None:
        raise AssertionError("nothing here has sockets to keep")

    async def kept(self) -> dict[str, Any]:
        return {}

    async def look(self, path: str) -> tuple[int, int] | None:
        return None

    async def dial_agent(self, path: str) -> Any:
        raise AssertionError("nothing here has an agent")


class Tasks:
    def __init__(self) -> None:
        self.running: list[asyncio.Task[None]] = []

    def spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        self.running.append(asyncio.get_running_loop().create_task(work, name=what))
        return self.running[-1]


@contextlib.asynccontextmanager
async def engine(folder: Path, outer: Outer) -> AsyncIterator[RegistryService]:
    """One life of an engine, from recovery to its end."""
    database, tasks, holdings = Database(folder / "labdock.db"), Tasks(), Nothing()
    service = RegistryService(database, outer, holdings, tasks.spawn)
    try:
        await service.restore()
        yield service
    finally:
        for task in tasks.running:
            task.cancel()
        await asyncio.gather(*tasks.running, return_exceptions=True)
        await service.close()
        database.close()


async def ask(target: Address) -> int:
    """The status of ``GET /v2/`` there."""
    reader, writer = await asyncio.open_connection(target.ip, target.port)
    writer.write(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return int(answer.split()[1])


def test_serving_and_stopping(tmp_path: Path) -> None:
    async def go() -> None:
        outer = Outer()
        async with engine(tmp_path, outer) as service:
            assert service.status()["Running"] is False
            found = await service.serve("127.0.0.1", 0, [], False)
            assert found == service.status()
            assert (found["Running"], found["Address"], found["Port"]) == (True, "127.0.0.1", 5001)
            assert await ask(outer.held["registry"].target) == 200
            with pytest.raises(Conflict, match=r"served already, at 127\.0\.0\.1:5001"):
                await service.serve("127.0.0.1", 0, [], False)
            target = outer.held["registry"].target
            await service.stop()
            assert outer.held == {}
            with pytest.raises(ConnectionRefusedError):
                await ask(target)
            with pytest.raises(NotFound):
                await service.stop()

    asyncio.run(go())


def test_what_can_not_be_served_leaves_nothing(tmp_path: Path) -> None:
    async def go() -> None:
        outer = Outer()
        outer.taken = {5000}
        async with engine(tmp_path, outer) as service:
            with pytest.raises(Conflict, match="already allocated"):
                await service.serve("127.0.0.1", 5000, [], False)
            for address, port, logins in [
                ("", 5002, []),
                ("example.com", 5002, []),
                ("127.0.0.1", 70000, []),
                ("127.0.0.1", 5002, ["nocolon"]),
            ]:
                with pytest.raises(InvalidRequest):
                    await service.serve(address, port, logins, False)
            assert service.status()["Running"] is False
            assert not service.serving
            assert outer.held == {}

    asyncio.run(go())


def test_it_is_served_again_by_the_next_engine(tmp_path: Path) -> None:
    async def go() -> None:
        outer = Outer()
        async with engine(tmp_path, outer) as service:
            await service.serve("localhost", 0, ["ada:secret"], True)
        assert outer.held == {}
        async with engine(tmp_path, outer) as service:
            found = service.status()
            assert (found["Port"], found["User"], found["ReadOnly"]) == (5001, "ada", True)
            assert await ask(outer.held["registry"].target) == 401
            await service.stop()
        async with engine(tmp_path, outer) as service:
            assert not service.serving

    asyncio.run(go())


def test_a_port_without_a_record_is_closed_at_recovery(tmp_path: Path) -> None:
    async def go() -> None:
        outer = Outer()
        # The engine was killed after outer had the port and before it was written down.
        await outer.publish("registry", Address("127.0.0.1", 5000), Address("127.0.0.1", 1))
        async with engine(tmp_path, outer):
            assert outer.held == {}

    asyncio.run(go())


def test_a_port_that_is_taken_after_a_restart_is_tried_for_until_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labdock.engine.serving.FIRST_PAUSE", 0.01)

    async def go() -> None:
        outer = Outer()
        async with engine(tmp_path, outer) as service:
            await service.serve("127.0.0.1", 5000, [], False)
        outer.taken = {5000}
        async with engine(tmp_path, outer) as service:
            found = service.status()
            assert (found["Running"], found["Error"]) == (False, "port is already allocated")
            outer.taken = set()
            async with asyncio.timeout(10):
                while not service.serving:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert service.status()["Error"] == ""
            assert await ask(outer.held["registry"].target) == 200

    asyncio.run(go())
