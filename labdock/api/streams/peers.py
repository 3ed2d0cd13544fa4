"""What asyncio does not tell of a client: that it has gone after it ended its half, and that it has read the head.

Once a socket has reached its end of input, asyncio stops watching it, and a peer that then closes for good is seen
only at the next write. An epoll of our own, in which the sockets ask for no event, still reports EPOLLHUP
(epoll_ctl(2): "always"); an edge-triggered EPOLLOUT there wakes whenever the peer has read something, and TIOCOUTQ
tells how much it has left unread (unix(7), SIOCOUTQ). That epoll's fd is watched by the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import select
import socket
import termios
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Watched:
    on_hangup: Callable[[], None]
    taken: asyncio.Future[None] | None = None


class PeerWatch:
    """Watches the other ends of sockets. One per application."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched: dict[int, _Watched] = {}

    def watch(self, transport: asyncio.Transport, on_hangup: Callable[[], None]) -> int:
        """Call *on_hangup* once when the peer has closed both halves.

        The number returned is for the other methods (-1: the transport has no socket any more).
        """
        found = transport.get_extra_info("socket")
        fd = -1 if found is None else found.fileno()
        if fd < 0:
            return -1
        if self._epoll is None:
            self._epoll = select.epoll()
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._epoll.fileno(), self._look)
        self._watched[fd] = _Watched(on_hangup)
        self._epoll.register(fd, 0)
        return fd

    async def wait_taken(self, fd: int, seconds: float) -> None:
        """Wait until the peer has read all that was sent on *fd*, a unix socket under watch; at most *seconds*."""
        watched = self._watched.get(fd)
        if watched is None or self._epoll is None or _unread(fd) == 0:
            return
        watched.taken = asyncio.get_running_loop().create_future()
        # Arming it reports the present state as a first edge, so that nothing is missed.
        self._epoll.modify(fd, select.EPOLLOUT | select.EPOLLET)
        try:
            async with asyncio.timeout(seconds):
                await watched.taken
        except TimeoutError:
            pass
        finally:
            watched.taken = None
            if self._watched.get(fd) is watched and self._epoll is not None:
                self._epoll.modify(fd, 0)

    def forget(self, fd: int) -> None:
        if (watched := self._watched.pop(fd, None)) is not None:
            _settle(watched)
            if self._epoll is not None:
                with contextlib.suppress(OSError):
                    self._epoll.unregister(fd)

    def close(self) -> None:
        for fd in tuple(self._watched):
            self.forget(fd)
        if self._epoll is not None and self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _look(self) -> None:
        assert self._epoll is not None
        for fd, events in self._epoll.poll(0):
            watched = self._watched.get(fd)
            if watched is None:
                continue
            if events & (select.EPOLLHUP | select.EPOLLERR):
                self.forget(fd)
                watched.on_hangup()
            elif watched.taken is not None and _unread(fd) == 0:
                _settle(watched)


def is_unix(transport: asyncio.Transport) -> bool:
    found = transport.get_extra_info("socket")
    return found is not None and found.family == socket.AF_UNIX


def _settle(watched: _Watched) -> None:
    if watched.taken is not None and not watched.taken.done():
        watched.taken.set_result(None)


def _unread(fd: int) -> int:
    """Bytes (with the kernel's overhead) sent and not yet read by the peer; 0 also when that can't be told."""
    try:
        return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), "little")
    except OSError:
        return 0
