"""The engine's own connections, made by outer: names and addresses mean there what they mean to the user.

::

    engine: ChannelOutside.dial(host, port) ── "dial" on the channel ──▶ Caller (outer) ── resolve, connect
                                            ◀── the connected descriptor ──

Addresses are tried in the resolver's order, a next one when the one before has not answered for a moment (RFC 8305).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from labdock.daemon.channel import Descriptors, Handler, Params
from labdock.errors import InvalidRequest, LabdockError, SystemFailure, Unavailable

#: Seconds for a name and a connection together.
PATIENCE = 20.0
#: Seconds until the next address is tried beside the one before.
_HEAD_START = 0.25
#: Connections being made at a time, and addresses of one name that are tried.
_MOST_AT_A_TIME = 64
_MOST_ADDRESSES = 8

#: (family, socket address) of each place that a host's name stands for, best first. Raises socket.gaierror.
Resolve = Callable[[str, int], Awaitable[Sequence[tuple[int, tuple[Any, ...]]]]]


class Caller:
    """Outer's side. *resolve* is the host's own resolver unless a test has another."""

    def __init__(self, resolve: Resolve | None = None, *, patience: float = PATIENCE) -> None:
        self._resolve = resolve or _resolve
        self._patience = patience
        self._places = asyncio.Semaphore(_MOST_AT_A_TIME)

    def handlers(self) -> dict[str, Handler]:
        """The methods of the channel to the engine, for ``ChannelOutside.dial`` and ``dial_udp``."""
        return {"dial": self._serve, "dial udp": self._serve_udp}

    async def _serve(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        connected = await self.dial(str(params["host"]), int(params["port"]))
        return None, (connected.detach(),)

    async def _serve_udp(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        return None, (connect_udp(str(params["ip"]), int(params["port"])).detach(),)

    async def dial(self, host: str, port: int) -> socket.socket:
        """A connected, non-blocking TCP socket to *host* (a name, or an address without brackets).

        Raises InvalidRequest (no such port), SystemFailure (no such host), Unavailable (refused, unreachable,
        no answer in time: may be tried again). The words after ``dial tcp`` are those Docker's users know.
        """
        if not 0 < port < 65536 or not host or "\0" in host:
            raise InvalidRequest(f"dial tcp: {host}:{port} is not an address")
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            async with asyncio.timeout(self._patience), self._places:
                return await self._connect(host, port, place)
        except TimeoutError as error:
            raise Unavailable(
                f"dial tcp {place}: i/o timeout ({self._patience:g} s)",
                hint="is a firewall or a missing proxy setting in between?",
            ) from error

    async def _connect(self, host: str, port: int, place: str) -> socket.socket:
        try:
            found = await self._resolve(host, port)
        except (socket.gaierror, UnicodeError) as error:
            raise _explain_name(host, error) from error
        try:
            return await _race([(family, address) for family, address in found[:_MOST_ADDRESSES]])
        except OSError as error:
            text = os.strerror(error.errno).lower() if error.errno else str(error)
            raise Unavailable(f"dial tcp {place}: connect: {text}") from error


def connect_udp(ip: str, port: int) -> socket.socket:
    """A non-blocking UDP socket connected to *ip*:*port*, from a port that the kernel picked. Raises Unavailable."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        address, _, scope = ip.partition("%")
        place = (address, port, 0, socket.if_nametoindex(scope)) if scope else (address, port)
        sock.connect(place)
    except OSError as error:
        sock.close()
        raise Unavailable(f"dial udp {ip}:{port}: {os.strerror(error.errno or 0).lower()}") from error
    return sock


async def _resolve(host: str, port: int) -> Sequence[tuple[int, tuple[Any, ...]]]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def _explain_name(host: str, error: Exception) -> LabdockError:
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return Unavailable(
            f"dial tcp: lookup {host}: temporary failure in name resolution",
            hint="the host's name server does not answer: is this machine offline?",
        )
    return SystemFailure(f"dial tcp: lookup {host}: no such host", hint="is the registry's name spelled right?")


async def _race(addresses: Sequence[tuple[int, tuple[Any, ...]]]) -> socket.socket:
    """The first of *addresses* that answers. Raises the first OSError when none does."""
    if not addresses:
        raise OSError(0, "no address")
    running: set[asyncio.Task[socket.socket]] = set()
    failures: list[OSError] = []
    try:
        for family, address in addresses:
            running.add(asyncio.create_task(_connect_one(family, address), name="dial"))
            winner = await _settle(running, failures, _HEAD_START)
            if winner is not None:
                return winner
        while running:
            winner = await _settle(running, failures, None)
            if winner is not None:
                return winner
        raise failures[0]
    finally:
        for task in running:
            task.cancel()
        for late in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(late, socket.socket):
                late.close()


async def _settle(
    running: set[asyncio.Task[socket.socket]], failures: list[OSError], seconds: float | None
) -> socket.socket | None:
    """Wait until one connects (it is taken out of *running*), all fail, or *seconds* are over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while running:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    running.discard(task)
                    error = task.exception()
                    if error is None:
                        # Others that were done in the same moment stay in *running*, to be closed.
                        running.update(done - {task})
                        return task.result()
                    if not isinstance(error, OSError):
                        raise error
                    failures.append(error)
    return None


async def _connect_one(family: int, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def adopt(fd: int) -> socket.socket:
    """The socket of a descriptor that came over the channel, non-blocking."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        os.close(fd)
        raise
    # quirk: Python takes a socket from elsewhere for a blocking one, whatever its descriptor says.
    sock.setblocking(False)
    return sock
