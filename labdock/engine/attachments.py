"""Attaching: a session may begin before its container does, and never outlives what it is attached to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from labdock.errors import Conflict
from labdock.runtime import Attachment, Stream


@dataclass(slots=True, eq=False)
class Session:
    """One client's streams. ``read`` and ``write`` wait until the container's program is there.

    ``logged`` is output from the log that goes first; with ``log_only`` all output comes from there, also what is
    written meanwhile, so that none is lost between the two. ``keeps_stdin``: the program's stdin outlives this session,
    as Docker has it for containers without ``StdinOnce``.
    """

    tty: bool
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    keeps_stdin: bool = False
    logged: AsyncGenerator[list[tuple[Stream, bytes]], None] | None = None
    log_only: bool = False
    _pieces: deque[tuple[Stream, bytes]] = field(default_factory=deque)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _attachment: Attachment | None = None
    _ended: asyncio.Event | None = None
    _closed: bool = False
    _stdin_ended: bool = False

    @property
    def streams(self) -> Session:
        """The streams themselves: this session is both."""
        return self

    async def bind(self, attachment: Attachment, ended: asyncio.Event | None = None) -> None:
        """The program's streams are there. *ended*: the last read waits for it, so that whoever saw the end of the
        output finds the container ended.
        """
        if self._closed:
            await attachment.close()
            return
        self._attachment, self._ended = attachment, ended
        self._ready.set()
        if self._stdin_ended:
            await attachment.close_stdin()

    def end(self) -> None:
        """There will be no (further) program: readers see the end."""
        self._closed = True
        self._ready.set()

    async def read(self) -> tuple[Stream, bytes] | None:
        """The next (stream, bytes); None at the end."""
        while not self._pieces and self.logged is not None:
            try:
                self._pieces.extend(await anext(self.logged))
            except StopAsyncIteration:
                self.logged = None
        if self._pieces:
            return self._pieces.popleft()
        if self.log_only:
            return None
        await self._ready.wait()
        if self._attachment is None:
            return None
        piece = await self._attachment.read()
        if piece is None and self._ended is not None:
            await self._ended.wait()
        return piece

    async def write(self, data: bytes) -> None:
        """To the program's stdin. Conflict when the container was created without ``OpenStdin``."""
        if not self.stdin:
            raise Conflict("this session has no stdin", hint="run the container with -i")
        await self._ready.wait()
        if self._attachment is None:
            raise BrokenPipeError("the container did not start")
        await self._attachment.write(data)

    async def close_stdin(self) -> None:
        """This session writes no more; the program's stdin ends, unless it is to outlive the session."""
        if self.keeps_stdin:
            return
        self._stdin_ended = True
        if self._attachment is not None:
            await self._attachment.close_stdin()

    async def close(self) -> None:
        """Let go. Safe to call twice."""
        self._closed = True
        self._ready.set()
        if self.logged is not None:
            await self.logged.aclose()
        if self._attachment is not None:
            await self._attachment.close()
