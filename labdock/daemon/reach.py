"""Connections into the sandbox, made by outer with sockets that inner opens.

A socket belongs to the network namespace in which it was opened, whoever connects it. So inner hands out unconnected
ones, some ahead of need, and a connection costs no question and answer between the two processes::

    Inside (outer) ── "sockets" on the channel ──▶ Dialer (inner) ── socket(2) in the sandbox's network
                   ◀── unconnected descriptors ──
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from labdock.daemon.channel import Channel, Descriptors, Handler, Params
from labdock.errors import InvalidRequest, LabdockError, Unavailable
from labdock.network import Address

#: How long a client's connection is held while its container is starting to listen, in seconds.
PATIENCE: Final = 10.0
#: First and longest pause between two attempts to reach a container that refuses, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1
#: Sockets that one question gets (a message carries 16 descriptors), and how few are too few.
_BATCH, _LOW = 16, 8
_BATCH_OF_DATAGRAMS = 2
_REFUSED = frozenset(
    (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EADDRNOTAVAIL, errno.EAGAIN)
)
_KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

Key = tuple[int, str]

log = logging.getLogger(__name__)


class Inside:
    """Outer's side, over its *channel* to inner. Call :meth:`close` in the end."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._ready: dict[Key, deque[socket.socket]] = {}
        self._filling: dict[Key, asyncio.Task[None]] = {}

    async def __call__(self, target: Address, patience: float) -> socket.socket:
        """A socket that is connected to *target*, non-blocking, the caller's.

        TCP is tried again while it is refused, at most *patience* seconds. Raises Unavailable, OSError.
        """
        if target.proto == "udp":
            sock = await self._take(_family(target.ip), "udp")
            try:
                sock.connect((target.ip, target.port))
            except BaseException:
                sock.close()
                raise
            return sock
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(max(patience, 0.0), PATIENCE)
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._connect(target, max(deadline - loop.time(), 0.05))
            except OSError as error:
                if error.errno not in _REFUSED or loop.time() + pause >= deadline:
                    reason = os.strerror(error.errno) if error.errno else str(error)
                    raise Unavailable(f"{target.ip}:{target.port} does not accept connections: {reason}") from error
            # A refusal has no event to wait for: nothing wakes a client when somebody begins to listen.
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def close(self) -> None:
        """Close the sockets that nobody took."""
        for task in self._filling.values():
            task.cancel()
        for ready in self._ready.values():
            while ready:
                ready.popleft().close()

    async def _connect(self, target: Address, seconds: float) -> socket.socket:
        sock = await self._take(_family(target.ip), "tcp")
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.get_running_loop().sock_connect(sock, (target.ip, target.port))
            except TimeoutError as error:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from error
        except BaseException:
            sock.close()
            raise
        return sock

    async def _take(self, family: int, proto: str) -> socket.socket:
        key = family, proto
        ready = self._ready.setdefault(key, deque())
        while not ready:
            await asyncio.shield(self._fill(key))
        if len(ready) <= _LOW and proto == "tcp":
            self._fill(key)
        return ready.popleft()

    def _fill(self, key: Key) -> asyncio.Task[None]:
        """Ask for more, once at a time."""
        task = self._filling.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(key), name="sockets of the inside")
            self._filling[key] = task
            task.add_done_callback(lambda done: self._filled(key, done))
        return task

    def _filled(self, key: Key, task: asyncio.Task[None]) -> None:
        self._filling.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Whoever waits for it is told; asked ahead of need, it is only known.
            log.debug("no sockets of the inside: %s", error)

    async def _ask(self, key: Key) -> None:
        count = _BATCH if key[1] == "tcp" else _BATCH_OF_DATAGRAMS
        _, fds = await self._channel.call("sockets", {"family": key[0], "proto": key[1], "count": count}, seconds=10)
        ready = self._ready.setdefault(key, deque())
        while len(fds):
            ready.append(socket.socket(fileno=fds.take()))


class Dialer:
    """The inside's side, in inner: opens sockets in the network namespace that it lives in."""

    def handlers(self) -> dict[str, Handler]:
        """The methods of the channel to outer, for :class:`Inside`."""
        return {"sockets": self._serve}

    async def _serve(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        family, kind = int(params["family"]), _KINDS.get(str(params["proto"]))
        if family not in (socket.AF_INET, socket.AF_INET6) or kind is None:
            raise InvalidRequest(f"no sockets of family {family} and protocol {params['proto']!r} are handed out")
        opened: list[int] = []
        try:
            for _ in range(min(max(int(params["count"]), 1), _BATCH)):
                sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
                opened.append(sock.detach())
        except OSError as error:
            for fd in opened:
                os.close(fd)
            raise _translate(error) from error
        return None, opened


def _family(ip: str) -> int:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def _translate(error: OSError) -> LabdockError:
    return Unavailable(f"opening sockets inside: {error.strerror}")
