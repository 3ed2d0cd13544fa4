"""A served engine and a client that speaks HTTP by hand, so that tests see every byte and every half-close."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from labdock.api import make_application
from labdock.api.streams.wires import WIRES, Wires

from .fake import FakeEngine


@dataclass
class Reply:
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes = b""

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def lines(self) -> list[Any]:
        return [msgspec.json.decode(line) for line in self.body.splitlines() if line]


@dataclass
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sent: list[str] = field(default_factory=list)

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, version: str = "1.1"
    ) -> None:
        """*body*: bytes as they are, anything else as JSON."""
        data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        fields = {"Host": "docker", "Content-Length": str(len(data)), **(headers or {})}
        if fields.get("Transfer-Encoding") == "chunked":
            del fields["Content-Length"]
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"{method} {path} HTTP/{version}\r\n{head}\r\n".encode() + data)

    async def head(self) -> Reply:
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *rest = text.rstrip().split("\r\n")
        _, status, reason = first.split(" ", 2)
        return Reply(int(status), reason, {k.lower(): v for k, v in (line.split(": ", 1) for line in rest)})

    async def chunk(self) -> bytes:
        """One chunk; b"" for the last."""
        size = int((await self.reader.readline()).strip(), 16)
        data = await self.reader.readexactly(size)
        assert await self.reader.readexactly(2) == b"\r\n"
        return data

    async def reply(self) -> Reply:
        found = await self.head()
        if found.headers.get("transfer-encoding") == "chunked":
            while piece := await self.chunk():
                found.body += piece
        elif "content-length" in found.headers:
            found.body = await self.reader.readexactly(int(found.headers["content-length"]))
        elif found.status not in (204, 304):
            found.body = await self.reader.read()
        return found

    async def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        self.send(method, path, body, headers)
        if method == "HEAD":
            return await self.head()
        return await self.reply()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@dataclass
class Served:
    engine: FakeEngine
    socket: Path
    wires: Wires

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        client = Client(*await asyncio.open_unix_connection(str(self.socket), limit=1 << 22))
        try:
            yield client
        finally:
            await client.close()

    async def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        async with self.connect() as client:
            return await client.ask(method, path, body, headers)

    async def run(self, command: str, *, tty: bool = False, name: str = "web") -> str:
        """Create and start; the id."""
        made = await self.ask(
            "POST", f"/containers/create?name={name}", {"Image": "busybox", "Cmd": command.split(), "Tty": tty}
        )
        assert made.status == 201, made.body
        assert (await self.ask("POST", f"/containers/{name}/start")).status == 204
        found: str = made.json()["Id"]
        return found


@contextlib.asynccontextmanager
async def serve() -> AsyncIterator[Served]:
    """The application over a fake engine on a socket; everything must be over at the end."""
    async with asyncio.timeout(20):
        engine = FakeEngine()
        application = make_application(engine)
        runner = web.AppRunner(application, shutdown_timeout=2)
        await runner.setup()
        with tempfile.TemporaryDirectory() as folder:
            socket = Path(folder) / "docker.sock"
            await web.UnixSite(runner, str(socket)).start()
            served = Served(engine, socket, application[WIRES])
            try:
                yield served
            finally:
                await engine.close()
                await runner.cleanup()
        assert len(served.wires) == 0


async def until(condition: Any) -> None:
    """Wait until *condition()* is true (the harness's deadline bounds it)."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)
