"""Reading a log: all of it or its last lines, between two times, and on as it grows."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import operator
import re
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol, TypeVar

from labdock.runtime import Stream
from labdock.runtime.logs.chain import Chain
from labdock.runtime.logs.format import PIECE, STREAMS, TEXT, LineJoiner, LogLine, Record, RecordParser
from labdock.runtime.logs.watch import FolderWatch

#: Read and parsed at once, between two turns of the event loop: about 2 ms.
_CHUNK = 64 * 1024
_WHOLE = re.compile(rb"[^\n]{35} (stdout|stderr) ([FP]) ([^\n]*\n)").findall
_STREAM_OF = operator.itemgetter(0)
_TEXT_OF = operator.itemgetter(2)
#: How much further a tail looks back for the beginning of its first lines.
_MARGIN = 256 * 1024

Plain = tuple[Stream, bytes]
T = TypeVar("T")


async def read_log(
    path: Path,
    *,
    since: int | None = None,
    until: int | None = None,
    tail: int | None = None,
    ended: asyncio.Event | None = None,
) -> AsyncGenerator[LogLine, None]:
    """The lines of the log at *path*; see :func:`read_batches`."""
    batches = read_batches(path, since=since, until=until, tail=tail, ended=ended)
    async with contextlib.aclosing(batches):
        async for batch in batches:
            for line in batch:
                yield line


async def read_batches(
    path: Path,
    *,
    since: int | None = None,
    until: int | None = None,
    tail: int | None = None,
    ended: asyncio.Event | None = None,
) -> AsyncGenerator[list[LogLine], None]:
    """The lines of the log at *path*, with the files it was rotated to, oldest first, in non-empty lists.

    *since* and *until* are times in ns since the epoch, both inclusive; *tail* is how many of the last lines
    (None: all). With *ended* the log is followed: new lines come as they are written, also after a rotation, until
    the event is set (the container's monitor has ended) and the last file was read to its end, or *until* has passed.
    A log that is not there yet is empty. The files may be appended to and renamed meanwhile, not truncated.
    """
    follower = _Follower(path, ended, until) if ended is not None else None
    batches = _read(_Reader(since, until), path, tail, follower)
    async with contextlib.aclosing(batches):
        async for batch in batches:
            yield batch
            del batch


async def read_plain(
    path: Path, *, tail: int | None = None, ended: asyncio.Event | None = None
) -> AsyncGenerator[list[Plain], None]:
    """As :func:`read_batches`, without the lines' times: several times as fast."""
    follower = _Follower(path, ended, None) if ended is not None else None
    batches = _read(_PlainReader(), path, tail, follower)
    async with contextlib.aclosing(batches):
        async for batch in batches:
            yield batch
            del batch


async def read_pieces(
    path: Path, *, limit: int | None = None, ended: asyncio.Event | None = None
) -> AsyncGenerator[list[Plain], None]:
    """The output itself as it was written, without waiting for the ends of lines (a prompt has none).

    *limit*: no more than what the log's first *limit* bytes tell (:func:`count_bytes` says how many there are).
    """
    follower = _Follower(path, ended, None) if ended is not None else None
    batches = _read(_PieceReader(limit), path, None, follower)
    async with contextlib.aclosing(batches):
        async for batch in batches:
            yield batch
            del batch


def count_bytes(path: Path) -> int:
    """The size of the log at *path*, with the files it was rotated to."""
    chain = Chain.open(path)
    if chain is None:
        return 0
    try:
        return chain.end()
    finally:
        chain.close()


async def _read(
    reader: _Lines[T], path: Path, tail: int | None, watch: _Follower | None
) -> AsyncGenerator[list[T], None]:
    chain: Chain | None = None
    try:
        last = watch is None
        while True:
            if watch is not None:
                # Before reading: what was written before the end is read after this.
                last = watch.over
                watch.rearm()
            if chain is None:
                chain = Chain.open(path)
                if chain is not None and tail is not None:
                    for batch in reader.tail(chain, tail):
                        yield batch
            while chain is not None:
                while batch := reader.read(chain):
                    yield batch
                    del batch
                    await asyncio.sleep(0)
                if watch is None or not chain.grow():
                    break
            if last or reader.done:
                break
            assert watch is not None
            await watch.changed()
        if batch := reader.finish():
            yield batch
    finally:
        if watch is not None:
            watch.close()
        if chain is not None:
            chain.close()


class _Lines(Protocol[T]):
    """What turns a log's bytes to lines."""

    @property
    def done(self) -> bool: ...

    def read(self, chain: Chain) -> list[T]: ...

    def tail(self, chain: Chain, count: int) -> list[list[T]]: ...

    def finish(self) -> list[T]: ...


class _Reader:
    """From the file's bytes to lines within the two times."""

    def __init__(self, since: int | None, until: int | None) -> None:
        self._since = since
        self._until = until
        self._parser = RecordParser()
        self._joiner = LineJoiner()
        self._rest = b""
        self.done = False

    def read(self, chain: Chain) -> list[LogLine]:
        """The next lines; empty only when the file has no more now."""
        while not self.done:
            data = chain.read(_CHUNK)
            if not data:
                return []
            if lines := self.take(data):
                return lines
        return []

    def take(self, data: bytes) -> list[LogLine]:
        """The lines that *data* completes."""
        return self._select(self._joiner.feed(self._records(data)))

    def give(self) -> tuple[bytes, dict[Stream, bytes]]:
        """What of the file's last line was read, and the lines that have begun, for who goes on with them."""
        return self._rest, {line.stream: line.data for line in self._joiner.finish()}

    def _records(self, data: bytes) -> list[Record]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        parse = self._parser.parse
        return [record for record in map(parse, whole) if record is not None]

    def _select(self, lines: list[LogLine]) -> list[LogLine]:
        since, until = self._since, self._until
        if since is not None:
            lines = [line for line in lines if line.time >= since]
        if until is not None:
            if lines and lines[-1].time > until:
                # One writer, one clock: nothing later is earlier.
                self.done = True
            lines = [line for line in lines if line.time <= until]
        return lines

    def finish(self) -> list[LogLine]:
        return self._select(self._joiner.finish())

    def tail(self, chain: Chain, count: int) -> list[list[LogLine]]:
        """The last *count* lines that are there now; the file is then read on from here."""
        end = chain.end()
        if count <= 0:
            return []
        position, block, ends = end, b"", 0
        blocks: list[bytes] = []
        margin = _MARGIN
        # A line of either stream may begin before the block in which enough lines end: hence the margin.
        while position > 0 and (ends <= count or margin > 0):
            step = min(_CHUNK, position)
            position -= step
            block = _read_at(chain, position, step)
            if ends > count:
                margin -= step
            ends += block.count(b"\n") - block.count(b" P ")
            blocks.append(block)
        chain.seek(end)
        data = b"".join(reversed(blocks))
        if position > 0:
            data = data[data.index(b"\n") + 1 :]
        joined = self._joiner.feed(self._records(data))
        # A line that has no end yet is one of the last, and comes later.
        count -= self._joiner.pending
        if count <= 0:
            return []
        return [lines] if (lines := self._select(joined[-count:])) else []


class _PlainReader:
    """Without times: one pattern takes a whole chunk apart."""

    def __init__(self) -> None:
        self._parser = RecordParser()
        self._rest = b""
        self._parts: dict[Stream, bytes] = {}
        self.done = False

    def read(self, chain: Chain) -> list[Plain]:
        while data := chain.read(_CHUNK):
            if lines := self._join(self._split(data)):
                return lines
        return []

    def _split(self, data: bytes) -> list[tuple[bytes, bytes, bytes]]:
        """The whole lines of *data*: stream, ``F`` or ``P``, and the text with its newline."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        found: list[tuple[bytes, bytes, bytes]] = _WHOLE(data, 0, end)
        if sum(map(len, map(_TEXT_OF, found))) + len(found) * TEXT == end:
            return found
        # A torn line is among them: they are looked at one by one.
        found = []
        for line in data[:end].split(b"\n")[:-1]:
            if self._parser.parse(line) is not None:
                found.append((line[36:42], line[43:44], line[TEXT:] + b"\n"))
        return found

    def _join(self, found: list[tuple[bytes, bytes, bytes]]) -> list[Plain]:
        lines: list[Plain] = []
        parts = self._parts
        for name, flag, text in found:
            stream = STREAMS[name]
            if flag == b"F":
                lines.append((stream, parts.pop(stream) + text if stream in parts else text))
                continue
            part = parts.pop(stream, b"") + text[:-1]
            if len(part) >= PIECE:
                lines.append((stream, part))
            else:
                parts[stream] = part
        return lines

    def tail(self, chain: Chain, count: int) -> list[list[Plain]]:
        slow = _Reader(None, None)
        found = [[(line.stream, line.data) for line in lines] for lines in slow.tail(chain, count)]
        self._rest, self._parts = slow.give()
        return found

    def finish(self) -> list[Plain]:
        left = [(stream, text) for stream, text in self._parts.items()]
        self._parts = {}
        return left


class _PieceReader(_PlainReader):
    """Each record by itself, neighbours of one stream joined: what the program wrote, byte for byte."""

    def __init__(self, limit: int | None) -> None:
        super().__init__()
        self._left = limit

    def read(self, chain: Chain) -> list[Plain]:
        while not self.done:
            data = chain.read(_CHUNK if self._left is None else min(_CHUNK, self._left))
            if self._left is not None:
                self._left -= len(data)
                self.done = not self._left
            if not data:
                return []
            if pieces := self._join(self._split(data)):
                return pieces
        return []

    def _join(self, found: list[tuple[bytes, bytes, bytes]]) -> list[Plain]:
        pieces: list[Plain] = []
        for name, group in itertools.groupby(found, _STREAM_OF):
            data = b"".join(text if flag == b"F" else text[:-1] for _, flag, text in group)
            if data:
                pieces.append((STREAMS[name], data))
        return pieces


def _read_at(chain: Chain, position: int, size: int) -> bytes:
    """*size* bytes, across files."""
    chain.seek(position)
    parts = []
    while size and (part := chain.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class _Follower:
    """Wakes a reader: at a change of the log's folder, at the container's end, at the last time asked for."""

    def __init__(self, path: Path, ended: asyncio.Event, until: int | None) -> None:
        self._event = asyncio.Event()
        self._ended = ended
        self._until = until
        self._watch = FolderWatch.shared()
        self._number = self._watch.add(path.parent, self._event)
        self._end = asyncio.ensure_future(ended.wait())
        self._end.add_done_callback(lambda _: self._event.set())
        self._timer: asyncio.TimerHandle | None = None
        if until is not None:
            delay = max(0.0, (until - time.time_ns()) / 1e9)
            self._timer = asyncio.get_running_loop().call_later(delay, self._event.set)

    @property
    def over(self) -> bool:
        """Whether nothing more comes than what is written by now."""
        return self._ended.is_set() or (self._until is not None and time.time_ns() > self._until)

    def rearm(self) -> None:
        self._event.clear()

    async def changed(self) -> None:
        await self._event.wait()

    def close(self) -> None:
        self._watch.remove(self._number, self._event)
        self._end.cancel()
        if self._timer is not None:
            self._timer.cancel()
