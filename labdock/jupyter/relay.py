"""Unix sockets that lead to containers' ports, in a folder of this server's own: what HTTP clients connect to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from labdock.client.caller import path
from labdock.client.failures import restore
from labdock.jupyter import wire
from labdock.jupyter.engine import Link
from labdock.jupyter.wire import Reply

#: Ports with a socket at the same time; the one that was used least recently goes.
MOST = 64
BLOCK = 65_536

Port = tuple[str, int]


class Relay:
    """Nothing is made before the first port is asked for."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.folder: Path | None = None
        self._doors: OrderedDict[Port, Door] = OrderedDict()
        self._count = 0

    async def prepare(self, container: str, port: int) -> Path:
        """The socket that leads to TCP *port* of *container*, which was dialled: the next connection to it has it.

        Raises what the engine says (nothing listens there, no such container) and EngineUnreachable.
        """
        reply = await dial(self._link.path, container, port)
        door = self._doors.get((container, port))
        if door is None:
            try:
                door = await self._open(container, port)
            except BaseException:
                reply.close()
                raise
        self._doors.move_to_end((container, port))
        door.offer(reply)
        return door.path

    async def _open(self, container: str, port: int) -> Door:
        if self.folder is None:
            # 0700; short, since a socket's path holds 107 bytes.
            self.folder = Path(tempfile.mkdtemp(prefix="labdock-"))
        while len(self._doors) >= MOST:
            _, oldest = self._doors.popitem(last=False)
            oldest.close()
        self._count += 1
        door = Door(self._link.path, container, port, self.folder / str(self._count))
        self._doors[container, port] = door
        await door.open()
        return door

    def close(self) -> None:
        for door in self._doors.values():
            door.close()
        self._doors.clear()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


class Door:
    """One socket; each connection to it becomes one into the container."""

    def __init__(self, engine: Path, container: str, port: int, path: Path) -> None:
        self.path = path
        self._engine = engine
        self._port = (container, port)
        self._ready: list[Reply] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, str(self.path), limit=BLOCK)
        os.chmod(self.path, 0o600)

    def offer(self, reply: Reply) -> None:
        """A dialled connection for the next who comes."""
        self._ready.append(reply)
        while len(self._ready) > 8:
            self._ready.pop(0).close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer), name="labdock-relay")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(Exception):
                reply = self._ready.pop() if self._ready else await dial(self._engine, *self._port)
                async with reply:
                    writer.write(reply.early)
                    await _both(_pump(reader, reply.writer), _pump(reply.reader, writer))
        except asyncio.CancelledError:
            # Nobody waits for what is not gone yet.
            writer.transport.abort()
            raise
        finally:
            writer.close()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        for reply in self._ready:
            reply.close()
        self._ready.clear()
        self.path.unlink(missing_ok=True)


async def dial(engine: Path, container: str, port: int) -> Reply:
    """A connection to *port* inside *container*: its ``reader`` and ``writer``, after what came ``early``."""
    target = path("labdock", "containers", container, "ports", str(port))
    reply = await wire.send(engine, "POST", target, upgrade=True)
    if reply.status == 101:
        return reply
    async with reply:
        raise restore(reply.status, await reply.read())


async def _both(to: Coroutine[Any, Any, None], back: Coroutine[Any, Any, None]) -> None:
    """Until the container's side has ended; what a browser has no more to say is passed on as an end."""
    sending, receiving = asyncio.create_task(to), asyncio.create_task(back)
    try:
        await receiving
    finally:
        sending.cancel()
        receiving.cancel()
        await asyncio.gather(sending, receiving, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(BLOCK):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
