"""An engine that says what a script tells it to: the second implementation of the transport, for tests.

In process (:class:`ScriptedTransport`) and on a unix socket (:class:`ScriptedServer`), so that the same script
serves tests of the client, of the commands and of whole processes.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from labdock.client import http1
from labdock.client.http1 import Request
from labdock.client.transport import BLOCK, Answer


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the engine sees it; header names are lower case."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer. ``lines`` are sent in chunks; ``talk`` gets the raw connection after a 101."""

    status: int = 200
    json: Any = None
    body: bytes = b""
    lines: Iterable[bytes] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    talk: Callable[[socket.socket], None] | None = None


Handler = Callable[[Asked], Reply]


class Script:
    """Routes: a method, a path as a regular expression, an answer or a function that makes it. Later ones win."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Reply | Handler]] = []
        self.asked: list[Asked] = []

    def on(self, method: str, path: str, reply: Reply | Handler) -> Script:
        self._routes.append((method, re.compile(path + r"\Z"), reply))
        return self

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        for method, path, reply in reversed(self._routes):
            if method == asked.method and path.match(asked.path):
                return reply(asked) if callable(reply) else reply
        return Reply(404, {"message": "page not found"})


def _asked(method: str, target: str, body: bytes, headers: dict[str, str]) -> Asked:
    path, _, query = target.partition("?")
    return Asked(method, unquote(path), parse_qs(query, keep_blank_values=True), body, headers)


def _respond(connection: socket.socket, reply: Reply) -> None:
    """Send *reply*; the connection is done afterwards."""
    headers = {"Connection": "close"} | reply.headers
    if reply.talk is not None:
        headers |= {"Connection": "Upgrade", "Upgrade": "tcp"}
        connection.sendall(_head(101, headers))
        reply.talk(connection)
        return
    if reply.lines is not None:
        connection.sendall(_head(reply.status, headers | {"Transfer-Encoding": "chunked"}))
        for line in reply.lines:
            connection.sendall(http1.encode_chunk(line))
        connection.sendall(http1.LAST_CHUNK)
        return
    body = reply.body if reply.json is None else msgspec.json.encode(reply.json)
    connection.sendall(_head(reply.status, headers | {"Content-Length": str(len(body))}) + body)


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} OK", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class ScriptedTransport:
    """Answers in process; each answer comes through a socket pair, as from a real connection."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def send(self, request: Request) -> Answer:
        body = request.body if isinstance(request.body, bytes) else b"".join(request.body or ())
        headers = {name.lower(): value for name, value in request.headers}
        reply = self.script.answer(_asked(request.method, request.target, body, headers))
        ours, theirs = socket.socketpair()
        threading.Thread(target=_serve_pair, args=(theirs, reply), daemon=True).start()
        data = b""
        while (parsed := http1.parse_head(data)) is None:
            data += ours.recv(BLOCK)
        return Answer(parsed[0], request.method, ours, parsed[1])


def _serve_pair(connection: socket.socket, reply: Reply) -> None:
    with connection, contextlib.suppress(OSError):
        _respond(connection, reply)


class ScriptedServer:
    """The script on a unix socket, one thread a connection; for tests that start processes."""

    def __init__(self, script: Script, path: Path) -> None:
        self.script = script
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._threads: list[threading.Thread] = []
        self._main = threading.Thread(target=self._accept, daemon=True)
        self._main.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            asked = _read_request(connection)
            if asked is not None:
                _respond(connection, self.script.answer(asked))

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._main.join(5)
        for thread in self._threads:
            thread.join(5)


def _read_request(connection: socket.socket) -> Asked | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(BLOCK)
        if not more:
            return None
        data += more
    head, _, data = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body: http1.Body = http1.LengthBody(int(headers.get("content-length", "0")))
    if "chunked" in headers.get("transfer-encoding", ""):
        body = http1.ChunkedBody()
    parts = body.feed(data) if data else []
    while not body.finished:
        more = connection.recv(BLOCK)
        if not more:
            return None
        parts += body.feed(more)
    return _asked(method, target, b"".join(parts), headers)
