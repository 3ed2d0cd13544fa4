"""A container's output as the API reads it: whole lines, with timestamps when asked for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from labdock.engine.slack import Slack
from labdock.engine.views import show_time
from labdock.runtime import Stream
from labdock.runtime.logs import count_bytes, read_batches, read_pieces, read_plain

#: How long a time before a line is, with its space.
_TIME = len("2006-01-02T15:04:05.999999999Z ")

_readers = Slack()


@dataclass(frozen=True, slots=True)
class LogSource:
    """``ended`` is set when the container has ended and its log is complete; None: it does not run now.

    # quirk: clients start a container and read its log at once, without following (docker-py's tests do it ten times).
    A start is answered when the program runs, so until ``fresh_until`` (ns since the epoch) such a reader waits for
    the container's end: what a short program says is then there.

    ``details`` is what ``--details`` puts before each line.
    """

    tty: bool
    path: Path
    ended: asyncio.Event | None
    fresh_until: int = 0
    details: str = ""

    async def read(
        self,
        stdout: bool,
        stderr: bool,
        since_ns: int | None,
        until_ns: int | None,
        tail: int | None,
        follow: bool,
        timestamps: bool,
        details: bool = False,
    ) -> AsyncGenerator[list[tuple[Stream, bytes]], None]:
        """Lines, in batches. Following ends with the container."""
        ended = self.ended if follow else None
        left = self.fresh_until - time.time_ns()
        if self.ended is not None and not follow and left > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), left / 1e9)
        wanted = frozenset(name for name, given in (("stdout", stdout), ("stderr", stderr)) if given)
        prefix = f"{self.details} ".encode() if details else b""
        plain: AsyncGenerator[list[tuple[Stream, bytes]], None]
        if since_ns is None and until_ns is None and not timestamps:
            plain = read_plain(self.path, tail=tail, ended=ended)
        else:
            plain = self._read_timed(since_ns, until_ns, tail, ended, timestamps)
        with _readers.reader():
            async with contextlib.aclosing(plain):
                async for batch in plain:
                    if prefix and not timestamps:
                        batch = [(stream, prefix + data) for stream, data in batch]
                    elif prefix:
                        batch = [(stream, data[:_TIME] + prefix + data[_TIME:]) for stream, data in batch]
                    if len(wanted) < 2:
                        batch = [piece for piece in batch if piece[0] in wanted]
                    if batch:
                        yield batch
                    # A follower waits here for hours: it holds nothing of what it has handed on.
                    del batch

    def pieces(self, stdout: bool, stderr: bool, follow: bool) -> AsyncGenerator[list[tuple[Stream, bytes]], None]:
        """The output as it was written until now; following, on until the container's end."""
        limit = None if follow else count_bytes(self.path)
        return self._read_pieces(stdout, stderr, limit, self.ended if follow else None)

    async def _read_pieces(
        self, stdout: bool, stderr: bool, limit: int | None, ended: asyncio.Event | None
    ) -> AsyncGenerator[list[tuple[Stream, bytes]], None]:
        wanted = frozenset(name for name, given in (("stdout", stdout), ("stderr", stderr)) if given)
        found = read_pieces(self.path, limit=limit, ended=ended)
        with _readers.reader():
            async with contextlib.aclosing(found):
                async for batch in found:
                    if batch := [piece for piece in batch if piece[0] in wanted]:
                        yield batch
                    del batch

    async def _read_timed(
        self, since: int | None, until: int | None, tail: int | None, ended: asyncio.Event | None, timestamps: bool
    ) -> AsyncGenerator[list[tuple[Stream, bytes]], None]:
        found = read_batches(self.path, since=since, until=until, tail=tail, ended=ended)
        async with contextlib.aclosing(found):
            async for batch in found:
                if timestamps:
                    yield [(stream, show_time(at).encode() + b" " + data) for stream, at, data in batch]
                else:
                    yield [(stream, data) for stream, _, data in batch]
                del batch
