"""Published UDP ports: sessions, their answers, their end."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from labdock.daemon import listening
from labdock.daemon.datagrams import Datagrams
from labdock.errors import Unavailable
from labdock.network import Address


class Echo(asyncio.DatagramProtocol):
    """A server that answers each datagram with its own address and the datagram; remembers whom it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # quirk: asyncio's own datagram transport is no asyncio.DatagramTransport.
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        self.heard.append(peer)
        self.transport.sendto(b"echo " + data, peer)


def client(family: int = socket.AF_INET, ip: str = "127.0.0.1") -> socket.socket:
    found = socket.socket(family, socket.SOCK_DGRAM)
    found.bind((ip, 0))
    found.setblocking(False)
    return found


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to be")


async def ask(sock: socket.socket, port: int, data: bytes, ip: str = "127.0.0.1") -> bytes:
    """Connected, so that an answer from another address than the one asked is not taken."""
    loop = asyncio.get_running_loop()
    sock.connect((ip, port))
    await loop.sock_sendall(sock, data)
    async with asyncio.timeout(15):
        return await loop.sock_recv(sock, 65536)


def with_port(
    body: Callable[[Datagrams, int, Echo], Awaitable[None]], *, idle: float = 90.0, most: int = 1024, host: str = ""
) -> None:
    before = len(os.listdir("/proc/self/fd"))

    async def main() -> None:
        transport, server = await asyncio.get_running_loop().create_datagram_endpoint(Echo, ("127.0.0.1", 0))
        target = transport.get_extra_info("sockname")
        listeners = listening.listen(Address(host, 0, "udp"))

        async def reach() -> socket.socket:
            found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            found.connect(target)
            return found

        datagrams = Datagrams(listeners, reach, idle=idle, most=most)
        try:
            await body(datagrams, listeners[0].getsockname()[1], server)
        finally:
            datagrams.close()
            for listener in listeners:
                listener.close()
            transport.close()
            await asyncio.sleep(0)

    asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == before


def test_each_client_gets_its_own_answers() -> None:
    async def body(datagrams: Datagrams, port: int, server: Echo) -> None:
        with client() as one, client() as two:
            for number in range(5):
                assert await ask(one, port, b"one %d" % number) == b"echo one %d" % number
                assert await ask(two, port, b"two %d" % number) == b"echo two %d" % number
        assert len(datagrams) == 2
        assert len(set(server.heard)) == 2

    with_port(body)


def test_an_answer_comes_from_the_address_that_was_asked() -> None:
    async def body(datagrams: Datagrams, port: int, server: Echo) -> None:
        with client(ip="127.0.0.5") as one:
            assert await ask(one, port, b"x", "127.0.0.77") == b"echo x"
        with client(socket.AF_INET6, "::1") as other:
            assert await ask(other, port, b"y", "::1") == b"echo y"

    with_port(body)


def test_large_datagrams_stay_whole() -> None:
    async def body(datagrams: Datagrams, port: int, server: Echo) -> None:
        with client() as one:
            assert await ask(one, port, b"x" * 60000) == b"echo " + b"x" * 60000

    with_port(body, host="127.0.0.1")


def test_silent_sessions_end_and_begin_again() -> None:
    async def body(datagrams: Datagrams, port: int, server: Echo) -> None:
        with client() as one:
            assert await ask(one, port, b"x") == b"echo x"
            await until(lambda: not len(datagrams))
            assert await ask(one, port, b"y") == b"echo y"
        assert len(set(server.heard)) == 2

    with_port(body, idle=0.05)


def test_there_are_never_more_sessions_than_allowed() -> None:
    async def body(datagrams: Datagrams, port: int, server: Echo) -> None:
        for number in range(20):
            with client() as one:
                assert await ask(one, port, b"%d" % number) == b"echo %d" % number
            assert len(datagrams) <= 4

    with_port(body, most=4)


def test_without_an_inside_nothing_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        listeners = listening.listen(Address("127.0.0.1", 0, "udp"))

        async def reach() -> socket.socket:
            raise Unavailable("gone")

        datagrams = Datagrams(listeners, reach)
        with client() as one:
            one.sendto(b"x", listeners[0].getsockname())
            await until(lambda: bool(caplog.messages))
        datagrams.close()
        listeners[0].close()

    asyncio.run(main())
    assert caplog.messages == ["no udp socket inside: gone"]
