"""Sockets that one process opens and another connects."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from labdock.daemon.channel import Channel
from labdock.daemon.reach import Dialer, Inside
from labdock.errors import EngineUnreachable, InvalidRequest, Unavailable
from labdock.network import Address


@asynccontextmanager
async def sides() -> AsyncIterator[tuple[Inside, Channel, list[int]]]:
    """Outer's side, its channel, and how often the inside was asked."""
    outer_end, inner_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    asked: list[int] = []
    serve = Dialer().handlers()["sockets"]

    async def counted(params: object, fds: object) -> object:
        asked.append(1)
        return await serve(params, fds)  # type: ignore[arg-type]

    down, up = Channel(outer_end), Channel(inner_end, {"sockets": counted})  # type: ignore[dict-item]
    inside = Inside(down)
    try:
        yield inside, down, asked
    finally:
        inside.close()
        down.close()
        up.close()
        await asyncio.sleep(0)


def run(body: Callable[[], Awaitable[None]]) -> None:
    before = len(os.listdir("/proc/self/fd"))

    async def main() -> None:
        await body()

    asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == before


def test_connections_cost_few_questions() -> None:
    async def body() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
            target = Address("127.0.0.1", server.getsockname()[1])
            async with sides() as (inside, _, asked):
                for number in range(40):
                    with await inside(target, 5) as ours:
                        theirs, _ = server.accept()
                        with theirs:
                            theirs.sendall(b"%d" % number)
                            assert await asyncio.get_running_loop().sock_recv(ours, 10) == b"%d" % number
                assert 0 < len(asked) <= 6

    run(body)


def test_many_at_once_are_all_served() -> None:
    async def body() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
            target = Address("127.0.0.1", server.getsockname()[1])
            async with sides() as (inside, _, _):
                found = await asyncio.gather(*(inside(target, 10) for _ in range(100)))
                assert len({sock.getsockname() for sock in found}) == 100
                for sock in found:
                    sock.close()
                    server.accept()[0].close()

    run(body)


def test_a_socket_at_hand_is_connected_without_waiting() -> None:
    async def body() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=64) as server, socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            target = Address("127.0.0.1", server.getsockname()[1])
            async with sides() as (inside, _, _):
                assert inside.begin(target) == (None, False)
                (await inside(target, 5)).close()
                server.accept()[0].close()
                ours, connected = inside.begin(target)
                assert ours is not None
                # Where the kernel takes its time the call waits for the same socket.
                assert connected or await inside(target, 5, ours) is ours
                theirs, _ = server.accept()
                with ours, theirs:
                    assert ours.getsockname() == theirs.getpeername()
                    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                    assert not ours.getblocking()
                for nowhere in (Address("127.0.0.1", taken.getsockname()[1]), Address("no address", 1)):
                    refused, connected = inside.begin(nowhere)
                    assert not connected
                    if refused is not None:
                        refused.close()

    run(body)


def test_a_connection_that_takes_its_time_is_waited_for() -> None:
    async def body() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.socket() as first:
            target = Address("127.0.0.1", server.getsockname()[1])
            async with sides() as (inside, _, _):
                (await inside(target, 5)).close()
                server.accept()[0].close()
                # It takes the one place there is: the kernel answers nobody else for now.
                first.connect(server.getsockname())
                ours, connected = inside.begin(target)
                assert ours is not None
                assert not connected
                waiting = asyncio.create_task(inside(target, 10, ours))
                await asyncio.sleep(0.02)
                assert not waiting.done()
                server.accept()[0].close()
                with await waiting:
                    server.accept()[0].close()

    run(body)


def test_sockets_on_their_way_are_closed_with_it() -> None:
    async def body() -> None:
        for steps in range(16):
            async with sides() as (inside, _, _):
                before = len(os.listdir("/proc/self/fd"))
                reaching = asyncio.create_task(inside(Address("127.0.0.1", 9), 0))
                for _ in range(steps):
                    await asyncio.sleep(0)
                reaching.cancel()
                inside.close()
                await asyncio.gather(reaching, return_exceptions=True)
                for _ in range(16):
                    await asyncio.sleep(0)
                assert len(os.listdir("/proc/self/fd")) == before

    run(body)


def test_a_refusal_is_tried_again_and_then_said() -> None:
    async def body() -> None:
        with socket.socket() as taken:
            # Bound and not listening: refused, and nobody else's.
            taken.bind(("127.0.0.1", 0))
            target = Address("127.0.0.1", taken.getsockname()[1])
            async with sides() as (inside, _, _):
                with pytest.raises(Unavailable, match="does not accept connections: Connection refused"):
                    await inside(target, 0.05)
                waiting = asyncio.create_task(inside(target, 10))
                await asyncio.sleep(0.02)
                taken.listen()
                (await waiting).close()
                taken.accept()[0].close()

    run(body)


def test_datagrams_and_ipv6_have_sockets_of_their_kind() -> None:
    async def body() -> None:
        async with sides() as (inside, _, _):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                server.bind(("127.0.0.1", 0))
                with await inside(Address("127.0.0.1", server.getsockname()[1], "udp"), 0) as ours:
                    ours.send(b"x")
                    assert server.recv(10) == b"x"
            with socket.create_server(("::1", 0), family=socket.AF_INET6) as six:
                with await inside(Address("::1", six.getsockname()[1]), 5) as ours:
                    assert ours.family == socket.AF_INET6
                six.accept()[0].close()

    run(body)


def test_only_such_sockets_are_handed_out_and_a_lost_inside_is_told() -> None:
    async def body() -> None:
        async with sides() as (inside, channel, _):
            for family, proto in ((socket.AF_UNIX, "tcp"), (socket.AF_INET, "raw")):
                with pytest.raises(InvalidRequest, match="no sockets of family"):
                    await channel.call("sockets", {"family": int(family), "proto": proto, "count": 1})
            channel.close()
            with pytest.raises(EngineUnreachable):
                await inside(Address("127.0.0.1", 9), 1)

    run(body)
