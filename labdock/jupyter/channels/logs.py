"""A container's log, line by line, at the browser's pace; goes on after an engine that was killed."""

from __future__ import annotations

import asyncio
from typing import Any

from labdock.client.caller import path
from labdock.client.streams import splitter
from labdock.errors import EngineUnreachable
from labdock.jupyter import presence
from labdock.jupyter.channels import Channel, Opened, text

#: Lines and bytes of one frame; bytes of a line that is still to end.
LINES, BYTES, LONGEST = 1000, 256 * 1024, 64 * 1024
TAIL = 5000
#: Seconds before each new attempt when the engine went away in the middle.
AGAIN = (0.0, 0.2, 1.0, 3.0)

Line = list[str]


class Lines:
    """Makes lines of a log's bytes, which come with their times; those that were seen are left out."""

    def __init__(self, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._rest: dict[str, bytes] = {}
        self.last = ""

    def feed(self, stream: str, data: bytes, seen: str) -> list[Line]:
        """The lines that *data* ends; *seen*: the time of the last one before this connection."""
        *whole, rest = (self._rest.pop(stream, b"") + data).split(b"\n")
        if len(rest) > LONGEST:
            whole, rest = [*whole, rest], b""
        if rest:
            self._rest[stream] = rest
        return [line for raw in whole if (line := self._line(stream, raw, seen)) is not None]

    def end(self, seen: str) -> list[Line]:
        """What had no end."""
        rest, self._rest = self._rest, {}
        return [line for stream, raw in rest.items() if (line := self._line(stream, raw, seen)) is not None]

    def _line(self, stream: str, raw: bytes, seen: str) -> Line | None:
        time, _, words = raw.decode("utf-8", "replace").partition(" ")
        if time <= seen:
            return None
        self.last = max(self.last, time)
        shown = [("err" if stream == "stderr" else "out"), words.removesuffix("\r")]
        return [*shown, time] if self._timestamps else shown


def pieces(lines: list[Line]) -> list[list[Line]]:
    """*lines* in frames that are not too big."""
    found: list[list[Line]] = []
    size = BYTES + 1
    for line in lines:
        length = len(line[1]) + 40
        if size + length > BYTES or len(found[-1]) >= LINES:
            found.append([])
            size = 0
        found[-1].append(line)
        size += length
    return found


async def follow_log(channel: Channel, frame: Opened) -> dict[str, Any] | None:
    """Kind ``logs``. Ends with the log, or with the container when it follows."""
    container = text(frame, "container")
    link = channel.desk.link
    follow = bool(frame.get("follow", True))
    tail = frame.get("tail", TAIL)
    tty = bool((await link.fetch(path("containers", container, "json")))["Config"].get("Tty"))
    lines = Lines(bool(frame.get("timestamps")))
    query: dict[str, object] = {
        "follow": follow,
        "stdout": True,
        "stderr": True,
        "timestamps": True,
        "tail": tail if isinstance(tail, int) and tail >= 0 else None,
        "since": frame.get("since"),
    }
    if tail == 0:
        query["tail"] = "0"
    failures = 0
    while True:
        seen = lines.last
        try:
            await _read(channel, container, query, tty, lines, seen)
            return None
        except EngineUnreachable:
            failures = 0 if lines.last > seen else failures + 1
            if not follow or failures >= len(AGAIN) or not presence.listens(link.path):
                raise
            await asyncio.sleep(AGAIN[failures])
        if lines.last:
            query |= {"since": lines.last, "tail": None}


async def _read(channel: Channel, container: str, query: dict[str, object], tty: bool, lines: Lines, seen: str) -> None:
    link = channel.desk.link
    async with await link.stream("GET", path("containers", container, "logs"), query) as reply:
        frames = splitter(reply.head.headers.get("content-type", ""), tty=tty)
        async for chunk in reply.chunks():
            found = [line for stream, data in frames.feed(chunk) for line in lines.feed(stream, data, seen)]
            for piece in pieces(found):
                await channel.data(lines=piece)
        for piece in pieces(lines.end(seen)):
            await channel.data(lines=piece)
