"""Sockets kept ready: asked for in handfuls, never waited for twice, gone with their owner."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from labdock.daemon.channel import MOST_FDS, Channel
from labdock.daemon.publish import Dialer
from labdock.daemon.supply import Supply
from labdock.errors import EngineUnreachable


@asynccontextmanager
async def supplied() -> AsyncIterator[tuple[Supply, Channel]]:
    to_inner, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    down, up = Channel(to_inner), Channel(inner, Dialer().handlers())
    supply = Supply(down)
    try:
        yield supply, up
    finally:
        down.close()
        up.close()
        await asyncio.sleep(0)
        supply.close()


def test_many_at_once_get_sockets_of_their_own_and_nothing_is_left_over() -> None:
    async def main() -> None:
        async with supplied() as (supply, _):
            families = [socket.AF_INET, socket.AF_INET6] * 100
            taken = await asyncio.gather(*(supply.take(family) for family in families))
            assert len({sock.fileno() for sock in taken}) == 200
            assert [sock.family for sock in taken] == families
            assert all(sock.gettimeout() == 0 and sock.type == socket.SOCK_STREAM for sock in taken)
            for sock in taken:
                sock.close()

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == before


def test_only_the_first_has_to_wait() -> None:
    async def main() -> None:
        async with supplied() as (supply, up):
            (await supply.take(socket.AF_INET)).close()
            # More are asked for ahead; from now on nobody answers.
            while len(supply._ready[socket.AF_INET]) < MOST_FDS:
                await supply._asking[socket.AF_INET]
            up.close()
            for _ in range(MOST_FDS):
                (await asyncio.wait_for(supply.take(socket.AF_INET), 5)).close()

    asyncio.run(main())


def test_when_inner_is_gone_it_is_said() -> None:
    async def main() -> None:
        async with supplied() as (supply, up):
            up.close()
            with pytest.raises(EngineUnreachable):
                await supply.take(socket.AF_INET)

    asyncio.run(main())
