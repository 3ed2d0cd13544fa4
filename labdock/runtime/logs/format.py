"""The log format: ``2006-01-02T15:04:05.999999999+01:00 stdout F text``. Pure: bytes in, lines out.

``F`` ends a line, ``P`` is a part of one (the container wrote no newline yet, or more than the monitor reads at
once). Source: "CRI: Log management for container stdout/stderr streams" (Kubernetes design proposals).
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable
from typing import NamedTuple

from labdock.runtime import Stream

#: A line without an end is given out in pieces of about this many bytes, as Docker does.
PIECE = 16 * 1024

_TIME = 35
#: How many bytes come before a line's text.
TEXT = _TIME + len(" stdout F ")
STREAMS: dict[bytes, Stream] = {b"stdout": "stdout", b"stderr": "stderr"}


class LogLine(NamedTuple):
    """``time`` in ns since the epoch; ``data`` with its newline, without one only for a piece or an unended line."""

    stream: Stream
    time: int
    data: bytes


class Record(NamedTuple):
    """One line of the file."""

    stream: Stream
    time: int
    partial: bool
    text: bytes


class RecordParser:
    """Parses lines of the file, fast: the seconds are computed once for all lines that share them."""

    def __init__(self) -> None:
        self._prefix = b""
        self._zone = b""
        self._seconds = 0

    def parse(self, line: bytes) -> Record | None:
        """*line* without its newline; None for one that is none of ours (a torn write)."""
        stream = STREAMS.get(line[36:42])
        if stream is None or len(line) < TEXT:
            return None
        prefix, zone = line[:19], line[29:35]
        if prefix != self._prefix or zone != self._zone:
            try:
                self._seconds = _seconds(prefix, zone)
            except ValueError:
                return None
            self._prefix, self._zone = prefix, zone
        try:
            when = self._seconds + int(line[20:29])
        except ValueError:
            return None
        return Record(stream, when, line[43:44] == b"P", line[TEXT:])


def _seconds(prefix: bytes, zone: bytes) -> int:
    """``2006-01-02T15:04:05`` in *zone* (``+01:00``), in ns since the epoch. Raises ValueError."""
    local = calendar.timegm(time.strptime(prefix.decode("ascii"), "%Y-%m-%dT%H:%M:%S"))
    offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
    return (local - offset if zone[:1] == b"+" else local + offset) * 1_000_000_000


class LineJoiner:
    """Joins parts to lines, each stream for itself. A line's time is that of its first part."""

    def __init__(self) -> None:
        self._parts: dict[Stream, tuple[int, list[bytes], int]] = {}

    def feed(self, records: Iterable[Record]) -> list[LogLine]:
        lines = []
        parts = self._parts
        for stream, when, partial, text in records:
            pending = parts.get(stream)
            if pending is None and not partial:
                lines.append(LogLine(stream, when, text + b"\n"))
                continue
            first, texts, size = pending or (when, [], 0)
            texts.append(text)
            size += len(text)
            if not partial:
                del parts[stream]
                lines.append(LogLine(stream, first, b"".join(texts) + b"\n"))
            elif size >= PIECE:
                del parts[stream]
                lines.append(LogLine(stream, first, b"".join(texts)))
            else:
                parts[stream] = (first, texts, size)
        return lines

    @property
    def pending(self) -> int:
        """How many lines have begun and not ended."""
        return len(self._parts)

    def finish(self) -> list[LogLine]:
        """What has no end of line, oldest first: the container has ended."""
        left = [LogLine(stream, first, b"".join(texts)) for stream, (first, texts, _) in self._parts.items()]
        self._parts.clear()
        return sorted(left, key=lambda line: line.time)
