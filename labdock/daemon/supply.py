"""Sockets of the sandbox's network, kept ready in outer: a published port's client does not wait for another process.

A socket belongs to the network namespace it was made in. Inner makes them, a handful at a time, and outer connects them
itself: a connection costs no message on the channel and no turn of inner's.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Final

from labdock.daemon.channel import MOST_FDS, Channel

#: Fewer than this many are left: more are asked for, before somebody waits for them.
_FEW: Final = MOST_FDS


class Supply:
    """Unconnected TCP sockets, by address family. Over outer's *channel* to inner."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._ready: dict[int, deque[socket.socket]] = {}
        self._asking: dict[int, asyncio.Task[None]] = {}

    async def take(self, family: int) -> socket.socket:
        """One of *family*, non-blocking and the caller's. Raises EngineUnreachable, Unavailable, SystemFailure."""
        ready = self._ready.setdefault(family, deque())
        while not ready:
            await asyncio.shield(self._ask(family))
        sock = ready.popleft()
        if len(ready) < _FEW:
            self._ask(family)
        return sock

    def close(self) -> None:
        for task in self._asking.values():
            task.cancel()
        for ready in self._ready.values():
            while ready:
                ready.popleft().close()

    def _ask(self, family: int) -> asyncio.Task[None]:
        task = self._asking.get(family)
        if task is None or task.done():
            task = self._asking[family] = asyncio.create_task(self._fetch(family), name="sockets")
            # Whoever waits is told by the task itself; nobody may be waiting.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _fetch(self, family: int) -> None:
        _, fds = await self._channel.call("sockets", {"family": family}, seconds=5)
        for _ in range(len(fds)):
            sock = socket.socket(fileno=fds.take())
            # quirk: Python takes a socket from elsewhere for a blocking one, whatever its descriptor says.
            sock.setblocking(False)
            self._ready[family].append(sock)


def make_sockets(family: int) -> tuple[int, ...]:
    """Inner's side: descriptors of as many new sockets as one message carries."""
    made = []
    try:
        for _ in range(MOST_FDS):
            made.append(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC))
    except OSError:
        if not made:
            raise
    return tuple(sock.detach() for sock in made)
