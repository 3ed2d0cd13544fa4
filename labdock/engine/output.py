"""A container's output as the API reads it: whole lines, with timestamps when asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from labdock.engine.views import show_time
from labdock.runtime import Stream
from labdock.runtime.logs import read_log


@dataclass(frozen=True, slots=True)
class LogSource:
    """``ended`` is set when the container has ended and its log is complete; None: it does not run now."""

    tty: bool
    path: Path
    ended: asyncio.Event | None

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
        async for line in read_log(self.path, since=since_ns, until=until_ns, tail=tail, ended=ended):
            if wanted.get(line.stream, False):
                data = show_time(line.time).encode() + b" " + line.data if timestamps else line.data
                yield line.stream, data
