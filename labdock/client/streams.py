"""The streams of containers: output frames taken apart, and a hijacked connection with its two directions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from labdock.client.transport import Answer, RawStream
from labdock.errors import EngineUnreachable

Stream = Literal["stdout", "stderr"]
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"
MAX_FRAME = 256 * 1024 * 1024


class Frames:
    """Takes multiplexed output apart (Engine API, "Stream format"): 1 byte stream, 3 zero, 4 length, the bytes."""

    def __init__(self) -> None:
        self._buffer = b""
        self._stream: Stream = "stdout"
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[Stream, bytes]]:
        """What *data* completes; long frames come in parts. Raises EngineUnreachable when it is no such stream."""
        found: list[tuple[Stream, bytes]] = []
        data = self._buffer + data if self._buffer else data
        self._buffer = b""
        while data:
            if self._left:
                part = data[: self._left]
                data = data[len(part) :]
                self._left -= len(part)
                found.append((self._stream, part))
                continue
            if len(data) < 8:
                self._buffer = data
                break
            kind, zero, size = data[0], data[1:4], int.from_bytes(data[4:8])
            if kind > 2 or zero != b"\0\0\0" or size > MAX_FRAME:
                raise EngineUnreachable(f"the output stream is broken at {data[:8]!r}")
            self._stream = "stderr" if kind == 2 else "stdout"
            self._left = size
            data = data[8:]
        return found


class PlainOutput:
    """A TTY's output: one stream, as it is."""

    def feed(self, data: bytes) -> list[tuple[Stream, bytes]]:
        return [("stdout", data)] if data else []


def splitter(content_type: str, *, tty: bool) -> Frames | PlainOutput:
    """How to take output apart: the engine's content type decides, else whether there is a TTY."""
    if content_type.startswith(MULTIPLEXED):
        return Frames()
    if content_type.startswith(RAW) and tty:
        return PlainOutput()
    return PlainOutput() if tty else Frames()


class Attached:
    """A process's streams on one connection: iterate for its output, write for its input."""

    def __init__(self, raw: RawStream, *, tty: bool) -> None:
        self.raw = raw
        self.tty = tty
        self.output = splitter(raw.head.headers.get("content-type", ""), tty=tty)

    def __iter__(self) -> Iterator[tuple[Stream, bytes]]:
        """(stream, bytes) until the process's output ends."""
        while data := self.raw.read():
            yield from self.output.feed(data)

    def write(self, data: bytes) -> None:
        self.raw.write(data)

    def close_stdin(self) -> None:
        self.raw.close_write()

    def close(self) -> None:
        """Detach."""
        self.raw.close()

    def __enter__(self) -> Attached:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class Output:
    """Output in an answer's body (logs): iterate for (stream, bytes); closing it stops following."""

    def __init__(self, answer: Answer, *, tty: bool) -> None:
        self._answer = answer
        self._output = splitter(answer.head.headers.get("content-type", ""), tty=tty)

    def __iter__(self) -> Iterator[tuple[Stream, bytes]]:
        with self._answer:
            for chunk in self._answer.chunks():
                yield from self._output.feed(chunk)

    def ticks(self, seconds: float) -> Iterator[tuple[Stream, bytes]]:
        """As iterating, and no bytes whenever nothing came for *seconds*."""
        with self._answer:
            for chunk in self._answer.chunks(seconds):
                if chunk:
                    yield from self._output.feed(chunk)
                else:
                    yield "stdout", b""

    def close(self) -> None:
        self._answer.close()

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def join(output: Iterable[tuple[Stream, bytes]]) -> tuple[bytes, bytes]:
    """All of *output*: (stdout, stderr)."""
    found: dict[Stream, list[bytes]] = {"stdout": [], "stderr": []}
    for stream, data in output:
        found[stream].append(data)
    return b"".join(found["stdout"]), b"".join(found["stderr"])
