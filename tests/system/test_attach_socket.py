"""Attaching to a real container over a WebSocket."""

from __future__ import annotations

import asyncio

import aiohttp

from tests.system.conftest import EngineUnderTest

DEADLINE = 60


def test_a_conversation_over_a_websocket(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    container = engine.docker("run", "-d", "-i", "busybox", "sh", "-c", "while read l; do echo got $l; done")
    query = "stream=1&stdin=1&stdout=1&stderr=1"

    async def talk() -> bytes:
        connector = aiohttp.UnixConnector(str(engine.run / "docker.sock"))
        url = f"http://docker/containers/{container}/attach/ws?{query}"
        async with (
            asyncio.timeout(DEADLINE),
            aiohttp.ClientSession(connector=connector) as session,
            session.ws_connect(url) as socket,
            session.ws_connect(url) as other,
        ):
            await socket.send_bytes(b"one\n")
            seen = b""
            while not seen.endswith(b"got one\n"):
                seen += await socket.receive_bytes()
            heard = b""
            while not heard.endswith(b"got one\n"):
                heard += await other.receive_bytes()
            session_end = await asyncio.create_subprocess_exec(
                "docker", "-H", engine.url, "kill", container, stdout=asyncio.subprocess.DEVNULL
            )
            await session_end.wait()
            async for _ in socket:
                pass
            assert socket.close_code == 1000
            return seen

    assert asyncio.run(talk()) == b"got one\n"
