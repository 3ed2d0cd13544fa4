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
#: Questions under way at a time.
_MOST_ASKING = 8
_REFUSED = frozenset(
    (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EADDRNOTAVAIL, errno.EAGAIN)
)
_UNDER_WAY = frozenset((0, errno.EINPROGRESS, errno.EALREADY))
_KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

log = logging.getLogger(__name__)


class Inside:
    """Outer's side, over its *channel* to inner. Call :meth:`close` in the end."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._shelves: dict[tuple[int, str], _Shelf] = {}

    def begin(self, target: Address) -> tuple[socket.socket | None, bool]:
        """A socket that is connected (True) or still connecting to *target*, by TCP and without waiting.

        None when there is none at hand, and for what went wrong: a call tries again, and says it.
        """
        shelf = self._shelves.get((_family(target.ip), "tcp"))
        if shelf is None or not shelf.ready:
            return None, False
        sock = self._pick(_family(target.ip), "tcp", shelf)
        try:
            answer = sock.connect_ex((target.ip, target.port))
            if answer == errno.EINPROGRESS:
                # quirk: over a veth the three messages are exchanged within the call; only the next one says so.
                answer = sock.connect_ex((target.ip, target.port))
        except OSError:
            # Not an address.
            answer = errno.EINVAL
        if answer not in _UNDER_WAY:
            sock.close()
            return None, False
        return sock, answer == 0

    async def __call__(self, target: Address, patience: float, begun: socket.socket | None = None) -> socket.socket:
        """A socket that is connected to *target*, non-blocking, the caller's.

        TCP is tried again while it is refused, at most *patience* seconds; *begun* is what :meth:`begin` gave.
        Raises Unavailable, OSError.
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
        sock = begun or await self._take(_family(target.ip), "tcp")
        # From here on: waiting for one's turn in a crowd is not the container's fault.
        deadline = loop.time() + min(max(patience, 0.0), PATIENCE)
        pause = _FIRST_PAUSE
        while True:
            try:
                return await _connect(sock, target, max(deadline - loop.time(), 0.05))
            except OSError as error:
                if error.errno not in _REFUSED or loop.time() + pause >= deadline:
                    reason = os.strerror(error.errno) if error.errno else str(error)
                    raise Unavailable(f"{target.ip}:{target.port} does not accept connections: {reason}") from error
            # A refusal has no event to wait for: nothing wakes a client when somebody begins to listen.
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            sock = await self._take(_family(target.ip), "tcp")

    def close(self) -> None:
        """Close the sockets that nobody took, and those that are on their way."""
        for shelf in self._shelves.values():
            shelf.closed = True
            for task in shelf.asking:
                task.cancel()
            while shelf.ready:
                shelf.ready.popleft().close()

    async def _take(self, family: int, proto: str) -> socket.socket:
        shelf = self._shelves.setdefault((family, proto), _Shelf())
        if shelf.ready:
            return self._pick(family, proto, shelf)
        turn: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        shelf.waiting.append(turn)
        self._order(family, proto, shelf)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                shelf.put(turn.result())
            raise

    def _pick(self, family: int, proto: str, shelf: _Shelf) -> socket.socket:
        found = shelf.ready.popleft()
        if len(shelf.ready) < _LOW:
            self._order(family, proto, shelf)
        return found

    def _order(self, family: int, proto: str, shelf: _Shelf) -> None:
        """Ask for as many as are waited for, and for some ahead of need."""
        batch = _BATCH if proto == "tcp" else _BATCH_OF_DATAGRAMS
        ahead = _LOW - len(shelf.ready) if proto == "tcp" else 0
        while len(shelf.asking) < _MOST_ASKING and len(shelf.asking) * batch < len(shelf.waiting) + ahead:
            task = asyncio.get_running_loop().create_task(self._ask(family, proto, batch), name="sockets of the inside")
            shelf.asking.add(task)
            task.add_done_callback(lambda done: self._serve(family, proto, shelf, done))

    def _serve(self, family: int, proto: str, shelf: _Shelf, task: asyncio.Task[list[socket.socket]]) -> None:
        """Hand out what came, in the order of asking."""
        shelf.asking.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            for sock in task.result():
                shelf.put(sock)
            if not shelf.closed:
                self._order(family, proto, shelf)
        elif not shelf.asking:
            log.debug("no sockets of the inside: %s", error)
            while shelf.waiting:
                turn = shelf.waiting.popleft()
                if not turn.done():
                    turn.set_exception(error)

    async def _ask(self, family: int, proto: str, count: int) -> list[socket.socket]:
        params = {"family": family, "proto": proto, "count": count}
        _, fds = await self._channel.call("sockets", params, seconds=10)
        kind = _KINDS[proto] | socket.SOCK_NONBLOCK
        return [socket.socket(family, kind, 0, fds.take()) for _ in range(len(fds))]


class _Shelf:
    """The sockets of one kind: those at hand, those who wait for one in turn, the questions under way."""

    __slots__ = ("asking", "closed", "ready", "waiting")

    def __init__(self) -> None:
        self.closed = False
        self.ready: deque[socket.socket] = deque()
        self.waiting: deque[asyncio.Future[socket.socket]] = deque()
        self.asking: set[asyncio.Task[list[socket.socket]]] = set()

    def put(self, sock: socket.socket) -> None:
        if self.closed:
            sock.close()
            return
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(sock)
                return
        self.ready.append(sock)


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
                if kind == socket.SOCK_STREAM:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                opened.append(sock.detach())
        except OSError as error:
            for fd in opened:
                os.close(fd)
            raise _translate(error) from error
        return None, opened


async def _connect(sock: socket.socket, target: Address, seconds: float) -> socket.socket:
    """*sock*, connected; closed when that fails. Raises OSError."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(sock, (target.ip, target.port))
    except TimeoutError as error:
        sock.close()
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from error
    except BaseException:
        sock.close()
        raise
    return sock


def _family(ip: str) -> int:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def _translate(error: OSError) -> LabdockError:
    return Unavailable(f"opening sockets inside: {error.strerror}")
