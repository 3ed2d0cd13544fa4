"""How requests reach an engine: one method, ``send``. Here over a unix socket; tests have a scripted one."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from labdock.client import http1
from labdock.client.http1 import Head, Request
from labdock.errors import EngineUnreachable

BLOCK = 65_536
MAX_IDLE = 4


class Dialer(Protocol):
    """How a connection to an engine that is not at a unix socket is made."""

    def __call__(self) -> socket.socket:
        """A connection; OSError when there is none to be had."""

    def reason(self) -> str:
        """What is known of why the last connection ended; "" for nothing."""

    def close(self) -> None:
        """Let go of what stands behind connections that are over; it may be called again afterwards."""


class Transport(Protocol):
    """Sends a request and gives the answer once its head is there."""

    def send(self, request: Request) -> Answer:
        """Raises EngineUnreachable when nobody answers or the connection breaks."""


class RawStream:
    """A taken-over connection: bytes both ways. Closing it detaches; ``close_write`` is end of input."""

    def __init__(self, connection: socket.socket, head: Head, early: bytes = b"") -> None:
        self.head = head
        self._socket = connection
        self._early = early

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def pending(self) -> bool:
        """Bytes were read with the head and wait here, not in the socket."""
        return bool(self._early)

    def read(self, size: int = BLOCK) -> bytes:
        """The next bytes, b"" at the end; blocks."""
        if self._early:
            data, self._early = self._early[:size], self._early[size:]
            return data
        try:
            return self._socket.recv(size)
        except ConnectionResetError:
            return b""

    def write(self, data: bytes) -> None:
        """All of *data*; blocks."""
        self._socket.sendall(data)

    def write_some(self, data: bytes) -> int:
        """As much of *data* as fits without blocking; the number of bytes taken."""
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0

    def close_write(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> RawStream:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class Answer:
    """An answer: its head, and its body to read once. A context manager that closes what was not read."""

    def __init__(
        self,
        head: Head,
        method: str,
        connection: socket.socket,
        early: bytes = b"",
        give_back: Callable[[socket.socket], None] | None = None,
    ) -> None:
        self.head = head
        self._body = http1.body_for(head, method)
        self._connection: socket.socket | None = connection
        self._early = early
        self._give_back = give_back
        if self._body.finished and head.status != 101:
            self._release()

    @property
    def status(self) -> int:
        return self.head.status

    def chunks(self, tick: float | None = None) -> Iterator[bytes]:
        """The body as it arrives. With *tick*, b"" whenever that many seconds passed with nothing new."""
        if self._early and not self._body.finished:
            early, self._early = self._early, b""
            yield from self._body.feed(early)
        while not self._body.finished and self._connection is not None:
            if tick is not None and not _is_readable(self._connection, tick):
                yield b""
                continue
            try:
                data = self._connection.recv(BLOCK)
            except ConnectionResetError:
                data = b""
            if data:
                yield from self._body.feed(data)
            else:
                self._body.end()
        self._release()

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks())

    def take_over(self) -> RawStream:
        """The connection itself, for answers to ``upgrade`` requests."""
        connection, self._connection = self._connection, None
        if connection is None:
            raise EngineUnreachable("the engine closed the stream before it began")
        early, self._early = self._early, b""
        return RawStream(connection, self.head, early)

    def fileno(self) -> int:
        """The connection's descriptor, -1 once the body was read."""
        return -1 if self._connection is None else self._connection.fileno()

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._give_back is not None and self._body.finished and self.head.keeps_connection:
            self._give_back(connection)
        else:
            connection.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class UnixTransport:
    """Over a unix socket; connections are kept and used again.

    ``start`` is called when nobody listens at *path*: it starts an engine there or raises EngineUnreachable.
    With *dialer* connections are made by that, and *path* is the address that messages name.
    """

    def __init__(self, path: Path | str, start: Callable[[], None] | None = None, dialer: Dialer | None = None) -> None:
        self.path = path
        self._start = start
        self._dialer = dialer
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()

    def send(self, request: Request) -> Answer:
        connection = None if request.upgrade else self._take_idle()
        if connection is None:
            connection = self._connect()
        try:
            return self._exchange(connection, request)
        except BaseException:
            connection.close()
            raise

    def _exchange(self, connection: socket.socket, request: Request) -> Answer:
        # The engine answers a body it refuses before it has all of it; the answer tells why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            _send(connection, request)
        data = b""
        while (parsed := http1.parse_head(data)) is None:
            try:
                more = connection.recv(BLOCK)
            except ConnectionResetError:
                more = b""
            if not more:
                what = f"{request.method} {request.target.partition('?')[0]}"
                raise EngineUnreachable(
                    f"the engine at {self.path} hung up on {what}",
                    hint=(self._dialer.reason() if self._dialer else "")
                    or "it may have been stopped or restarted meanwhile; `labdock engine logs` shows its last words",
                )
            data += more
            if data.startswith(b"HTTP/1.1 100"):
                data = data.partition(b"\r\n\r\n")[2]
        head, early = parsed
        return Answer(head, request.method, connection, early, self._give_back)

    def dial(self) -> socket.socket:
        """A connection of its own to the engine, started where that is allowed. Raises EngineUnreachable."""
        return self._connect()

    def _connect(self) -> socket.socket:
        try:
            return self._dial()
        except OSError as error:
            if self._start is None or isinstance(error, PermissionError):
                raise self._unreachable(error) from error
        self._start()
        try:
            return self._dial()
        except OSError as error:
            raise self._unreachable(error) from error

    def _dial(self) -> socket.socket:
        return connect(Path(self.path)) if self._dialer is None else self._dialer()

    def _unreachable(self, error: OSError) -> EngineUnreachable:
        if self._dialer is None:
            return _unreachable(Path(self.path), error)
        hint = "`labdock context ls` shows which engine is meant, and what else there is"
        return EngineUnreachable(f"cannot connect to the engine at {self.path}: {error.strerror or error}", hint=hint)

    def _take_idle(self) -> socket.socket | None:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                # An idle connection that can be read has been closed by the engine.
                if not _is_readable(connection, 0):
                    return connection
                connection.close()
        return None

    def _give_back(self, connection: socket.socket) -> None:
        with self._lock:
            if len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close the connections kept; the transport can be used again afterwards."""
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()
        if self._dialer is not None:
            self._dialer.close()


def connect(path: Path) -> socket.socket:
    """A connection to the unix socket at *path*; OSError as the kernel says."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def _is_readable(connection: socket.socket, seconds: float) -> bool:
    """Whether it is within *seconds*. By poll: select knows no descriptor above 1023."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _send(connection: socket.socket, request: Request) -> None:
    head = http1.encode_head(request)
    if request.body is None or isinstance(request.body, bytes):
        connection.sendall(head + (request.body or b""))
        return
    connection.sendall(head)
    for part in request.body:
        if part:
            connection.sendall(http1.encode_chunk(part))
    connection.sendall(http1.LAST_CHUNK)


def _unreachable(path: Path, error: OSError) -> EngineUnreachable:
    if isinstance(error, PermissionError):
        hint = "the socket belongs to somebody else; LABDOCK_RUN or LABDOCK_HOST chooses another engine"
    elif isinstance(error, FileNotFoundError | ConnectionRefusedError):
        hint = "no engine runs there; `labdock engine start` starts one, LABDOCK_HOST chooses another"
    else:
        hint = "`labdock engine status` tells more"
    return EngineUnreachable(f"cannot connect to the engine at {path}: {error.strerror or error}", hint=hint)
