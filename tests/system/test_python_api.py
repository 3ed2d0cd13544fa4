"""``labdock.connect()`` and ``labdock.aconnect()`` with real containers."""

from __future__ import annotations

import asyncio

import pytest

import labdock
from labdock.client.programs import ProgramFailed

from .conftest import EngineUnderTest, wait_until


def test_programs_images_and_streams(engine: EngineUnderTest) -> None:
    with labdock.connect(engine.environment) as client:
        assert client.containers.run("busybox", "echo hello").text == "hello"
        assert client.containers.run("busybox", "wc -c", input="x" * 300_000).text.strip() == "300000"
        with pytest.raises(ProgramFailed, match="exit code 3: oops"):
            client.containers.run("busybox", ["sh", "-c", "echo oops >&2; exit 3"])
        image = client.images.build(dockerfile="FROM busybox\nRUN echo built > /made", names=["made"])
        assert image.repo_tags == ("made:latest",)
        assert client.containers.run("made", "cat /made").text == "built"
        loop = "for i in 1 2 3; do echo line $i; done; exec sleep 1000"
        with client.containers.run("busybox", ["sh", "-c", loop], detach=True, init=True) as running:
            found = running.lines()
            assert [next(found) for _ in range(3)] == ["line 1", "line 2", "line 3"]
            assert running.exec("echo $HOME", check=True).text == "$HOME"
            assert running.exec(["sh", "-c", "exit 4"], check=False).exit_code == 4
        assert client.containers.list(all=True) == []


def test_a_cancelled_task_leaves_no_container(engine: EngineUnderTest) -> None:
    async def main() -> None:
        async with labdock.aconnect(engine.environment) as client:
            task = asyncio.create_task(client.containers.run("busybox", "sleep 1000"))
            await asyncio.to_thread(wait_until, lambda: engine.docker("ps", "-q"), "it runs")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with await client.containers.run("busybox", ["echo", "hi"], detach=True) as running:
                assert [line async for line in running.lines()] == ["hi"]

    asyncio.run(main())
    wait_until(lambda: engine.docker("ps", "-aq") == "", "every container is gone")
