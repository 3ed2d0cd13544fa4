"""Outer dials: names, addresses that do not answer, and the descriptor on its way through a real channel."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

import pytest

from labdock.daemon.channel import Channel
from labdock.daemon.dial import Caller, Resolve
from labdock.daemon.publish import ChannelOutside
from labdock.errors import InvalidRequest, LabdockError, SystemFailure, Unavailable


def resolving(*addresses: tuple[str, int]) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[tuple[int, tuple[Any, ...]]]:
        return [(socket.AF_INET, address) for address in addresses]

    return resolve


def count_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_connection_comes_through_the_channel() -> None:
    async def main() -> None:
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        served, asking = Channel(ends[0], Caller().handlers()), Channel(ends[1])
        with socket.create_server(("127.0.0.1", 0)) as listener:
            before = count_fds()
            for _ in range(3):
                sock = await ChannelOutside(asking).dial("localhost", listener.getsockname()[1])
                peer, _ = listener.accept()
                with sock, peer:
                    assert not sock.getblocking()
                    await asyncio.get_running_loop().sock_sendall(sock, b"hello")
                    assert peer.recv(5) == b"hello"
            assert count_fds() == before
        with pytest.raises(Unavailable, match=r"dial tcp 127\.0\.0\.1:1: connect: connection refused"):
            await ChannelOutside(asking).dial("127.0.0.1", 1)
        served.close()
        asking.close()
        await asyncio.sleep(0)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "port", "kind", "words"),
    [
        ("127.0.0.1", 0, InvalidRequest, "is not an address"),
        ("127.0.0.1", 65536, InvalidRequest, "is not an address"),
        ("", 80, InvalidRequest, "is not an address"),
        ("a\0b", 80, InvalidRequest, "is not an address"),
        ("x" * 300, 80, SystemFailure, "no such host"),
        ("::1", 1, Unavailable, r"dial tcp \[::1\]:1: connect: "),
    ],
)
def test_what_can_not_be_dialled(host: str, port: int, kind: type[LabdockError], words: str) -> None:
    with pytest.raises(kind, match=words):
        asyncio.run(Caller().dial(host, port))


@pytest.mark.parametrize(
    ("errno", "kind", "words"),
    [
        (socket.EAI_NONAME, SystemFailure, "dial tcp: lookup r.example: no such host"),
        (socket.EAI_AGAIN, Unavailable, "lookup r.example: temporary failure"),
    ],
)
def test_names_that_are_not_found(errno: int, kind: type[LabdockError], words: str) -> None:
    async def resolve(host: str, port: int) -> Sequence[tuple[int, tuple[Any, ...]]]:
        raise socket.gaierror(errno, "a resolver's words")

    with pytest.raises(kind, match=words):
        asyncio.run(Caller(resolve).dial("r.example", 443))


def silent() -> tuple[list[socket.socket], tuple[str, int]]:
    """A listener whose backlog is full: connecting to it takes for ever."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = [listener]
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        waiting.append(sock)
    return waiting, listener.getsockname()


def test_the_next_address_is_tried_beside_one_that_is_silent() -> None:
    async def main() -> None:
        waiting, quiet = silent()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            good = listener.getsockname()
            before, since = count_fds(), time.monotonic()
            sock = await Caller(resolving(("127.0.0.1", 1), quiet, good)).dial("r.example", 443)
            assert sock.getpeername() == good
            assert time.monotonic() - since < 5
            sock.close()
            assert count_fds() == before
        for one in waiting:
            one.close()

    asyncio.run(main())


def test_who_is_silent_is_not_waited_for_without_end() -> None:
    async def main() -> None:
        waiting, quiet = silent()
        before = count_fds()
        with pytest.raises(Unavailable, match=r"i/o timeout \(0\.4 s\)"):
            await Caller(resolving(quiet, quiet), patience=0.4).dial("r.example", 443)
        assert count_fds() == before
        for one in waiting:
            one.close()

    asyncio.run(main())


def test_all_refuse() -> None:
    with pytest.raises(Unavailable, match=r"dial tcp r\.example:443: connect: connection refused"):
        asyncio.run(Caller(resolving(("127.0.0.1", 1), ("127.0.0.1", 2))).dial("r.example", 443))
