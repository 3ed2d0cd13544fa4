"""Moving bytes between two connected sockets without copying them through Python: splice(2) over a pipe.

::

    Relays: one epoll for all ──▶ _End (a socket) ──▶ _Flow (a direction: source _End, sink _End) × 2 of a Relay

Each direction ends for itself: an end of file on one side becomes a shutdown of sending on the other, and the
way back goes on. A pipe is borrowed only while it holds bytes, so an idle connection costs two descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import socket
import struct
from collections.abc import Callable

#: Bytes a pipe is asked to hold, and the most that one splice moves.
PIPE_SIZE = 1024 * 1024
#: Bytes that are taken through memory: for a request and its answer two calls are cheaper than a pipe's four.
_SMALL = 16 * 1024
#: Splices per wake-up and direction: a fast stream leaves the loop to others in between.
_ROUNDS = 16
#: Sockets that are served at one go.
_EVENTS = 256
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_RESET = struct.pack("ii", 1, 0)
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


class Pipes:
    """Empty pipes to borrow. At most *keep* stay open while nobody needs them."""

    def __init__(self, keep: int = 8) -> None:
        self._keep = keep
        self._free: list[tuple[int, int]] = []

    def take(self) -> tuple[int, int]:
        """A pipe (read end, write end). Raises OSError (EMFILE)."""
        if self._free:
            return self._free.pop()
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # quirk: EPERM beyond fs.pipe-user-pages-soft; the pipe works at its default size.
        with contextlib.suppress(PermissionError):
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        return read, write

    def give_back(self, pipe: tuple[int, int], *, empty: bool) -> None:
        if empty and len(self._free) < self._keep:
            self._free.append(pipe)
        else:
            os.close(pipe[0])
            os.close(pipe[1])

    def close(self) -> None:
        for pipe in self._free:
            os.close(pipe[0])
            os.close(pipe[1])
        self._free.clear()


class Relays:
    """Watches the sockets of all relays. Made inside a running event loop; call :meth:`close` in the end.

    On an epoll of its own, of which the loop sees one descriptor: the loop's own way to watch one costs several
    times as much as the system call, and a short connection is little else.
    """

    def __init__(self, keep: int = 8) -> None:
        self.pipes = Pipes(keep)
        self._ends: dict[int, _End] = {}
        self._epoll = select.epoll()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._wake)

    def watch(self, end: _End, mask: int) -> None:
        """Wait for *mask* (0: nothing) on the socket of *end*. Raises OSError."""
        if mask == end.mask:
            return
        if not end.mask:
            self._epoll.register(end.fd, mask)
            self._ends[end.fd] = end
        elif mask:
            self._epoll.modify(end.fd, mask)
        else:
            del self._ends[end.fd]
            self._epoll.unregister(end.fd)
        end.mask = mask

    def close(self) -> None:
        """To be called when every relay has ended."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self.pipes.close()

    def _wake(self) -> None:
        ends = self._ends
        for fd, events in self._epoll.poll(0, _EVENTS):
            end = ends.get(fd)
            if end is None:
                continue
            # An error or a hang-up is found by whoever tries.
            if events & ~_OUT and end.mask & _IN:
                end.feeds.pull()
            if events & ~_IN and end.mask & _OUT:
                end.fed_by.resume()


class _End:
    """A socket of a relay: what is waited for on it, the flow that reads it and the flow that writes to it."""

    __slots__ = ("fd", "fed_by", "feeds", "mask", "sock")

    feeds: _Flow
    fed_by: _Flow

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.mask = 0


