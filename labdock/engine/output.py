"""A container's output as the API reads it: whole lines, with timestamps when asked for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from labdock.engine.views import show_time
from labdock.runtime import Stream
from labdock.runtime.logs import read_log


@dataclass(frozen=True, slots=True)
class LogSource:
    """``ended`` is set when the container has ended and its log is complete; None: it does not run now.

    # quirk: clients start a container and read its log at once, without following (docker-py's tests do it ten times).
    A start is answered when the program runs, so until ``fresh_until`` (ns since the epoch) such a reader waits for
    the container's end: what a short program says is then there.
    """

    tty: bool
    path: Path
    ended: asyncio.Event | None
    fresh_until: int = 0

    async def read(
        self,
        stdout: bool,
        stderr: bool,
        since_ns: int | None,
        until_ns: int | None,
        tail: int | None,
        follow: bool,
        timestamps: bool,
    ) -> AsyncIterator[tuple[Stream, bytes]]:
        """Line by line. Following ends with the container."""
        wanted = {"stdout": stdout, "stderr": stderr}
        ended = self.ended if follow else None
        left = self.fresh_until - time.time_ns()
        if self.ended is not None and not follow and left > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), left / 1e9)
        async for line in read_log(self.path, since=since_ns, until=until_ns, tail=tail, ended=ended):
            if wanted.get(line.stream, False):
                data = show_time(line.time).encode() + b" " + line.data if timestamps else line.data
                yield line.stream, data
