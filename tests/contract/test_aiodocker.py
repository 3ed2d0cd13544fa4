"""aiodocker: its containers, execs, logs, events and images."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiodocker
import pytest

from .clients import PATIENCE, Engine

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def run(engine: Engine, clean: None) -> Callable[[Callable[[Any], Awaitable[None]]], None]:
    """Run a coroutine function with a client of the engine."""

    async def bounded(work: Callable[[Any], Awaitable[None]]) -> None:
        async with asyncio.timeout(PATIENCE), aiodocker.Docker(url=f"unix://{engine.socket}") as client:
            await work(client)

    return lambda work: asyncio.run(bounded(work))


Run = Callable[[Callable[[Any], Awaitable[None]]], None]


def test_the_life_of_a_container(run: Run) -> None:
    async def work(client: Any) -> None:
        assert (await client.version())["ApiVersion"] == "1.51"
        box = await client.containers.create(
            {"Image": "busybox", "Cmd": ["sh", "-c", "echo out; sleep 60"]}, name="aio"
        )
        await box.start()
        assert (await box.show())["State"]["Running"]
        async for line in box.log(stdout=True, follow=True):
            assert line.strip() == "out"
            break
        assert [each.id for each in await client.containers.list()] == [box.id]
        await box.kill()
        assert (await box.wait())["StatusCode"] == 137
        await box.delete()
        with pytest.raises(aiodocker.DockerError) as caught:
            await client.containers.get("aio")
        assert caught.value.status == 404

    run(work)


def test_an_exec_and_an_attached_container_speak_both_ways(run: Run) -> None:
    async def work(client: Any) -> None:
        box = await client.containers.run({"Image": "busybox", "Cmd": ["sleep", "60"]}, name="aio")
        made = await box.exec(["cat"], stdin=True)
        async with made.start(detach=False) as stream:
            await stream.write_in(b"there and back")
            message = await stream.read_out()
            assert (message.stream, message.data) == (1, b"there and back")
        told = await box.exec(["sh", "-c", "echo error >&2; exit 3"])
        async with told.start(detach=False) as stream:
            message = await stream.read_out()
            assert (message.stream, message.data) == (2, b"error\n")
            assert await stream.read_out() is None
        assert (await told.inspect())["ExitCode"] == 3
        await box.delete(force=True)

    run(work)


def test_events_and_images(run: Run) -> None:
    async def work(client: Any) -> None:
        since = time.time()
        box = await client.containers.run({"Image": "busybox", "Cmd": ["true"]}, name="aio")
        await box.wait()
        events = client.events.subscribe(since=f"{since:.9f}")
        seen = []
        while "die" not in seen:
            seen.append((await events.get())["Action"])
        await client.events.stop()
        assert [action for action in seen if action in ("create", "start", "die")] == ["create", "start", "die"]
        await client.images.tag("busybox", repo="mine", tag="1")
        assert "mine:1" in (await client.images.inspect("mine:1"))["RepoTags"]
        assert [part["Untagged"] for part in await client.images.delete("mine:1")] == ["mine:1"]

    run(work)
