"""Attach and exec over hijacked connections: every framing, half-closes, detach keys, slow and lost clients."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web_protocol
from aiohttp.http_parser import HttpRequestParserPy

from labdock.api.streams import wire
from labdock.api.streams.frames import MULTIPLEXED, RAW, FrameReader, frame

from .harness import Client, Served, serve, until

UPGRADE = {"Upgrade": "tcp", "Connection": "Upgrade"}
ALL = "stream=1&stdin=1&stdout=1&stderr=1"


async def attach(client: Client, name: str = "web", query: str = ALL, **options: object) -> None:
    headers = options.get("headers", UPGRADE)
    assert isinstance(headers, dict)
    client.send("POST", f"{options.get('version', '')}/containers/{name}/attach?{query}", headers=headers)


async def exec_start(served: Served, client: Client, config: dict[str, object], body: dict[str, object]) -> None:
    made = await served.ask("POST", "/containers/web/exec", config)
    client.send("POST", f"/exec/{made.json()['Id']}/start", body, headers=UPGRADE)


def test_upgrade_is_answered_as_docker_does() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("cat")
            await attach(client)
            head = await client.head()
            assert (head.status, head.reason) == (101, "UPGRADED")
            assert head.headers["connection"] == "Upgrade"
            assert head.headers["upgrade"] == "tcp"
            assert head.headers["content-type"] == MULTIPLEXED
            assert "content-length" not in head.headers
            assert "transfer-encoding" not in head.headers

    asyncio.run(main())


@pytest.mark.parametrize(
    ("command_tty", "version", "expected"),
    [(False, "", MULTIPLEXED), (False, "/v1.42", MULTIPLEXED), (False, "/v1.41", RAW), (True, "", RAW)],
)
def test_content_type_follows_terminal_and_version(command_tty: bool, version: str, expected: str) -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("cat", tty=command_tty)
            await attach(client, version=version)
            assert (await client.head()).headers["content-type"] == expected

    asyncio.run(main())


def test_without_upgrade_the_old_form_is_spoken() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("cat")
            await attach(client, headers={})
            head = await client.head()
            assert head.status == 200
            assert head.headers["connection"] == "close"
            client.writer.write(b"hello")
            assert await client.reader.readexactly(13) == frame("stdout", b"hello")
            client.writer.write_eof()
            assert await client.reader.read() == b""

    asyncio.run(main())


def test_output_waits_until_the_client_has_read_the_head() -> None:
    """quirk: docker-py loses what arrives in the same read as the head."""

    async def main() -> None:
        async with serve() as served:
            await served.run("sleep")
            made = await served.ask("POST", "/containers/web/exec", {"Cmd": ["say", "hi"]})
            loop = asyncio.get_running_loop()
            with socket.socket(socket.AF_UNIX) as raw:
                raw.setblocking(False)
                await loop.sock_connect(raw, str(served.socket))
                lines = (
                    f"POST /exec/{made.json()['Id']}/start HTTP/1.1",
                    "Host: d",
                    "Upgrade: tcp",
                    "Connection: Upgrade",
                )
                await loop.sock_sendall(raw, "\r\n".join((*lines, "Content-Length: 2", "", "{}")).encode())
                await asyncio.sleep(0.2)
                assert (await loop.sock_recv(raw, 65536)).endswith(b"\r\n\r\n")
                rest = b""
                while data := await loop.sock_recv(raw, 65536):
                    rest += data
                assert rest == frame("stdout", b"hi\n") + frame("stderr", b"done\n")

    asyncio.run(main())


def test_stdin_echo_and_half_close_keep_the_output_coming() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("cat")
            await attach(client)
            await client.head()
            client.writer.write(b"one\n")
            client.writer.write(b"two\n")
            client.writer.write_eof()
            reader = FrameReader()
            got = b"".join(data for _, data in reader.feed(await client.reader.read()))
            assert got == b"one\ntwo\n"
            assert served.engine.containers.get("web").program.stdin_ended
            assert served.engine.containers.sessions[0].streams.closed

    asyncio.run(main())


def test_bytes_sent_before_the_answer_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """quirk: aiohttp's Python parser hands such bytes on; its C parser drops them unless the upgrade is to a websocket.
    HTTP asks clients to wait for the 101 (RFC 9110, 7.8), and Docker's do."""
    monkeypatch.setattr(web_protocol, "HttpRequestParser", HttpRequestParserPy)

    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("cat", tty=True)
            request = (
                f"POST /containers/web/attach?{ALL} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            )
            client.writer.write(request.encode() + b"Content-Length: 0\r\n\r\nearly bytes")
            await client.head()
            assert await client.reader.readexactly(11) == b"early bytes"

    asyncio.run(main())


def test_output_ends_with_the_process_and_the_connection_closes() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.ask("POST", "/containers/create?name=web", {"Image": "busybox", "Cmd": ["say", "hi"]})
            await attach(client, query="stream=1&stdout=1&stderr=1")
            await client.head()
            await served.ask("POST", "/containers/web/start")
            found = list(FrameReader().feed(await client.reader.read()))
            assert found == [("stdout", b"hi\n"), ("stderr", b"done\n")]

    asyncio.run(main())


def test_a_client_without_stdin_may_close_its_half_at_once() -> None:
    """quirk: docker's CLI does so when it attaches without -i; that is no goodbye."""

    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.ask("POST", "/containers/create?name=web", {"Image": "busybox", "Cmd": ["say", "hi"]})
            await attach(client, query="stream=1&stdout=1")
            await client.head()
            client.writer.write_eof()
            await asyncio.sleep(0.05)
            await served.ask("POST", "/containers/web/start")
            assert b"hi\n" in await client.reader.read()
            assert not served.engine.containers.get("web").program.stdin_ended

    asyncio.run(main())


@pytest.mark.parametrize("half_first", [False, True])
def test_a_client_that_vanishes_is_noticed_though_nothing_is_written(half_first: bool) -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("sleep")
            async with served.connect() as client:
                await attach(client, query="stream=1&stdout=1" if half_first else ALL)
                await client.head()
                if half_first:
                    client.writer.write_eof()
                    await asyncio.sleep(0.05)
                    assert len(served.wires) == 1
            await until(lambda: len(served.wires) == 0)
            await until(lambda: served.engine.containers.sessions[0].streams.closed)
            assert served.engine.containers.get("web").program.code is None

    asyncio.run(main())


def test_detach_keys_close_the_connection_and_leave_the_process() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("cat", tty=True)
            await attach(client, query=ALL + "&detachKeys=ctrl-a,b")
            await client.head()
            client.writer.write(b"x\x01")
            assert await client.reader.readexactly(1) == b"x"
            client.writer.write(b"by")
            assert await client.reader.read() == b""
            program = served.engine.containers.get("web").program
            assert program.stdin == [b"x"]
            assert program.code is None
            assert not program.stdin_ended

    asyncio.run(main())


def test_detach_keys_mean_nothing_without_a_terminal() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("cat")
            await attach(client)
            await client.head()
            client.writer.write(b"\x10\x11")
            assert await client.reader.readexactly(10) == frame("stdout", b"\x10\x11")

    asyncio.run(main())


@pytest.mark.parametrize("tty", [False, True])
def test_exec_is_framed_as_its_start_says(tty: bool) -> None:
    """An exec with a terminal, started without Tty, still comes in frames, as stdout."""

    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("sleep")
            await exec_start(served, client, {"Cmd": ["say", "hi"], "Tty": True}, {"Detach": False, "Tty": tty})
            head = await client.head()
            assert head.status == 101
            body = await client.reader.read()
            assert body == (b"hi\ndone\n" if tty else frame("stdout", b"hi\n") + frame("stderr", b"done\n"))

    asyncio.run(main())


def test_exec_with_stdin_and_detach_keys_of_its_own() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("sleep")
            config = {"Cmd": ["cat"], "Tty": True, "AttachStdin": True, "DetachKeys": "ctrl-x"}
            await exec_start(served, client, config, {"Tty": True, "ConsoleSize": [24, 80]})
            await client.head()
            client.writer.write(b"abc")
            assert await client.reader.readexactly(3) == b"abc"
            client.writer.write(b"\x18")
            assert await client.reader.read() == b""

    asyncio.run(main())


@pytest.mark.parametrize("tty", [False, True])
def test_an_exec_of_no_program_says_so_in_its_stream_and_has_an_exit_code(tty: bool) -> None:
    """quirk: docker's CLI exits with the exec's code only when the stream was opened."""

    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await served.run("sleep")
            made = await served.ask("POST", "/containers/web/exec", {"Cmd": ["nosuch"]})
            client.send("POST", f"/exec/{made.json()['Id']}/start", {"Tty": tty}, headers=UPGRADE)
            assert (await client.head()).status == 101
            text = b'exec: "nosuch": executable file not found in $PATH\r\n'
            assert await client.reader.read() == (text if tty else frame("stdout", text))
            assert (await served.ask("GET", f"/exec/{made.json()['Id']}/json")).json()["ExitCode"] == 127

    asyncio.run(main())


def test_a_detached_exec_answers_an_empty_body_and_keeps_no_stream() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("sleep")
            made = await served.ask("POST", "/containers/web/exec", {"Cmd": ["say", "hi"]})
            reply = await served.ask("POST", f"/exec/{made.json()['Id']}/start", {"Detach": True})
            assert (reply.status, reply.body) == (200, b"")

    asyncio.run(main())


def test_an_error_after_the_takeover_is_still_json() -> None:
    async def main() -> None:
        async with serve() as served, served.connect() as client:
            await attach(client, name="nope")
            reply = await client.reply()
            assert reply.status == 404
            assert reply.json()["message"] == "No such container: nope"
            assert await client.reader.read() == b""

    asyncio.run(main())


def test_a_slow_client_is_waited_for_and_bounded() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("flood")
            async with served.connect() as client:
                client.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await attach(client, query="stream=1&stdout=1")
                program = served.engine.containers.get("web").program
                # the fake's queue of 64 pieces, the wire's limit, the kernel's buffer and what the client holds
                limit = 64 * 65536 + wire.WRITE_LIMIT + (4 << 20)
                await until(lambda: program.written > 64 * 65536)
                before = -1
                while before != program.written:
                    before = program.written
                    await asyncio.sleep(0.1)
                assert program.written < limit
            await until(lambda: len(served.wires) == 0)

    asyncio.run(main())


def test_stdin_is_not_read_faster_than_the_process_takes_it() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("sleep")
            blocked = asyncio.Event()
            async with served.connect() as client:
                await attach(client)
                await client.head()

                async def stall(data: bytes) -> None:
                    await blocked.wait()

                streams = served.engine.containers.sessions[0].streams
                object.__setattr__(streams, "write", stall)
                for _ in range(64):
                    client.writer.write(b"z" * 65536)
                await asyncio.sleep(0.2)
                left = client.writer.transport.get_write_buffer_size()
                assert left > (4 << 20) - wire.READ_LIMIT - (1 << 20)
                client.writer.transport.abort()
            await asyncio.sleep(0.05)
            assert len(served.wires) == 1  # what had arrived is still to be handed on
            blocked.set()
            await until(lambda: len(served.wires) == 0)

    asyncio.run(main())


def test_what_a_client_sent_before_it_left_reaches_the_process() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("cat")
            async with served.connect() as client:
                await attach(client, query="stream=1&stdin=1")
                await client.head()
                client.writer.write(b"last words")
            program = served.engine.containers.get("web").program
            await until(lambda: program.stdin == [b"last words"])

    asyncio.run(main())


@pytest.mark.parametrize("cut", [1, 5, 20, 60, 100, 150])
def test_a_client_may_vanish_at_any_byte_of_its_request(cut: int) -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("sleep")
            made = await served.ask("POST", "/containers/web/exec", {"Cmd": ["cat"], "AttachStdin": True})
            body = b'{"Detach":false,"Tty":false}'
            request = (
                f"POST /exec/{made.json()['Id']}/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\n"
                f"Upgrade: tcp\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode() + body
            async with served.connect() as client:
                client.writer.write(request[: cut if cut < 150 else len(request)])
                await client.writer.drain()
            assert (await served.ask("GET", "/_ping")).status == 200

    asyncio.run(main())


def test_an_attached_stream_ends_when_the_engine_shuts_down() -> None:
    async def main() -> None:
        async with serve() as served:
            await served.run("sleep")
            async with served.connect() as client:
                await attach(client)
                await client.head()
                await served.wires.close()
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await client.reader.readexactly(1)

    asyncio.run(main())
