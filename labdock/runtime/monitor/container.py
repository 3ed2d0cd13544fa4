"""One container under its conmon: its pid, its end, its streams."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

from labdock.errors import Conflict
from labdock.runtime import Attachment, Exit
from labdock.runtime.monitor import conmon, processes
from labdock.runtime.monitor.attach import AttachHub
from labdock.runtime.monitor.layout import Layout

#: What a container is said to have ended with when its monitor was killed.
LOST = 137
LOST_REASON = "its monitor (conmon) was killed, and it cannot run without one"


class MonitoredContainer:
    """A :class:`labdock.runtime.Monitored`.

    ``monitor`` is a pidfd of conmon; its readability means that the log and the exit file are complete.
    ``reap`` is called then (conmon is our child, unless an earlier engine started it).
    """

    def __init__(self, container: str, pid: int, layout: Layout, settings: conmon.Settings, monitor: int) -> None:
        self.id = container
        self.pid = pid
        self.layout = layout
        self.settings = settings
        self._monitor = monitor
        self._lost = False
        self._init = _open_process(pid)
        # By what it shares with another container, that one's processes would be taken for its own.
        self._spaces = frozenset(space for space in processes.own_spaces(pid) if space[0] not in settings.joined)
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Exit] = self._loop.create_future()
        self._hub = AttachHub(layout.attach, tty=settings.tty, stdin_once=settings.stdin_once)
        self._loop.add_reader(monitor, self._monitor_ended)

    @property
    def running(self) -> bool:
        """Whether its end is not known yet (a created container counts as running)."""
        return not self._ended.done()

    def _monitor_ended(self) -> None:
        self._loop.remove_reader(self._monitor)
        os.close(self._monitor)
        self._monitor = -1
        end = conmon.read_exit(self.layout, self.id)
        if end is None:
            # Nobody is left to read the container's output or to see its end: it can't go on.
            self.kill()
            self._lost = True
            end = Exit(code=LOST, at=time.time_ns(), reason=LOST_REASON)
        if self._init >= 0:
            os.close(self._init)
            self._init = -1
        if self._shares_pids:
            self._kill_rest()
        if not self._ended.done():
            self._ended.set_result(end)

    async def attach(self, *, stdin: bool, stdout: bool = True, stderr: bool = True) -> Attachment:
        return self._hub.join(stdin=stdin and (self.settings.stdin), stdout=stdout, stderr=stderr)

    async def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size. Nothing happens without a terminal, or after the end."""
        with contextlib.suppress(OSError):
            self._tell(b"1 %d %d\n" % (rows, columns))

    def reopen_log(self) -> None:
        try:
            # quirk: conmon makes PATH.tmp and renames it to PATH, so what was there must be renamed before.
            self._tell(b"2 0 0\n")
        except OSError as error:
            raise Conflict(f"container {self.id} is not running") from error

    def _tell(self, order: bytes) -> None:
        """Write to conmon's control fifo."""
        fd = os.open(self.layout.control, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, order)
        finally:
            os.close(fd)

    async def wait(self) -> Exit:
        return await asyncio.shield(self._ended)

    def signal(self, number: int) -> None:
        """Send *number* to the first process; Conflict when there is none any more."""
        if self._init >= 0:
            try:
                signal.pidfd_send_signal(self._init, number)
                return
            except ProcessLookupError:
                pass
        raise Conflict(f"container {self.id} is not running")

    def kill(self) -> None:
        """SIGKILL to all of it; nothing happens when it has ended."""
        if self._init >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._init, signal.SIGKILL)
        if self._shares_pids:
            self._kill_rest()

    async def end_rest(self) -> None:
        """After the end: end what outlived it (no monitor, a shared pid namespace), and wait for it."""
        if self._shares_pids or self._lost:
            await processes.end_all(lambda: processes.members(self._spaces))

    @property
    def spaces(self) -> processes.Spaces:
        """The namespaces by which its processes are known."""
        return self._spaces

    def kill_as_oom(self) -> None:
        """SIGKILL to all of it; its end is then told as one for want of memory, as conmon marks it."""
        self.layout.out_of_memory.touch()
        self.kill()

    def processes(self) -> list[int]:
        """The pids of all its processes, as we see them."""
        return processes.members(self._spaces)

    def pause(self) -> bool:
        """Stop all its processes; False when it makes them faster than they can be stopped."""
        return processes.send_all(self._spaces, signal.SIGSTOP)

    def resume(self) -> None:
        processes.send_all(self._spaces, signal.SIGCONT)

    @property
    def _shares_pids(self) -> bool:
        """Without a pid namespace of its own, its other processes do not end with its first."""
        return not any(kind == "pid" for kind, _ in self._spaces)

    def _kill_rest(self) -> None:
        processes.send_all(self._spaces, signal.SIGKILL)

    def let_go(self) -> None:
        """Close what we hold; the container goes on. For an engine that ends, or a container that is removed."""
        self._hub.end()
        if self._monitor >= 0:
            self._loop.remove_reader(self._monitor)
            os.close(self._monitor)
            self._monitor = -1
        if self._init >= 0:
            os.close(self._init)
            self._init = -1


def _open_process(pid: int) -> int:
    """A pidfd of *pid*, -1 when it has ended (or is 0: unknown)."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1
