"""HTTP/1.1 as a client reads it, without any I/O: bytes in, heads and bodies out (RFC 9112).

Only what an engine's API needs: no trailers are kept, no pipelining, no compression. It exists because it
costs nothing to import: a shell command that takes a few milliseconds should not first load an HTTP library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from labdock.errors import EngineUnreachable

#: Bounds against a peer that is no engine.
MAX_HEAD = 65_536
MAX_CHUNK_LINE = 4_096


class ProtocolBroken(EngineUnreachable):
    """The peer's bytes are no HTTP/1.1 answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``target`` is the path with its query, already quoted; an iterable body is sent in chunks.

    ``upgrade``: ask for the raw stream after the answer's head (``Upgrade: tcp``).
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Iterable[bytes] | None = None
    upgrade: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers of an answer; header names are lower case, the last of a name wins."""

    status: int
    reason: str
    headers: Mapping[str, str]

    @property
    def keeps_connection(self) -> bool:
        return "close" not in self.headers.get("connection", "").lower()


def encode_head(request: Request) -> bytes:
    """The request's head as bytes, with the framing headers that its body needs."""
    lines = [f"{request.method} {request.target} HTTP/1.1", "Host: labdock"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    if request.upgrade:
        lines += ["Connection: Upgrade", "Upgrade: tcp"]
    if isinstance(request.body, bytes):
        lines.append(f"Content-Length: {len(request.body)}")
    elif request.body is not None:
        lines.append("Transfer-Encoding: chunked")
    elif request.method in ("POST", "PUT"):
        lines.append("Content-Length: 0")
    text = "\r\n".join(lines)
    if text.count("\r\n") != len(lines) - 1 or text.count("\n") != len(lines) - 1:
        raise ValueError("a header or target holds a line break")
    return f"{text}\r\n\r\n".encode("latin-1")


def encode_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; an empty one would end the body, so *data* must not be empty."""
    if not data:
        raise ValueError("an empty chunk ends the body")
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def parse_head(data: bytes) -> tuple[Head, bytes] | None:
    """The head at the start of *data* and what follows it; None while it is incomplete.

    Raises ProtocolBroken for what can't become a head.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MAX_HEAD:
            raise ProtocolBroken(f"the answer's head is longer than {MAX_HEAD} bytes")
        if not b"HTTP/1.".startswith(data[:7]) and not data.startswith(b"HTTP/1."):
            raise ProtocolBroken(f"the answer is no HTTP: it starts with {data[:40]!r}")
        return None
    first, *lines = data[:end].decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or len(status) != 3 or not (status.isascii() and status.isdecimal()):
        raise ProtocolBroken(f"the answer's status line is broken: {first[:80]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ProtocolBroken(f"the answer has a broken header line: {line[:80]!r}")
        headers[name.lower()] = value.strip(" \t")
    return Head(int(status), reason, headers), data[end + 4 :]


class Body(Protocol):
    """Takes the bytes after a head and gives the body's."""

    finished: bool

    def feed(self, data: bytes) -> list[bytes]:
        """The body bytes in *data*; after ``finished`` nothing may be fed. Raises ProtocolBroken."""

    def end(self) -> None:
        """The peer closed. Raises ProtocolBroken when the body was not complete."""


class LengthBody:
    """A body of a known length."""

    def __init__(self, length: int) -> None:
        self.left = length
        self.finished = length == 0

    def feed(self, data: bytes) -> list[bytes]:
        if len(data) > self.left:
            raise ProtocolBroken("the answer is longer than it said")
        self.left -= len(data)
        self.finished = self.left == 0
        return [data] if data else []

    def end(self) -> None:
        if not self.finished:
            raise ProtocolBroken(f"the answer ended {self.left} bytes early")


class UntilClose:
    """A body that ends with the connection."""

    def __init__(self) -> None:
        self.finished = False

    def feed(self, data: bytes) -> list[bytes]:
        return [data] if data else []

    def end(self) -> None:
        self.finished = True


class ChunkedBody:
    """A chunked body (RFC 9112 §7.1); extensions and trailers are passed over."""

    def __init__(self) -> None:
        self.finished = False
        self._buffer = b""
        self._left = 0
        self._state = "size"

    def feed(self, data: bytes) -> list[bytes]:
        found: list[bytes] = []
        data = self._buffer + data if self._buffer else data
        self._buffer = b""
        while data and not self.finished:
            if self._state == "data":
                part = data[: self._left]
                data = data[self._left :]
                self._left -= len(part)
                found.append(part)
                if not self._left:
                    self._state = "data-end"
                continue
            line, newline, rest = data.partition(b"\r\n")
            if not newline:
                if len(data) > MAX_CHUNK_LINE:
                    raise ProtocolBroken("a chunk's size line is too long")
                self._buffer = data
                break
            data = rest
            self._take_line(line)
        if self.finished and data:
            raise ProtocolBroken("bytes follow the answer's last chunk")
        return found

    def _take_line(self, line: bytes) -> None:
        if self._state == "data-end":
            if line:
                raise ProtocolBroken("a chunk is longer than it said")
            self._state = "size"
        elif self._state == "trailer":
            self.finished = not line
        else:
            size = line.partition(b";")[0].strip()
            if not size or len(size) > 16 or size.strip(b"0123456789abcdefABCDEF"):
                raise ProtocolBroken(f"a chunk's size is no number: {line[:40]!r}")
            self._left = int(size, 16)
            self._state = "data" if self._left else "trailer"

    def end(self) -> None:
        if not self.finished:
            raise ProtocolBroken("the answer ended before its last chunk")


def body_for(head: Head, method: str) -> Body:
    """How the body after *head* is framed (RFC 9112 §6.3). Raises ProtocolBroken for a broken length."""
    if method == "HEAD" or head.status in (204, 304) or 100 <= head.status < 200:
        return LengthBody(0)
    if "chunked" in head.headers.get("transfer-encoding", "").lower():
        return ChunkedBody()
    length = head.headers.get("content-length")
    if length is None:
        return UntilClose()
    if not (length.isascii() and length.isdecimal()) or len(length) > 18:
        raise ProtocolBroken(f"the answer's length is no number: {length[:40]!r}")
    return LengthBody(int(length))
