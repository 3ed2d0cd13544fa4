"""Name servers on loopback that answer, lie, refuse and are silent."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from labdock.network.dns import upstream
from labdock.network.dns.messages import Malformed, parse_query
from labdock.network.dns.upstream import Upstream, frame, read_frame
from tests.unit.network.dns import wire

Answer = Callable[[bytes], list[bytes]]
SILENT: Answer = lambda query: []  # noqa: E731


class Server(asyncio.DatagramProtocol):
    """A name server that says what its function gives."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.peers: list[tuple[str, int]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        self.peers.append(addr)
        for piece in self.answer(data):
            self.transport.sendto(piece, addr)


class LoopbackWay:
    """Servers are names of ports on loopback."""

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}

    async def datagrams(self, server: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.connect(("127.0.0.1", self.ports[server]))
        return sock

    async def stream(self, server: str) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.ports[server]))
        except BaseException:
            sock.close()
            raise
        return sock


Body = Callable[[Upstream, LoopbackWay, dict[str, Server]], Awaitable[None]]


def with_servers(body: Body, **answers: Answer) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        way, servers, transports = LoopbackWay(), {}, []
        for name, answer in answers.items():
            transport, server = await loop.create_datagram_endpoint(functools.partial(Server, answer), ("127.0.0.1", 0))
            way.ports[name] = transport.get_extra_info("sockname")[1]
            servers[name] = server
            transports.append(transport)
        try:
            await body(Upstream(), way, servers)
        finally:
            for transport in transports:
                transport.close()
            await asyncio.sleep(0)

    fds = set(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    assert set(os.listdir("/proc/self/fd")) == fds


def good(ip: str) -> Answer:
    return lambda query: [wire.reply(query, ip)]


QUERY = parse_query(wire.ask("web.example", id=0x1234))


async def ask(up: Upstream, way: LoopbackWay, *servers: str, asker: str = "c") -> wire.Said | None:
    found = await up.ask(asker, QUERY, servers, way, stream=False)
    return None if found is None else wire.read(found)


def test_the_answer_comes_back_under_the_questions_number() -> None:
    async def body(up: Upstream, way: LoopbackWay, servers: dict[str, Server]) -> None:
        for _ in range(20):
            said = await ask(up, way, "one")
            assert said is not None and (said.id, said.data) == (0x1234, ["1.1.1.1"])
        ids = {query[:2] for query in servers["one"].asked}
        assert len(ids) > 15, "every question has a number of its own"
        assert len({port for _, port in servers["one"].peers}) > 15, "and a port of its own"
        assert up.asking == 0

    with_servers(body, one=good("1.1.1.1"))


def test_a_dead_server_costs_a_moment_and_is_asked_last_from_then_on() -> None:
    async def body(up: Upstream, way: LoopbackWay, servers: dict[str, Server]) -> None:
        said = await ask(up, way, "dead", "alive")
        assert said is not None and said.data == ["2.2.2.2"]
        assert up._order(("dead", "alive")) == ["alive", "dead"]
        # One that refuses connections does so at once.
        way.ports["closed"] = closed_port()
        said = await ask(up, way, "closed", "alive")
        assert said is not None and said.data == ["2.2.2.2"]
        assert up._order(("closed", "alive")) == ["alive", "closed"]

    with_servers(body, dead=SILENT, alive=good("2.2.2.2"))


def closed_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_when_every_server_is_silent_there_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "LIMIT", 0.05)
    monkeypatch.setattr(upstream, "HEAD_START", 0.01)

    async def body(up: Upstream, way: LoopbackWay, servers: dict[str, Server]) -> None:
        assert await ask(up, way, "one", "two") is None
        assert len(servers["one"].asked) == len(servers["two"].asked) == upstream.ROUNDS
        assert up.asking == 0

    with_servers(body, one=SILENT, two=SILENT)


