"""Sockets that outer keeps for the next engine."""

from __future__ import annotations

import asyncio
import os
import socket

from labdock.daemon.channel import Channel
from labdock.daemon.keeping import Keeper
from labdock.daemon.publish import ChannelOutside


def close(found: dict[str, list[socket.socket]]) -> None:
    for sock in (sock for sockets in found.values() for sock in sockets):
        sock.close()


def test_what_one_engine_leaves_the_next_one_finds() -> None:
    async def main() -> None:
        to_engine, engine = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        keeper = Keeper()
        serving = Channel(to_engine, keeper.handlers())
        first = Channel(engine.dup())
        outside = ChannelOutside(first)
        made = {f"c{number}": socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for number in range(40)}
        for owner, (near, far) in made.items():
            outside.keep(owner, (near, far))
            # The engine's own are closed at once: what is kept are copies.
            near.close()
        outside.keep("c0", made["c0"][1:])
        outside.let_go("c1")
        outside.let_go("nobody")
        found = await outside.kept()
        assert len(found) == 39
        close(found)
        first.close()

        second = Channel(engine)
        found = await ChannelOutside(second).kept()
        assert set(found) == set(made) - {"c1"} and len(found["c0"]) == 1
        for owner, sockets in found.items():
            assert all(sock.gettimeout() == 0 for sock in sockets)
            if owner != "c0":
                made[owner][1].send(owner.encode())
                assert sockets[0].recv(10) == owner.encode(), "the very same socket"
        close(found)
        for _, far in made.values():
            far.close()
        for channel in (second, serving):
            channel.close()
        keeper.close()
        await asyncio.sleep(0)

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == before
