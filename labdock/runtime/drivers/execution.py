"""A further process in a running container: `crun exec` in the foreground, its streams on our pipes or pty."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import socket
import struct
import termios
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from labdock.errors import SystemFailure
from labdock.runtime import Attachment, ExecRequest, Stream, children
from labdock.runtime.drivers import failures
from labdock.runtime.monitor.queue import OutputQueue

#: crun answers within milliseconds; one that hangs is given up.
_START_SECONDS = 30.0
_READ = 64 * 1024
_QUEUE_BOUND = 1 << 20


class CrunExec:
    """A :class:`labdock.runtime.ExecProcess`, and the :class:`Attachment` of its streams.

    Its output has one reader; when that one stops, the process stops at its full pipe, as under a shell.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.streams: Attachment = self
        self._loop = asyncio.get_running_loop()
        self._queue = OutputQueue(self._resume, bound=_QUEUE_BOUND)
        self._outputs: dict[int, Stream] = {}
        self._reading = False
        self._stdin = -1
        self._terminal = -1
        self._writable: asyncio.Future[None] | None = None
        self._turn = asyncio.Lock()
        self._code: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = -1
        self._watch: asyncio.Task[None] | None = None

    # --- for the driver -------------------------------------------------------------------------

    def take_pipes(self, stdin: int, stdout: int, stderr: int) -> None:
        """Our ends of the pipes (stdin: -1 when it has none)."""
        self._stdin = stdin
        self._outputs = {stdout: "stdout", stderr: "stderr"}
        for fd in (stdin, stdout, stderr):
            if fd >= 0:
                os.set_blocking(fd, False)

    def take_terminal(self, terminal: int, *, stdin: bool) -> None:
        os.set_blocking(terminal, False)
        self._terminal = terminal
        self._outputs = {terminal: "stdout"}
        if stdin:
            self._stdin = terminal

    def run(self, child: children.Child, pid: int) -> None:
        """It runs: *child* is crun, *pid* the process itself."""
        self.pid = pid
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            # It has ended already.
            self._pidfd = -1
        self._resume()
        self._watch = self._loop.create_task(self._finish(child))

    async def _finish(self, child: children.Child) -> None:
        code = await child.wait()
        # What it wrote before its end is in the pipes; a process it left behind may hold them open for ever.
        self._pause()
        for fd, stream in self._outputs.items():
            while data := _read_now(fd):
                self._queue.put(stream, data)
        self._queue.end()
        self.close_all()
        if not self._code.done():
            self._code.set_result(code)

    def close_all(self) -> None:
        """Close all of our fds."""
        if self._stdin >= 0:
            self._loop.remove_writer(self._stdin)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        for fd in {*self._outputs, self._stdin, self._pidfd} - {-1}:
            os.close(fd)
        self._outputs = {}
        self._stdin = self._terminal = self._pidfd = -1

    # --- output ---------------------------------------------------------------------------------

    def _resume(self) -> None:
        if not self._reading:
            for fd in self._outputs:
                self._loop.add_reader(fd, self._readable, fd)
            self._reading = True

    def _pause(self) -> None:
        if self._reading:
            for fd in self._outputs:
                self._loop.remove_reader(fd)
            self._reading = False

    def _readable(self, fd: int) -> None:
        data = _read_now(fd)
        if data is None:
            return
        if not data:
            self._loop.remove_reader(fd)
            return
        self._queue.put(self._outputs[fd], data)
        if self._queue.full:
            self._pause()

    async def read(self) -> tuple[Stream, bytes] | None:
        return await self._queue.get()

    # --- input ----------------------------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        async with self._turn:
            while view:
                if self._stdin < 0:
                    raise BrokenPipeError("the process's stdin is closed")
                try:
                    view = view[os.write(self._stdin, view) :]
                except BlockingIOError:
                    self._writable = self._loop.create_future()
                    self._loop.add_writer(self._stdin, children.settle, self._writable)
                    try:
                        await self._writable
                    finally:
                        self._writable = None
                        if self._stdin >= 0:
                            self._loop.remove_writer(self._stdin)
                except OSError as error:
                    raise BrokenPipeError("the process's stdin is closed") from error

    async def close_stdin(self) -> None:
        """End its stdin. A terminal has no end; there the user types ctrl-d."""
        async with self._turn:
            if self._stdin >= 0 and self._stdin != self._terminal:
                os.close(self._stdin)
                self._stdin = -1

    async def close(self) -> None:
        """Let go of the streams: output is thrown away from now on, stdin ends."""
        self._queue.discard()
        self._resume()
        await self.close_stdin()

    # --- control --------------------------------------------------------------------------------

    async def resize(self, rows: int, columns: int) -> None:
        if self._terminal >= 0:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Signal the process; nothing happens when it has ended."""
        if self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return

    async def wait(self) -> int:
        return await asyncio.shield(self._code)


async def start_exec(
    command: list[str], environment: Mapping[str, str], process: Mapping[str, object], request: ExecRequest, box: Path
) -> CrunExec:
    """Run ``crun … exec`` (*command* up to the container's id, which comes last) with the OCI *process*.

    No temporary files: the process goes in through a memfd, the pid comes back through a pipe (its arrival says
    that the program was found and is about to run) and crun's own words through another memfd.
    Raises InvalidRequest (not found, not executable, no such folder) or SystemFailure.
    """
    launch = _Launch(request, box)
    try:
        return await launch.start(command, environment, process)
    finally:
        launch.close()


class _Launch:
    """The fds of one start of `crun exec`; all but our own ends are closed again."""

    def __init__(self, request: ExecRequest, box: Path) -> None:
        self._request = request
        self._box = box
        self._open: set[int] = set()
        self._console: socket.socket | None = None
        self._console_path: Path | None = None

    def _pipe(self, flags: int = 0) -> tuple[int, int]:
        ends = os.pipe2(os.O_CLOEXEC | flags)
        self._open.update(ends)
        return ends

    def _memory(self, name: str, data: bytes = b"") -> int:
        fd = os.memfd_create(name)
        self._open.add(fd)
        if data:
            os.write(fd, data)
        return fd

    def close(self) -> None:
        for fd in self._open:
            os.close(fd)
        if self._console is not None:
            self._console.close()
        if self._console_path is not None:
            self._console_path.unlink(missing_ok=True)

    async def start(
        self, command: list[str], environment: Mapping[str, str], process: Mapping[str, object]
    ) -> CrunExec:
        execution = CrunExec()
        said = self._memory("crun-log")
        pid_read, pid_write = self._pipe()
        fds = {3: self._memory("process", msgspec.json.encode(process)), 4: pid_write, 5: said}
        options = ["--process=/proc/self/fd/3", "--pid-file=/proc/self/fd/4"]
        if self._request.tty:
            options.append(f"--console-socket={self._listen()}")
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            self._open.add(null)
            fds |= {0: null, 1: null, 2: null}
        else:
            ours, theirs = self._stdio()
            fds |= dict(enumerate(theirs))
            execution.take_pipes(*ours)
        argv = [command[0], "--log=/proc/self/fd/5", *command[1:-1], *options, command[-1]]
        child = self._spawn(argv, environment, fds)
        os.close(pid_write)
        self._open.discard(pid_write)
        self._close_theirs(fds)
        try:
            if self._request.tty:
                terminal = await self._accept(child)
                if terminal is not None:
                    execution.take_terminal(terminal, stdin=self._request.stdin)
                    await self._size(execution)
            pid = await asyncio.wait_for(children.read_until(pid_read, b""), _START_SECONDS)
        except BaseException as error:
            child.kill()
            execution.close_all()
            if isinstance(error, TimeoutError):
                raise SystemFailure(f"{command[0]} exec did not start within {_START_SECONDS:g} s") from error
            raise
        if not pid.strip().isdigit():
            await child.wait()
            execution.close_all()
            text = os.pread(said, 65536, 0).decode(errors="replace")
            raise failures.translate(text, self._request.args[0], failures.EXEC)
        execution.run(child, int(pid))
        return execution

    def _spawn(self, argv: list[str], environment: Mapping[str, str], fds: Mapping[int, int]) -> children.Child:
        """Start crun held to the request's processors: from us, so that the program can't run before it is."""
        ours = os.sched_getaffinity(0)
        cpus = self._request.cpus
        if cpus is None or cpus == ours:
            child = children.spawn(argv, environment, fds)
        else:
            try:
                # EINVAL when none of them is there any more.
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(0, cpus)
                child = children.spawn(argv, environment, fds)
            finally:
                os.sched_setaffinity(0, ours)
        if self._request.nice:
            with contextlib.suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, child.pid, self._request.nice)
        return child

    def _stdio(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Pipes for the three streams: our ends, which stay open, and the program's.

        O_DIRECT makes packets of writes (man 2 pipe2), so an exec's output keeps one write a frame.
        """
        out_read, out_write = self._pipe(os.O_DIRECT)
        err_read, err_write = self._pipe(os.O_DIRECT)
        if self._request.stdin:
            in_read, in_write = self._pipe()
        else:
            in_read, in_write = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1
            self._open.add(in_read)
        self._open -= {in_write, out_read, err_read}
        return (in_write, out_read, err_read), (in_read, out_write, err_write)

    def _close_theirs(self, fds: Mapping[int, int]) -> None:
        """The program's ends must not stay open here, or there is no end of file."""
        for fd in {fds[0], fds[1], fds[2]}:
            os.close(fd)
            self._open.discard(fd)

    def _listen(self) -> str:
        """A socket to which crun sends the terminal; its path stays below sun_path's 108 bytes."""
        self._console = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        folder = os.open(self._box, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open.add(folder)
        name = f"console-{self._console.fileno()}-{time.monotonic_ns():x}"
        path = f"/proc/{os.getpid()}/fd/{folder}/{name}"
        self._console.bind(path)
        self._console_path = self._box / name
        self._console.listen(1)
        return path

    async def _accept(self, child: children.Child) -> int | None:
        """The terminal's fd; None when crun ended without one."""
        received = asyncio.ensure_future(self._receive())
        ended = asyncio.ensure_future(child.wait())
        try:
            done, _ = await asyncio.wait({received, ended}, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if received in done:
                return received.result()
            if ended in done:
                return None
            raise TimeoutError
        finally:
            received.cancel()
            ended.cancel()

    async def _receive(self) -> int:
        assert self._console is not None
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(self._console)
        with connection:
            ready: asyncio.Future[None] = loop.create_future()
            loop.add_reader(connection, children.settle, ready)
            try:
                await ready
            finally:
                loop.remove_reader(connection)
            _, fds, _, _ = socket.recv_fds(connection, 4096, 4)
        for extra in fds[1:]:
            os.close(extra)
        if not fds:
            raise SystemFailure("crun sent no terminal")
        os.set_inheritable(fds[0], False)
        return fds[0]

    async def _size(self, execution: CrunExec) -> None:
        if self._request.size is not None:
            await execution.resize(*self._request.size)


#: A packet of an O_DIRECT pipe is at most PIPE_BUF long: one of that length goes on in the next.
_PACKET = 4096


def _read_now(fd: int) -> bytes | None:
    """What can be read at once and belongs together; b"" at the end, None when there is nothing now."""
    got = bytearray()
    while len(got) < _READ:
        try:
            data = os.read(fd, _READ)
        except BlockingIOError:
            return bytes(got) if got else None
        except OSError as error:
            if error.errno == errno.EIO:
                # quirk: a terminal whose last user has closed it reads as EIO.
                return bytes(got)
            raise
        got += data
        if len(data) != _PACKET:
            break
    return bytes(got)
