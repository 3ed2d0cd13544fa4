"""Clients that misbehave and engines that fail: the next client is served as if nothing had been."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labdock.errors import Conflict

from .fake import FakeSession, Program
from .harness import serve, until

REQUESTS = [
    b"GET /containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n",
    b"POST /containers/web/wait HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n",
    b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n",
    b"POST /build HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    b"POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\ntarabcdef",
    b"GET /images/busybox/get HTTP/1.1\r\nHost: d\r\n\r\n",
    b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 19\r\n\r\n" + b'{"Image":"busybox"}',
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda data: data.split(b" HTTP", 1)[0].decode())
def test_a_client_may_vanish_at_any_byte(request_: bytes) -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("sleep")
            for cut in range(1, len(request_) + 1, 3):
                async with served.connect() as client:
                    client.writer.write(request_[:cut])
                    await client.writer.drain()
            async with served.connect() as client:
                client.writer.write(request_)
                await client.reader.read(10)
            assert (await served.ask("GET", "/_ping")).status == 200
            await until(lambda: len(served.wires) == 0)

    asyncio.run(main())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.sampled_from(REQUESTS), st.binary(max_size=40)), max_size=4))
def test_garbage_is_answered_or_cut_and_never_a_500(pieces: list[bytes]) -> None:
    async def main() -> None:
        async with serve() as served:
            async with served.connect() as client:
                client.writer.write(b"".join(pieces) + b"\r\n\r\n")
                client.writer.write_eof()
                try:
                    answer = await client.reader.read()
                except ConnectionError:
                    answer = b""
                assert b"HTTP/1.1 500" not in answer
            assert (await served.ask("GET", "/_ping")).body == b"OK"

    asyncio.run(main())


def test_an_unexpected_error_is_logged_with_its_traceback_under_the_id_that_was_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> str:
        async with serve() as served:
            found: str = (await served.ask("GET", "/info")).json()["message"]
            return found

    message = asyncio.run(main())
    id_ = re.search(r"request id ([0-9a-f]{6}-[0-9a-f]+)", message)
    assert id_ is not None
    assert f"request {id_[1]} failed" in caplog.text
    assert "RuntimeError: a defect of the engine" in caplog.text


def test_one_line_a_request_at_debug_and_none_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serve() as served:
            await served.ask("GET", "/v1.41/_ping?x=1")

    with caplog.at_level(logging.DEBUG, logger="labdock.api"):
        asyncio.run(main())
    lines = [record.getMessage() for record in caplog.records if record.name == "labdock.api"]
    assert len(lines) == 1
    assert re.fullmatch(r"[0-9a-f]{6}-1: GET /v1\.41/_ping\?x=1 → 200 in [0-9.]+ ms", lines[0])
    caplog.clear()
    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert [record for record in caplog.records if record.name.startswith(("labdock.api", "aiohttp"))] == []


def test_an_archive_that_fails_on_its_way_can_not_be_taken_for_whole() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:

            async def broken(refs: list[str]) -> object:
                async def pieces() -> AsyncIterator[bytes]:
                    yield b"first"
                    raise Conflict("the image went away")

                return pieces()

            served.engine.images.save = broken  # type: ignore[method-assign,assignment]
            client.send("GET", "/images/busybox/get")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
                await client.reply()

    asyncio.run(main())


def test_a_stream_that_fails_ends_with_a_frame_that_says_why() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("sleep")

            class Lagging:
                async def read(self) -> None:
                    raise Conflict("this reader was too slow and was cut off")

                async def write(self, data: bytes) -> None: ...
                async def close_stdin(self) -> None: ...
                async def close(self) -> None: ...

            async def attach(*args: object) -> FakeSession:
                return FakeSession(False, Lagging())  # type: ignore[arg-type]

            served.engine.containers.attach = attach  # type: ignore[method-assign,assignment]
            client.send("POST", "/containers/web/attach?stream=1", headers={"Upgrade": "tcp", "Connection": "Upgrade"})
            await client.head()
            assert await client.reader.read() == b"\x03\0\0\0\0\0\0\x28this reader was too slow and was cut off"

    asyncio.run(main())


def test_a_paused_reader_of_logs_does_not_grow_the_engine() -> None:
    async def main() -> None:
        async with serve() as served:
            box = served.engine.containers
            await served.run("sleep")
            program: Program = box.get("web").program
            program.past = [("stdout", b"x" * 1000)] * 100_000
            async with served.connect() as client:
                client.writer.transport.pause_reading()  # type: ignore[attr-defined]
                client.send("GET", "/containers/web/logs?stdout=1")
                await until(lambda: len(served.wires) == 1)
                await asyncio.sleep(0.2)
                (wire,) = served.wires._open
                assert 0 < wire.backlog < 1 << 20
            await until(lambda: len(served.wires) == 0)

    asyncio.run(main())


def test_every_error_carries_the_id_of_its_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> list[str]:
        async with serve() as served:
            answers = [await served.ask("GET", path) for path in ("/containers/nobody/json", "/nowhere", "/info")]
            assert "x-request-id" not in (await served.ask("GET", "/_ping")).headers
            return [answer.headers["x-request-id"] for answer in answers]

    with caplog.at_level(logging.DEBUG, logger="labdock.api"):
        ids = asyncio.run(main())
    assert len(set(ids)) == 3
    lines = [record.getMessage() for record in caplog.records]
    for found, what in zip(ids, ("/containers/nobody/json → 404", "/nowhere → 404", "/info → 500"), strict=True):
        assert any(line.startswith(f"{found}: GET {what}") for line in lines), lines
