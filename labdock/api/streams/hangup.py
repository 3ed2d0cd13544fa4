"""Noticing that a client has gone after it had ended its sending half.

Once a socket has reached its end of input, asyncio stops watching it, and a peer that then closes for good is seen
only at the next write. An epoll of our own, in which the sockets ask for no event, still reports EPOLLHUP
(epoll_ctl(2): "always"), and that epoll's fd is watched by the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Callable


class HangupWatch:
    """Calls back once for each watched transport whose peer has closed both halves."""

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched: dict[int, Callable[[], None]] = {}

    def watch(self, transport: asyncio.Transport, on_hangup: Callable[[], None]) -> int:
        """Watch *transport*; the number returned is for :meth:`forget` (-1: it has no socket any more)."""
        socket = transport.get_extra_info("socket")
        fd = -1 if socket is None else socket.fileno()
        if fd < 0:
            return -1
        if self._epoll is None:
            self._epoll = select.epoll()
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._epoll.fileno(), self._look)
        self._watched[fd] = on_hangup
        self._epoll.register(fd, 0)
        return fd

    def forget(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None and self._epoll is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def close(self) -> None:
        self._watched.clear()
        if self._epoll is not None and self._loop is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _look(self) -> None:
        assert self._epoll is not None
        for fd, _ in self._epoll.poll(0):
            callback = self._watched.get(fd)
            self.forget(fd)
            if callback is not None:
                callback()