def test_lies_are_passed_over_and_the_answer_is_waited_for() -> None:
    def lies(query: bytes) -> list[bytes]:
        other = bytes((query[0] ^ 1,)) + query[1:]
        bank = wire.ask("bank.example", id=int.from_bytes(query[:2], "big"))
        return [
            b"",
            b"x" * 50,
            query,
            wire.reply(other, "6.6.6.6"),
            wire.reply(bank, "6.6.6.6"),
            *good("1.1.1.1")(query),
        ]

    async def body(up: Upstream, way: LoopbackWay, servers: dict[str, Server]) -> None:
        said = await ask(up, way, "liar")
        assert said is not None and said.data == ["1.1.1.1"]

    with_servers(body, liar=lies)


def test_a_broken_answer_counts_as_none_and_the_next_server_is_asked() -> None:
    def broken(query: bytes) -> list[bytes]:
        return [wire.reply(query, "6.6.6.6") + b"more"]

    async def body(up: Upstream, way: LoopbackWay, servers: dict[str, Server]) -> None:
        said = await ask(up, way, "broken", "good")
        assert said is not None and said.data == ["1.1.1.1"]

    with_servers(body, broken=broken, good=good("1.1.1.1"))


def test_a_refusal_is_handed_on_only_when_all_refuse() -> None:
    def refuse(query: bytes) -> list[bytes]:
        return [wire.reply(query, code=5)]

    async def body(up: Upstream, way: LoopbackWay, servers: dict[str, Server]) -> None:
        said = await ask(up, way, "no", "good")
        assert said is not None and (said.code, said.data) == (0, ["1.1.1.1"])
        said = await ask(up, way, "no")
        assert said is not None and said.code == 5

    with_servers(body, no=refuse, good=good("1.1.1.1"))


def test_that_there_is_no_such_name_is_an_answer() -> None:
    async def body(up: Upstream, way: LoopbackWay, servers: dict[str, Server]) -> None:
        said = await ask(up, way, "first", "second")
        assert said is not None and said.code == 3
        assert not servers["second"].asked

    with_servers(body, first=lambda query: [wire.reply(query, code=3)], second=good("1.1.1.1"))


def test_too_many_questions_of_one_container_leave_room_for_the_others() -> None:
    async def body(up: Upstream, way: LoopbackWay, servers: dict[str, Server]) -> None:
        flood = [asyncio.create_task(ask(up, way, "silent", asker="noisy")) for _ in range(upstream.MOST_OF_ONE)]
        # Each runs up to its first wait.
        await asyncio.sleep(0)
        assert up.asking == upstream.MOST_OF_ONE
        assert await ask(up, way, "good", asker="noisy") is None
        said = await ask(up, way, "good", asker="quiet")
        assert said is not None and said.data == ["1.1.1.1"]
        for task in flood:
            task.cancel()
        await asyncio.wait(flood)
        assert up.asking == 0 and not up._of

    with_servers(body, silent=SILENT, good=good("1.1.1.1"))


def test_over_tcp_a_long_answer_comes_whole() -> None:
    many = [f"10.0.{n >> 8}.{n & 255}" for n in range(2000)]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        writer.write(frame(wire.reply(await reader.readexactly(length), *many)))
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        way = LoopbackWay()
        way.ports["tcp"] = server.sockets[0].getsockname()[1]
        found = await Upstream().ask("c", QUERY, ("tcp",), way, stream=True)
        assert found is not None and wire.read(found).data == many
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_a_connection_that_ends_within_a_message_says_so() -> None:
    async def main() -> None:
        for sent, error in ((b"", EOFError), (b"\0", Malformed), (b"\0\5abc", Malformed)):
            near, far = socket.socketpair()
            with contextlib.closing(near), contextlib.closing(far):
                near.setblocking(False)
                far.sendall(sent)
                far.shutdown(socket.SHUT_WR)
                with pytest.raises(error):
                    await read_frame(asyncio.get_running_loop(), near)

    asyncio.run(main())
