"""Which name servers know the rest of the world, and how they are reached."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final

from labdock.errors import LabdockError
from labdock.network import Outside
from labdock.network.dns.doors import PORT
from labdock.network.netns import Corner

#: Seconds after which the host's resolv.conf is read again, when somebody asks.
FRESH: Final = 1.0
#: What glibc asks when resolv.conf names nobody (man 5 resolv.conf).
_SILENT: Final = ("127.0.0.1",)

log = logging.getLogger(__name__)


class HostServers:
    """The host's own name servers as they are now: it may have moved to another network a moment ago."""

    def __init__(self, outside: Outside, clock: Callable[[], float] | None = None) -> None:
        self._outside = outside
        self._clock = clock or asyncio.get_running_loop().time
        self._known: tuple[str, ...] = _SILENT
        self._asked = float("-inf")
        self._lock = asyncio.Lock()

    async def current(self) -> tuple[str, ...]:
        """Textual addresses, in the host's order; at most :data:`FRESH` seconds old. Outer is asked, no file watched:
        reading costs it 0.1 ms, and only while somebody looks for names elsewhere."""
        async with self._lock:
            if self._clock() - self._asked >= FRESH:
                # What was known stays good when outer does not answer.
                with contextlib.suppress(LabdockError):
                    found = (await self._outside.host()).nameservers or _SILENT
                    if found != self._known:
                        log.info("the host asks %s for names", ", ".join(found))
                    self._known = found
                self._asked = self._clock()
            return self._known


class HostWay:
    """From the host's network, where its 127.0.0.53 is the host's (systemd-resolved): outer opens the sockets."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def datagrams(self, server: str) -> socket.socket:
        return await self._outside.dial_udp(server, PORT)

    async def stream(self, server: str) -> socket.socket:
        return await self._outside.dial(server, PORT)


class InsideWay:
    """From the container's own network namespace, for the servers of its ``--dns``: another container may be one,
    and an internal network stays closed."""

    def __init__(self, corner: Corner, container: str) -> None:
        self._corner = corner
        self._container = container

    async def datagrams(self, server: str) -> socket.socket:
        return await self._connect(server, socket.SOCK_DGRAM)

    async def stream(self, server: str) -> socket.socket:
        return await self._connect(server, socket.SOCK_STREAM)

    async def _connect(self, server: str, kind: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET

        def make() -> socket.socket:
            return socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

        sock = await self._corner.run(lambda: self._corner.within(self._container, make))
        try:
            await asyncio.get_running_loop().sock_connect(sock, (server, PORT))
        except BaseException:
            sock.close()
            raise
        return sock
