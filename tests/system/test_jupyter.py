"""The engine seen through a Jupyter server: what browsers are told, and when."""

from __future__ import annotations

import asyncio
import json

from tests.jupyter_servers import Page, serve
from tests.system.conftest import EngineUnderTest


async def _do(engine: EngineUnderTest, *arguments: str) -> str:
    return await asyncio.to_thread(engine.docker, *arguments)


async def _until_state(page: Page, id: str, state: str) -> dict[str, object]:
    def wanted(frame: dict[str, object]) -> bool:
        value = frame.get("value")
        return frame["type"] == "change" and frame["id"] == id and isinstance(value, dict) and value["state"] == state

    value = (await page.until(wanted))["value"]
    assert isinstance(value, dict)
    return value


def test_browsers_are_told_what_the_docker_command_does(engine: EngineUnderTest) -> None:
    async def main() -> None:
        async with serve(engine.environment) as server:
            pages = [await server.open(), await server.open()]
            for page in pages:
                state = await page.until_type("state")
                assert state["engine"]["state"] == "running"
                assert {n["name"] for n in state["networks"]} == {"bridge", "host", "none"}
            id = await _do(engine, "run", "-d", "--name", "web", "-v", "data:/data", "--expose", "80", "busybox", "top")
            for page in pages:
                value = await _until_state(page, id, "running")
                assert value["name"] == "web" and value["networks"] == ["bridge"]
                assert value["ports"] == [{"private": 80, "type": "tcp", "url": f"labdock/port/{id}/80/"}]
            await _do(engine, "kill", "web")
            assert (await _until_state(pages[0], id, "exited"))["exit_code"] == 137
            await _do(engine, "rm", "web")
            for page in pages:
                await page.until_type("change", kind="container", id=id, value=None)
                # The volume's news are the last of this removal's.
                assert (await page.until_type("change", kind="volume", id="data"))["value"]["used_by"] == []
            # Both saw the same; and nobody hears anything while nothing happens.
            seen = json.loads((await server.ask("labdock/api/state")).body)
            assert seen["containers"] == [] and [v["name"] for v in seen["volumes"]] == ["data"]
            assert await pages[0].is_silent(0.5)

    asyncio.run(main())


def test_a_killed_engine_is_waited_for_and_a_stopped_one_noticed(engine: EngineUnderTest) -> None:
    async def main() -> None:
        async with serve(engine.environment) as server:
            page = await server.open()
            await page.until_type("state")
            engine.kill("engine")
            assert (await page.until_type("engine"))["engine"]["state"] == "starting"
            await page.until_type("state")
            await asyncio.to_thread(engine.stop)
            await page.until(lambda f: f["type"] == "engine" and f["engine"]["state"] == "stopped")
            assert json.loads((await server.ask("labdock/api/engine")).body)["state"] == "stopped"
            # Somebody starts it in a shell.
            await asyncio.to_thread(engine.start)
            await page.until_type("state")

    asyncio.run(main())