class _Flow:
    """One direction. Reads while its sink takes; waits for the sink, and does not read, while it does not."""

    __slots__ = ("_bulk", "_held", "_pipe", "_relay", "_relays", "_rest", "_sink", "_source", "moved", "open")

    def __init__(self, source: _End, sink: _End, relay: Relay, relays: Relays) -> None:
        self._source = source
        self._sink = sink
        self._relay = relay
        self._relays = relays
        self._pipe: tuple[int, int] | None = None
        self._held = 0
        self._bulk = False
        self._rest = b""
        self.moved = 0
        self.open = True
        source.feeds = self
        sink.fed_by = self

    def pull(self) -> None:
        """Move what has come."""
        try:
            if not self._bulk:
                self._carry()
                return
            for _ in range(_ROUNDS):
                if self._pipe is None:
                    self._pipe = self._relays.pipes.take()
                self._held = os.splice(self._source.fd, self._pipe[1], PIPE_SIZE, flags=_FLAGS)
                if self._held == 0:
                    self._finish()
                    return
                self.moved += self._held
                if not self._push():
                    self._wait()
                    return
        except BlockingIOError:
            self._bulk = False
            self._release()
        except OSError:
            self._relay.cut(reset_both=True)

    def resume(self) -> None:
        """Go on with what the sink had no room for."""
        try:
            if not self._push():
                return
            self._release()
            self._relays.watch(self._sink, self._sink.mask & ~_OUT)
            self._relays.watch(self._source, self._source.mask | _IN)
        except OSError:
            self._relay.cut(reset_both=True)

    def stop(self) -> None:
        """Move no more; what the pipe holds is lost. Safe to call twice."""
        self.open = False
        self._release()

    def _carry(self) -> None:
        """Move a little through memory. What fills the buffer is a stream: the next time it goes by a pipe."""
        data = self._source.sock.recv(_SMALL)
        if not data:
            self._finish()
            return
        self._bulk = len(data) == _SMALL
        self.moved += len(data)
        try:
            sent = self._sink.sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._rest = data[sent:]
            self._wait()

    def _push(self) -> bool:
        """Empty what is held into the sink; False when the sink is full."""
        try:
            while self._rest:
                self._rest = self._rest[self._sink.sock.send(self._rest) :]
            if self._pipe is None:
                return True
            while self._held:
                self._held -= os.splice(self._pipe[0], self._sink.fd, self._held, flags=_FLAGS)
        except BlockingIOError:
            return False
        return True

    def _wait(self) -> None:
        self._relays.watch(self._source, self._source.mask & ~_IN)
        self._relays.watch(self._sink, self._sink.mask | _OUT)

    def _finish(self) -> None:
        self.stop()
        if not self._sink.feeds.open:
            # The last to end: closing says it too.
            self._relay.cut()
            return
        self._relays.watch(self._source, self._source.mask & ~_IN)
        self._sink.sock.shutdown(socket.SHUT_WR)

    def _release(self) -> None:
        if self._pipe is not None:
            self._relays.pipes.give_back(self._pipe, empty=self._held == 0)
            self._pipe = None


class Relay:
    """Moves bytes both ways between *left* and *right* from :meth:`begin` until both directions have ended.

    Takes both stream sockets (non-blocking) over and closes them, whatever happens; then *ended* is called, once.
    When one side fails (reset), the other is reset too. No error is raised for what peers do.
    """

    __slots__ = ("_back", "_ended", "_left", "_relays", "_right", "_there")

    def __init__(
        self, left: socket.socket, right: socket.socket, relays: Relays, ended: Callable[[Relay], None]
    ) -> None:
        self._left = _End(left)
        self._right = _End(right)
        self._relays = relays
        self._ended: Callable[[Relay], None] | None = ended
        self._there = _Flow(self._left, self._right, self, relays)
        self._back = _Flow(self._right, self._left, self, relays)

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes from left to right, and from right to left."""
        return self._there.moved, self._back.moved

    def begin(self) -> None:
        """Start moving."""
        try:
            self._relays.watch(self._left, _IN)
            self._relays.watch(self._right, _IN)
        except OSError:
            self.cut(reset_both=True)

    def cut(self, *, reset_both: bool = False) -> None:
        """End it now. Safe to call twice."""
        if self._ended is None:
            return
        ended, self._ended = self._ended, None
        self._there.stop()
        self._back.stop()
        for end in (self._left, self._right):
            with contextlib.suppress(OSError):
                self._relays.watch(end, 0)
            if reset_both:
                reset(end.sock)
            end.sock.close()
        ended(self)


def reset(sock: socket.socket) -> None:
    """Make the coming close of *sock* a reset (RST) instead of an orderly end. For TCP; else nothing changes."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
