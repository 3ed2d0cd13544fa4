"""Starting programs from the engine and waiting for them without threads: posix_spawn(3) and pidfds."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import signal
from collections.abc import Mapping, Sequence

from labdock.errors import SystemFailure
from labdock.sys import libc

#: Python ignores these; programs expect the default.
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
_ABOVE_TARGETS = 64
_REPORT_LIMIT = 64 * 1024
_SYS_CLOSE_RANGE = 436
_CLOSE_RANGE_CLOEXEC = 4


def spawn(argv: Sequence[str], environment: Mapping[str, str], fds: Mapping[int, int]) -> Child:
    """Start *argv* (argv[0] absolute); *fds* says which of our fds (values) it gets under which numbers (keys).

    Everything else that we have open stays ours. Takes about 0.5 ms: the C library's spawn shares memory with
    the child until its exec. Raises SystemFailure.
    """
    _keep_ours()
    # A source whose number is also a target would be overwritten before it is copied.
    moved = {
        source: fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, _ABOVE_TARGETS)
        for target, source in fds.items()
        if source in fds and source != target
    }
    try:
        actions = [(os.POSIX_SPAWN_DUP2, moved.get(source, source), target) for target, source in fds.items()]
        pid = os.posix_spawn(
            argv[0], list(argv), dict(environment), file_actions=actions, setsigdef=_DEFAULT_SIGNALS, setsigmask=()
        )
    except OSError as error:
        raise SystemFailure(f"starting {argv[0]}: {error.strerror}") from error
    finally:
        for fd in moved.values():
            os.close(fd)
    return Child(pid)


def _keep_ours() -> None:
    """Mark all of our fds close-on-exec: Python opens them so (PEP 446), but those we were started with are not."""
    # ENOSYS before Linux 5.11: then what was inherited stays inherited.
    with contextlib.suppress(OSError):
        libc.syscall(_SYS_CLOSE_RANGE, ctypes.c_uint(3), ctypes.c_uint(2**32 - 1), ctypes.c_uint(_CLOSE_RANGE_CLOEXEC))


class Child:
    """A child process of ours that was not reaped yet. Call from the event loop's thread."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(self.pidfd, self._reap)

    def _reap(self) -> None:
        try:
            _, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            # Somebody else reaped it (pid 1 of a test): the code is lost, the end is not.
            code = 255
        else:
            code = os.waitstatus_to_exitcode(status)
        self._loop.remove_reader(self.pidfd)
        os.close(self.pidfd)
        self.pidfd = -1
        if not self._ended.done():
            self._ended.set_result(code if code >= 0 else 128 - code)

    async def wait(self) -> int:
        """Its exit code, 128 + n for a signal n. Any number of callers."""
        return await asyncio.shield(self._ended)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Signal it; nothing happens when it has ended."""
        if self.pidfd >= 0:
            try:
                signal.pidfd_send_signal(self.pidfd, number)
            except ProcessLookupError:
                return


async def read_until(fd: int, mark: bytes) -> bytes:
    """What comes out of pipe *fd* up to and with the read that holds *mark* (b"": the first), or up to its end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()
    got = bytearray()
    os.set_blocking(fd, False)

    def ready() -> None:
        try:
            data = os.read(fd, _REPORT_LIMIT)
        except BlockingIOError:
            return
        got.extend(data)
        if (not data or mark in got or len(got) > _REPORT_LIMIT) and not done.done():
            done.set_result(bytes(got))

    loop.add_reader(fd, ready)
    try:
        return await done
    finally:
        loop.remove_reader(fd)


async def readable(fd: int) -> None:
    """Wait until *fd* is readable, or has an error (a pidfd: its process has ended)."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


def settle(future: asyncio.Future[None]) -> None:
    """Wake who waits for *future*, if nobody did."""
    if not future.done():
        future.set_result(None)
