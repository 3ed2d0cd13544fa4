"""Asking name servers about the rest of the world: raced, bounded in time and number, every answer checked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from labdock.errors import LabdockError
from labdock.network.dns import messages
from labdock.network.dns.messages import Malformed, Query, Reply

#: Seconds that one server has for one answer, until the next one is asked beside it, and rounds before giving up.
LIMIT: Final = 1.0
HEAD_START: Final = 0.25
ROUNDS: Final = 2
#: Questions under way at a time: of all containers, and of one.
MOST: Final = 1024
MOST_OF_ONE: Final = 128
#: A server that failed is asked last for this long (seconds).
GRUDGE: Final = 10.0
#: Datagrams that are not the answer before a server is given up.
_MOST_STRANGERS: Final = 32
_ROOM: Final = 65535
_GOOD: Final = frozenset((messages.NOERROR, messages.NXDOMAIN))

log = logging.getLogger(__name__)


class Way(Protocol):
    """How servers are reached: from the host's network, or from the container's own. Sockets are non-blocking."""

    async def datagrams(self, server: str) -> socket.socket:
        """A UDP socket connected to port 53 of *server*, from a port of its own. Raises OSError, LabdockError."""

    async def stream(self, server: str) -> socket.socket:
        """The same over TCP."""


class Upstream:
    """The asker. One for all containers."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._all = 0
        self._of: dict[str, int] = {}
        self._failed: dict[str, float] = {}

    @property
    def asking(self) -> int:
        """Questions under way."""
        return self._all

    async def ask(self, asker: str, query: Query, servers: Sequence[str], way: Way, *, stream: bool) -> bytes | None:
        """The best answer to *query* that one of *servers* gives, under the query's own id; None: nobody answered.

        *asker*: the container. The second server is asked when the first has not answered for :data:`HEAD_START`
        seconds or refuses, and so on; the first good answer counts. A refusal is handed on when all refuse.
        None at once when too many questions are under way.
        """
        if self._all >= MOST or self._of.get(asker, 0) >= MOST_OF_ONE:
            return None
        self._all += 1
        self._of[asker] = self._of.get(asker, 0) + 1
        try:
            for _ in range(ROUNDS):
                found = await self._race(query, self._order(servers), way, stream)
                if found is not None:
                    return messages.with_id(found, query.id)
            return None
        finally:
            self._all -= 1
            self._of[asker] -= 1
            if not self._of[asker]:
                del self._of[asker]

    def _order(self, servers: Sequence[str]) -> list[str]:
        now = self._clock()
        return sorted(servers, key=lambda server: now - self._failed.get(server, -GRUDGE) < GRUDGE)

    async def _race(self, query: Query, servers: Sequence[str], way: Way, stream: bool) -> bytes | None:
        running: dict[asyncio.Task[bytes | None], str] = {}
        refusals: list[bytes] = []
        ask = self._ask_stream if stream else self._ask_datagrams
        try:
            for server in servers:
                running[asyncio.create_task(self._ask_one(ask, query, server, way, refusals), name="dns")] = server
                found = await _first(running, HEAD_START)
                if found is not None:
                    # Who had a head start and let it pass is as good as dead.
                    for late in running.values():
                        self._blame(late)
                    return found
            return await _first(running, LIMIT) or (refusals[0] if refusals else None)
        finally:
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)

    def _blame(self, server: str) -> None:
        if len(self._failed) >= MOST:
            self._failed.clear()
        self._failed[server] = self._clock()

    async def _ask_one(self, ask: _Ask, query: Query, server: str, way: Way, refusals: list[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout(LIMIT):
                data, reply = await ask(query, server, way)
        except (OSError, LabdockError, Malformed, EOFError) as error:
            log.debug("name server %s: %s", server, error or "no answer in time")
            self._blame(server)
            return None
        if reply.code not in _GOOD:
            refusals.append(data)
            return None
        self._failed.pop(server, None)
        return data

    @staticmethod
    async def _ask_datagrams(query: Query, server: str, way: Way) -> tuple[bytes, Reply]:
        loop = asyncio.get_running_loop()
        id = secrets.randbelow(65536)
        with contextlib.closing(await way.datagrams(server)) as sock:
            sock.send(messages.with_id(query.data, id))
            for _ in range(_MOST_STRANGERS):
                data = await loop.sock_recv(sock, _ROOM)
                reply = messages.check_reply(data, id, query)
                if reply is not None:
                    return data, reply
        raise Malformed("nothing but answers to others' questions")

    @staticmethod
    async def _ask_stream(query: Query, server: str, way: Way) -> tuple[bytes, Reply]:
        loop = asyncio.get_running_loop()
        id = secrets.randbelow(65536)
        with contextlib.closing(await way.stream(server)) as sock:
            await loop.sock_sendall(sock, frame(messages.with_id(query.data, id)))
            data = await read_frame(loop, sock)
            reply = messages.check_reply(data, id, query)
        if reply is None:
            raise Malformed("an answer to another question")
        return data, reply


class _Ask(Protocol):
    async def __call__(self, query: Query, server: str, way: Way) -> tuple[bytes, Reply]: ...


async def _first(running: dict[asyncio.Task[bytes | None], str], seconds: float) -> bytes | None:
    """The first answer within *seconds*; None when they are over, or as soon as all have failed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while running:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
                found = next((task.result() for task in done if task.result() is not None), None)
                if found is not None:
                    return found
    return None


def frame(data: bytes) -> bytes:
    """A message as it goes over TCP: its length before it (RFC 1035, 4.2.2)."""
    return len(data).to_bytes(2, "big") + data


async def read_frame(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bytes:
    """The next message of a TCP connection. Raises EOFError at its end, Malformed when it ends within a message."""
    head = await _read(loop, sock, 2)
    if not head:
        raise EOFError
    length = int.from_bytes(head, "big")
    data = await _read(loop, sock, length) if len(head) == 2 else b""
    if len(head) < 2 or len(data) < length:
        raise Malformed("a connection that ended within a message")
    return data


async def _read(loop: asyncio.AbstractEventLoop, sock: socket.socket, count: int) -> bytes:
    pieces = bytearray()
    while len(pieces) < count:
        piece = await loop.sock_recv(sock, count - len(pieces))
        if not piece:
            break
        pieces += piece
    return bytes(pieces)
