"""A published UDP port: each client has a session, a socket of its own inside, so that answers find their way back.

A session ends after IDLE seconds without a datagram; there are at most MOST of them a port, the idlest gives way.
UDP promises nothing, and nothing is held back here: what a full socket does not take is lost, as on any network.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

from labdock.errors import LabdockError

#: As Docker's proxy has it.
IDLE: Final = 90.0
MOST: Final = 1024
#: Datagrams that wait for a session's socket, and are read at one go.
_QUEUED, _AT_ONE_GO = 64, 64
_LARGEST: Final = 65535
#: linux/in.h, in6.h: whom a datagram was sent to, and whom an answer is to come from.
_IP_PKTINFO: Final = 8
_SPACE: Final = 64

Peer = tuple[Any, ...]
#: Gives a UDP socket inside that is connected to the target.
Reach = Callable[[], Awaitable[socket.socket]]

log = logging.getLogger(__name__)


class Datagrams:
    """The sessions of one port's *listeners* (UDP sockets, non-blocking, the caller's). Call ``close`` in the end."""

    def __init__(self, listeners: list[socket.socket], reach: Reach, *, idle: float = IDLE, most: int = MOST) -> None:
        self._loop = asyncio.get_running_loop()
        self._listeners = listeners
        self._reach = reach
        self._idle = idle
        self._most = most
        #: The longest silent first.
        self._sessions: OrderedDict[tuple[int, Peer, bytes], _Session] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        for listener in listeners:
            _want_destination(listener)
            self._loop.add_reader(listener.fileno(), self._receive, listener)

    def __len__(self) -> int:
        return len(self._sessions)

    def forget(self) -> None:
        """End all sessions; the next datagram of a client begins another (to where the port leads by then)."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def close(self) -> None:
        for listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
        self.forget()
        if self._timer is not None:
            self._timer.cancel()

    def _receive(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONE_GO):
            try:
                data, ancillary, _, peer = listener.recvmsg(_LARGEST, _SPACE)
            except BlockingIOError:
                return
            except OSError as error:
                # An ICMP answer to something sent earlier: its client is gone.
                log.debug("receiving: %s", error)
                return
            answer_from = _destination(ancillary)
            key = (listener.fileno(), peer, answer_from)
            session = self._sessions.get(key)
            if session is None:
                session = self._begin(listener, peer, answer_from, key)
            self._sessions.move_to_end(key)
            session.last = self._loop.time()
            session.pass_on(data)

    def _begin(self, listener: socket.socket, peer: Peer, answer_from: bytes, key: Any) -> _Session:
        while len(self._sessions) >= self._most:
            self._sessions.popitem(last=False)[1].close()
        session = _Session(self._loop, listener, peer, answer_from)
        self._sessions[key] = session
        session.open(self._reach)
        if self._timer is None:
            self._timer = self._loop.call_later(self._idle, self._expire)
        return session

    def _expire(self) -> None:
        """End the sessions that were silent for too long; look again when the next may be."""
        now = self._loop.time()
        self._timer = None
        while self._sessions:
            key, session = next(iter(self._sessions.items()))
            left = session.last + self._idle - now
            if left > 0:
                self._timer = self._loop.call_later(left, self._expire)
                return
            del self._sessions[key]
            session.close()


class _Session:
    """One client's."""

    __slots__ = ("_answer_from", "_inside", "_listener", "_loop", "_peer", "_queue", "_task", "last")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listener: socket.socket, peer: Peer, answer_from: bytes
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._peer = peer
        self._answer_from = answer_from
        self._inside: socket.socket | None = None
        self._queue: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self.last = loop.time()

    def open(self, reach: Reach) -> None:
        self._task = self._loop.create_task(self._open(reach), name="udp session")

    async def _open(self, reach: Reach) -> None:
        try:
            inside = await reach()
        except (LabdockError, OSError) as error:
            log.warning("no udp socket inside: %s", error)
            self._queue.clear()
            return
        self._inside = inside
        self._loop.add_reader(inside.fileno(), self._answer)
        waiting, self._queue = self._queue, []
        for data in waiting:
            self.pass_on(data)

    def pass_on(self, data: bytes) -> None:
        if self._inside is None:
            if len(self._queue) < _QUEUED:
                self._queue.append(data)
            return
        try:
            self._inside.send(data)
        except OSError as error:
            # ECONNREFUSED tells of an earlier datagram: nobody listens yet. This one is sent all the same.
            log.debug("passing on: %s", error)
            if isinstance(error, ConnectionRefusedError):
                try:
                    self._inside.send(data)
                except OSError:
                    return

    def _answer(self) -> None:
        assert self._inside is not None
        ancillary = []
        if self._answer_from:
            level, kind = (
                (socket.IPPROTO_IP, _IP_PKTINFO)
                if self._listener.family == socket.AF_INET
                else (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
            )
            ancillary = [(level, kind, self._answer_from)]
        for _ in range(_AT_ONE_GO):
            try:
                data = self._inside.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                log.debug("answering: %s", error)
                return
            try:
                self._listener.sendmsg([data], ancillary, 0, self._peer)
            except OSError as error:
                log.debug("answering %s: %s", self._peer[0], error)
            self.last = self._loop.time()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._inside is not None:
            self._loop.remove_reader(self._inside.fileno())
            self._inside.close()
            self._inside = None


def _want_destination(listener: socket.socket) -> None:
    """Have the kernel say whom each datagram was sent to: a host has many addresses, and answers come from that one."""
    if listener.family == socket.AF_INET:
        listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)


def _destination(ancillary: list[tuple[int, int, bytes]]) -> bytes:
    """What an answer is to be sent with (in_pktinfo, in6_pktinfo), so that it comes from where its question went."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, local, _ = struct.unpack_from("=I4s4s", data)
            return struct.pack("=I4s4s", 0, local, bytes(4))
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return data
    return b""
