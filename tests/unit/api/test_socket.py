"""Attaching over a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import WSMsgType

from .harness import Served, serve, until

ALL = "stream=1&stdin=1&stdout=1&stderr=1"


@contextlib.asynccontextmanager
async def attached(
    served: Served, query: str = ALL, version: str = "", name: str = "web"
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    connector = aiohttp.UnixConnector(str(served.socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(f"http://docker{version}/containers/{name}/attach/ws?{query}") as socket,
    ):
        yield socket


@pytest.mark.parametrize(
    ("version", "kind"), [("", WSMsgType.BINARY), ("/v1.28", WSMsgType.BINARY), ("/v1.27", WSMsgType.TEXT)]
)
def test_what_is_sent_comes_back_without_frames(version: str, kind: WSMsgType) -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("cat")
            async with attached(served, version=version) as socket:
                for data in ("text", b"binary"):
                    await (socket.send_str(data) if isinstance(data, str) else socket.send_bytes(data))
                    message = await socket.receive()
                    wanted = data if isinstance(data, str) else data.decode()
                    assert message.type == kind
                    assert message.data == (wanted if kind == WSMsgType.TEXT else wanted.encode())

    asyncio.run(main())


def test_it_is_closed_when_the_program_ends() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("say hello")
            async with attached(served) as socket:
                seen = [message.data async for message in socket]
                assert b"".join(seen) == b"hello\ndone\n" and socket.close_code == 1000

    asyncio.run(main())


def test_stdin_ends_with_it() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("cat")
            async with attached(served) as socket:
                await socket.close()
            program = served.engine.containers.get("web").program
            await until(lambda: program.stdin_ended and served.engine.containers.sessions[0].streams.closed)

    asyncio.run(main())


def test_detach_keys_let_go_of_a_terminal() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("cat", tty=True)
            async with attached(served, query=f"{ALL}&detachKeys=a,b") as socket:
                await socket.send_bytes(b"xab")
                assert [message.data async for message in socket] in ([b"x"], [])
            assert served.engine.containers.get("web").program.code is None

    asyncio.run(main())


def test_an_unknown_container_is_refused_before_the_handshake() -> None:
    async def main() -> None:
        async with serve() as served:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with attached(served, name="nope"):
                    pass
            assert refused.value.status == 404

    asyncio.run(main())
