"""Moving bytes between two connected sockets without copying them through Python: splice(2) over a pipe.

Each direction ends for itself: an end of file on one side becomes a shutdown of sending on the other, and the
way back goes on. A pipe is borrowed only while it holds bytes, so an idle connection costs two descriptors.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Callable

#: Bytes a pipe is asked to hold, and the most that one splice moves.
PIPE_SIZE = 1024 * 1024
#: Bytes that are taken through memory: for a request and its answer two calls are cheaper than a pipe's four.
_SMALL = 16 * 1024
#: Splices per wake-up and direction: a fast stream leaves the loop to others in between.
_ROUNDS = 16
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_RESET = struct.pack("ii", 1, 0)


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


class _Flow:
    """One direction. Reads while its sink takes; waits for the sink, and does not read, while it does not."""

    __slots__ = ("_bulk", "_end", "_held", "_loop", "_pipe", "_pipes", "_rest", "_sink", "_source", "moved", "open")

    def __init__(
        self,
        source: socket.socket,
        sink: socket.socket,
        pipes: Pipes,
        end: Callable[[BaseException | None], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._source = source
        self._sink = sink
        self._pipes = pipes
        self._end = end
        self._loop = loop
        self._pipe: tuple[int, int] | None = None
        self._held = 0
        self._bulk = False
        self._rest = b""
        self.moved = 0
        self.open = True
        loop.add_reader(source.fileno(), self._pull)

    def _pull(self) -> None:
        try:
            if not self._bulk:
                self._carry()
                return
            for _ in range(_ROUNDS):
                if self._pipe is None:
                    self._pipe = self._pipes.take()
                self._held = os.splice(self._source.fileno(), self._pipe[1], PIPE_SIZE, flags=_FLAGS)
                if self._held == 0:
                    self._finish()
                    return
                self.moved += self._held
                if not self._push():
                    self._loop.remove_reader(self._source.fileno())
                    self._loop.add_writer(self._sink.fileno(), self._resume)
                    return
        except BlockingIOError:
            self._bulk = False
            self._release()
        except OSError as error:
            self.stop()
            self._end(error)

    def _carry(self) -> None:
        """Move a little through memory. What fills the buffer is a stream: the next time it goes by a pipe."""
        data = self._source.recv(_SMALL)
        if not data:
            self._finish()
            return
        self._bulk = len(data) == _SMALL
        self.moved += len(data)
        try:
            sent = self._sink.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._rest = data[sent:]
            self._loop.remove_reader(self._source.fileno())
            self._loop.add_writer(self._sink.fileno(), self._resume)

    def _push(self) -> bool:
        """Empty what is held into the sink; False when the sink is full."""
        try:
            while self._rest:
                self._rest = self._rest[self._sink.send(self._rest) :]
            if self._pipe is None:
                return True
            while self._held:
                self._held -= os.splice(self._pipe[0], self._sink.fileno(), self._held, flags=_FLAGS)
        except BlockingIOError:
            return False
        return True

    def _resume(self) -> None:
        try:
            if not self._push():
                return
        except OSError as error:
            self.stop()
            self._end(error)
            return
        self._release()
        self._loop.remove_writer(self._sink.fileno())
        self._loop.add_reader(self._source.fileno(), self._pull)

    def _finish(self) -> None:
        self.stop()
        try:
            self._sink.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._end(error)
        else:
            self._end(None)

    def _release(self) -> None:
        if self._pipe is not None:
            self._pipes.give_back(self._pipe, empty=self._held == 0)
            self._pipe = None

    def stop(self) -> None:
        """Stop moving; what the pipe holds is lost. Safe to call twice."""
        if self.open:
            self.open = False
            self._loop.remove_reader(self._source.fileno())
            self._loop.remove_writer(self._sink.fileno())
            self._release()


async def relay(left: socket.socket, right: socket.socket, pipes: Pipes) -> tuple[int, int]:
    """Move bytes both ways until both directions have ended; gives the bytes moved (left→right, right→left).

    Takes both stream sockets over and closes them, whatever happens. When one side fails (reset), the other is
    reset too. No error is raised for what peers do; cancelling ends both.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    flows: list[_Flow] = []

    def end(error: BaseException | None) -> None:
        if error is not None:
            reset(left)
            reset(right)
        if not done.done() and (error is not None or not any(flow.open for flow in flows)):
            done.set_result(None)

    try:
        left.setblocking(False)
        right.setblocking(False)
        flows.append(_Flow(left, right, pipes, end, loop))
        flows.append(_Flow(right, left, pipes, end, loop))
        await done
        return flows[0].moved, flows[1].moved
    finally:
        for flow in flows:
            flow.stop()
        left.close()
        right.close()


def reset(sock: socket.socket) -> None:
    """Make the coming close of *sock* a reset (RST) instead of an orderly end. For TCP; else nothing changes."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
