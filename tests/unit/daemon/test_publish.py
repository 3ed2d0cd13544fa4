"""Published ports, with the two sides in one process or, where it matters, in a real sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from labdock.daemon import listening, publish
from labdock.daemon.channel import Channel
from labdock.daemon.publish import ChannelOutside, Publisher
from labdock.daemon.reach import Dialer, Inside
from labdock.daemon.relay import Relay, reset
from labdock.errors import Conflict, Forbidden, InvalidRequest, Unsupported
from labdock.network import Address, Published, pacing


def count_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


@asynccontextmanager
async def sides(limit: int = publish.MOST_RELAYED) -> AsyncIterator[tuple[Publisher, ChannelOutside]]:
    """Outer's publisher, and the engine's view of it; the dialer is at the end of a real channel."""
    to_inner, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    to_engine, engine = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    down, up = Channel(to_inner), Channel(inner, Dialer().handlers())
    publisher = Publisher(Inside(down), limit=limit)
    served, asking = Channel(to_engine, publisher.handlers()), Channel(engine)
    try:
        yield publisher, ChannelOutside(asking)
    finally:
        await publisher.close()
        for channel in (served, asking, down, up):
            channel.close()
        await asyncio.sleep(0)


class Server:
    """A TCP server in a thread: every connection is given to *serve*, one after the other."""

    def __init__(self, serve: Callable[[socket.socket], None], port: int = 0) -> None:
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port = self.listener.getsockname()[1]
        self._serve = serve
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self._serve(connection)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(5)


def echo(connection: socket.socket) -> None:
    """Answer all that came, after its end (so half-close must work)."""
    data = b""
    while block := connection.recv(65536):
        data += block
    connection.sendall(data)


def ask(port: int, data: bytes, ip: str = "127.0.0.1") -> bytes:
    with socket.create_connection((ip, port), timeout=15) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while block := client.recv(65536):
            answer += block
        return answer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def run(body: Callable[[], Awaitable[None]]) -> None:
    before = count_fds()

    async def main() -> None:
        await body()

    asyncio.run(main())
    assert count_fds() == before


def test_a_thousand_connections_leave_no_descriptor() -> None:
    async def body() -> None:
        server = Server(echo)
        async with sides() as (publisher, outside):
            held = await outside.publish("c", Address("127.0.0.1", 0), Address("127.0.0.1", server.port))
            assert await outside.published() == (held,)
            assert await asyncio.to_thread(ask, held.host.port, b"hello") == b"hello"
            before = count_fds()

            def many() -> None:
                for number in range(1000):
                    assert ask(held.host.port, str(number).encode()) == str(number).encode()

            await asyncio.to_thread(many)
            for _ in range(100):
                if publisher.relayed == 0:
                    break
                await asyncio.sleep(0.01)
            # The pool may keep pipes that were in use at the same time.
            assert count_fds() <= before + 2 * 8
        server.close()

    run(body)


def test_connections_are_held_until_the_container_listens() -> None:
    async def body() -> None:
        port = free_port()
        async with sides() as (_, outside):
            held = await outside.publish("c", Address("127.0.0.1", 0), Address("127.0.0.1", port))
            asking = asyncio.create_task(asyncio.to_thread(ask, held.host.port, b"early"))
            await asyncio.sleep(0.3)
            assert not asking.done()
            server = Server(echo, port)
            assert await asking == b"early"
            server.close()

    run(body)


def test_a_container_that_never_listens_resets_and_logs_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(publish, "PATIENCE", 0.2)

    async def body() -> None:
        async with sides() as (_, outside):
            held = await outside.publish("c", Address("127.0.0.1", 0), Address("127.0.0.1", free_port()))
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(ask, held.host.port, b"")

    run(body)
    assert len(caplog.messages) == 1
    assert "does not accept connections: Connection refused" in caplog.messages[0]


def test_a_taken_port_says_who_holds_it() -> None:
    async def body() -> None:
        target = Address("127.0.0.1", 9)
        with socket.create_server(("127.0.0.1", 0)) as foreign:
            taken = foreign.getsockname()[1]
            async with sides() as (_, outside):
                with pytest.raises(Conflict) as caught:
                    await outside.publish("c", Address("", taken), target)
                assert caught.value.message == f"Bind for {listening.ANY}:{taken} failed: port is already allocated"
                assert f"(pid {os.getpid()}) holds it" in (caught.value.hint or "")
                held = await outside.publish("f" * 64, Address("", 0), target)
                with pytest.raises(Conflict) as caught:
                    await outside.publish("other", Address("127.0.0.1", held.host.port), target)
                assert "container ffffffffffff holds it" in (caught.value.hint or "")
                await outside.unpublish("f" * 64)
                again = await outside.publish("other", Address("127.0.0.1", held.host.port), target)
                assert await outside.published() == (again,)

    run(body)


def test_ports_that_cannot_be_had_explain_themselves() -> None:
    async def body() -> None:
        target = Address("127.0.0.1", 9)
        async with sides() as (_, outside):
            with pytest.raises(InvalidRequest, match="cannot assign requested address"):
                await outside.publish("c", Address("203.0.113.7", 0), target)
            with pytest.raises(InvalidRequest, match="invalid host address"):
                await outside.publish("c", Address("localhost", 0), target)
            with pytest.raises(Unsupported, match="publishing sctp port 9: only tcp and udp"):
                await outside.publish("c", Address("", 0, "sctp"), Address("127.0.0.1", 9, "sctp"))
            if os.geteuid() != 0:
                with pytest.raises(Forbidden, match="permission denied") as caught:
                    await outside.publish("c", Address("127.0.0.1", 1), target)
                assert "net.ipv4.ip_unprivileged_port_start=1" in (caught.value.hint or "")
            assert await outside.published() == ()

    run(body)


def test_all_addresses_are_both_families() -> None:
    async def body() -> None:
        server = Server(echo)
        async with sides() as (_, outside):
            held = await outside.publish("c", Address("", 0), Address("127.0.0.1", server.port))
            assert await asyncio.to_thread(ask, held.host.port, b"four") == b"four"
            if held.host.ip == "":
                assert await asyncio.to_thread(ask, held.host.port, b"six", "::1") == b"six"
        server.close()

    run(body)


def test_unpublish_ends_connections() -> None:
    async def body() -> None:
        server = Server(echo)
        async with sides() as (publisher, outside):
            held = await outside.publish("c", Address("127.0.0.1", 0), Address("127.0.0.1", server.port))
            client = socket.create_connection(("127.0.0.1", held.host.port), timeout=5)
            client.sendall(b"x")
            await asyncio.sleep(0.05)
            assert publisher.relayed == 1
            await outside.unpublish("c")
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.to_thread(client.recv, 1) == b""
            client.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.to_thread(ask, held.host.port, b"")
            assert publisher.relayed == 0
        server.close()

    run(body)


def test_what_a_port_accepts_inherits_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set for each connection: not pacing (where the host paces), not the rest."""
    made: list[socket.socket] = []

    def noting(*arguments: Any) -> Relay:
        made.append(arguments[0])
        return Relay(*arguments)

    monkeypatch.setattr(publish, "Relay", noting)
    monkeypatch.setattr(pacing, "is_paced", lambda: True)

    async def body() -> None:
        server = Server(echo)
        async with sides() as (_, outside):
            held = await outside.publish("c", Address("127.0.0.1", 0), Address("127.0.0.1", server.port))
            with await asyncio.to_thread(socket.create_connection, ("127.0.0.1", held.host.port), 15) as client:
                for _ in range(1000):
                    if made:
                        break
                    await asyncio.sleep(0.01)
                assert made[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert made[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                chosen = made[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
                assert chosen.rstrip(b"\0").decode() == pacing.PLAIN
                client.shutdown(socket.SHUT_WR)
                assert await asyncio.to_thread(client.recv, 1) == b""
        server.close()

    run(body)


def test_unpublish_ends_connections_that_have_not_reached_the_inside() -> None:
    async def body() -> None:
        async with sides() as (publisher, outside):
            held = await outside.publish("c", Address("127.0.0.1", 0), Address("127.0.0.1", free_port()))
            with await asyncio.to_thread(socket.create_connection, ("127.0.0.1", held.host.port), 15) as client:
                for _ in range(1000):
                    if publisher.relayed:
                        break
                    await asyncio.sleep(0.01)
                assert publisher.relayed == 1
                await outside.unpublish("c")
                await asyncio.sleep(0)
                assert publisher.relayed == 0
                with contextlib.suppress(ConnectionResetError):
                    assert await asyncio.to_thread(client.recv, 1) == b""

    run(body)


def test_beyond_the_limit_connections_wait_their_turn() -> None:
    async def body() -> None:
        server = Server(echo)
        async with sides(limit=2) as (publisher, outside):
            held = await outside.publish("c", Address("127.0.0.1", 0), Address("127.0.0.1", server.port))
            idle = [socket.create_connection(("127.0.0.1", held.host.port), timeout=5) for _ in range(2)]
            asking = asyncio.create_task(asyncio.to_thread(ask, held.host.port, b"third"))
            await asyncio.sleep(0.1)
            assert publisher.relayed == 2
            assert not asking.done()
            for client in idle:
                client.close()
            assert await asking == b"third"
        server.close()

    run(body)


def test_at_the_limit_of_open_files_accepting_waits_and_goes_on() -> None:
    async def body() -> None:
        port = free_port()
        async with sides() as (_, outside):
            held = await outside.publish("c", Address("127.0.0.1", 0), Address("127.0.0.1", port))
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            client = socket.socket()
            used = max(int(fd) for fd in os.listdir("/proc/self/fd"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard))
            try:
                with contextlib.ExitStack() as fill:
                    with contextlib.suppress(OSError):
                        while True:
                            fill.callback(os.close, os.dup(client.fileno()))
                    client.connect(("127.0.0.1", held.host.port))
                    await asyncio.sleep(0.15)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            # Made only now: a server's own accept would suffer from the limit too.
            server = Server(echo, port)
            client.settimeout(10)
            await asyncio.to_thread(client.sendall, b"late")
            client.shutdown(socket.SHUT_WR)
            assert await asyncio.to_thread(client.recv, 4) == b"late"
            client.close()
            server.close()

    run(body)


def test_published_comes_in_pages() -> None:
    async def body() -> None:
        async with sides() as (_, outside):
            made = [await outside.publish("c", Address("127.0.0.1", 0), Address("10.0.0.1", 1)) for _ in range(300)]
            assert await outside.published() == tuple(made)

    run(body)


def test_a_published_port_travels() -> None:
    held = Published("c", Address("", 1), Address("10.0.0.1", 2, "tcp"))
    assert publish.unpack(publish.pack(held)) == held


def test_the_host_is_described_by_outer() -> None:
    async def body() -> None:
        async with sides() as (_, outside):
            host = await outside.host()
            table = Path("/proc/net/route").read_text().splitlines()[1:]
            assert len(host.routes) <= len(table)
            assert all("/" in route for route in host.routes)

    run(body)


def test_a_reset_is_a_reset() -> None:
    """SO_LINGER of zero: what a refused client sees."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server = listener.accept()[0]
        reset(server)
        assert struct.unpack("ii", server.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)) == (1, 0)
        server.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        client.close()


def test_new_connections_go_where_the_port_leads_by_then() -> None:
    """Two servers on one port number of two loopback addresses; the connection that exists stays."""

    async def body() -> None:
        first = Server(lambda connection: connection.sendall(b"first " + connection.recv(100)))
        second = socket.create_server(("127.0.0.2", first.port))
        async with sides() as (_, outside):
            held = await outside.publish("c", Address("127.0.0.1", 0), Address("127.0.0.1", first.port))
            with await asyncio.to_thread(socket.create_connection, ("127.0.0.1", held.host.port), 15) as old:
                await outside.retarget("other", "127.0.0.9")
                await outside.retarget("c", "127.0.0.2")
                assert [entry.target.ip for entry in await outside.published()] == ["127.0.0.2"]
                with await asyncio.to_thread(socket.create_connection, ("127.0.0.1", held.host.port), 15) as new:
                    accepted, _ = await asyncio.to_thread(second.accept)
                    with accepted:
                        accepted.sendall(b"second")
                        assert await asyncio.to_thread(new.recv, 100) == b"second"
                await asyncio.to_thread(old.sendall, b"still")
                assert await asyncio.to_thread(old.recv, 100) == b"first still"
        first.close()
        second.close()

    run(body)
