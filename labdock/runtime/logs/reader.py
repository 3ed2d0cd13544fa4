"""Reading a log: all of it or its last lines, between two times, and on as it grows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO

from labdock.runtime.logs.format import LineJoiner, LogLine, Record, RecordParser
from labdock.runtime.logs.watch import FolderWatch

#: Read and parsed at once, between two turns of the event loop: about 2 ms.
_CHUNK = 64 * 1024
#: How much further a tail looks back for the beginning of its first lines.
_MARGIN = 256 * 1024


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
    """The lines of the log at *path*, oldest first, in non-empty lists.

    *since* and *until* are times in ns since the epoch, both inclusive; *tail* is how many of the last lines
    (None: all). With *ended* the log is followed: new lines come as they are written, until the event is
    set (the container's monitor has ended) and the file was read to its end, or *until* has passed. A log that
    is not there yet is empty. The file may be appended to meanwhile, not truncated.
    """
    reader = _Reader(since, until)
    watch = _Follower(path, ended, until) if ended is not None else None
    file: BinaryIO | None = None
    try:
        last = ended is None
        while True:
            if ended is not None:
                # Before reading: what was written before the end is read after this.
                last = ended.is_set() or (watch is not None and watch.late)
            if watch is not None:
                watch.rearm()
            if file is None:
                file = _open(path)
                if file is not None and tail is not None:
                    for batch in reader.tail(file, tail):
                        yield batch
            if file is not None:
                while lines := reader.read(file):
                    yield lines
                    await asyncio.sleep(0)
            if last or reader.done:
                break
            assert watch is not None
            await watch.changed()
        if lines := reader.finish():
            yield lines
    finally:
        if watch is not None:
            watch.close()
        if file is not None:
            file.close()


def _open(path: Path) -> BinaryIO | None:
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        return None


class _Reader:
    """From the file's bytes to lines within the two times."""

    def __init__(self, since: int | None, until: int | None) -> None:
        self._since = since
        self._until = until
        self._parser = RecordParser()
        self._joiner = LineJoiner()
        self._rest = b""
        self.done = False

    def read(self, file: BinaryIO) -> list[LogLine]:
        """The next lines; empty only when the file has no more now."""
        while not self.done:
            data = file.read(_CHUNK)
            if not data:
                return []
            lines = self._select(self._joiner.feed(self._records(data)))
            if lines:
                return lines
        return []

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

    def tail(self, file: BinaryIO, count: int) -> list[list[LogLine]]:
        """The last *count* lines that are there now; the file is then read on from here."""
        end = file.seek(0, os.SEEK_END)
        if count <= 0:
            return []
        position, block, ends = end, b"", 0
        blocks: list[bytes] = []
        margin = _MARGIN
        # A line of either stream may begin before the block in which enough lines end: hence the margin.
        while position > 0 and (ends <= count or margin > 0):
            step = min(_CHUNK, position)
            position -= step
            file.seek(position)
            block = file.read(step)
            if ends > count:
                margin -= step
            ends += block.count(b"\n") - block.count(b" P ")
            blocks.append(block)
        file.seek(end)
        data = b"".join(reversed(blocks))
        if position > 0:
            data = data[data.index(b"\n") + 1 :]
        joined = self._joiner.feed(self._records(data))
        # A line that has no end yet is one of the last, and comes later.
        count -= self._joiner.pending
        if count <= 0:
            return []
        return [lines] if (lines := self._select(joined[-count:])) else []


class _Follower:
    """Wakes a reader: at a change of the log's folder, at the container's end, at the last time asked for."""

    def __init__(self, path: Path, ended: asyncio.Event, until: int | None) -> None:
        self._event = asyncio.Event()
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
    def late(self) -> bool:
        return self._until is not None and time.time_ns() > self._until

    def rearm(self) -> None:
        self._event.clear()

    async def changed(self) -> None:
        await self._event.wait()

    def close(self) -> None:
        self._watch.remove(self._number, self._event)
        self._end.cancel()
        if self._timer is not None:
            self._timer.cancel()
