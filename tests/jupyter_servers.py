"""A Jupyter server in this process, with labdock's extension, and browsers that are tornado's clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlencode

from jupyter_core.utils import ensure_async
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets
from tornado.websocket import WebSocketClientConnection, websocket_connect
from traitlets.config import Config

from labdock.jupyter.desk import Desk

TOKEN = "the-token-of-this-test"
DEADLINE = 30.0

Frame = dict[str, Any]


class Page:
    """A websocket as a browser has it; frames are kept in the order of their coming."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection = connection
        self.frames: list[Frame] = []
        self._reading: asyncio.Future[Any] | None = None
        self._ended = False

    def _read(self) -> asyncio.Future[Any]:
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._connection.read_message())
        return self._reading

    async def receive(self) -> Any:
        """The JSON of the next message."""
        return json.loads(await self.read_text())

    async def read_text(self) -> str:
        """The next message. Raises EOFError with the reason when the websocket was closed."""
        async with asyncio.timeout(DEADLINE):
            message = await asyncio.shield(self._read())
        self._reading = None
        if message is None:
            self._ended = True
            raise EOFError(f"{self._connection.close_code} {self._connection.close_reason}")
        return str(message)

    async def send_text(self, text: str) -> None:
        await self._connection.write_message(text)

    async def send(self, value: Any) -> None:
        await self._connection.write_message(json.dumps(value))

    async def next(self) -> Frame:
        frame: Frame = await self.receive()
        self.frames.append(frame)
        return frame

    async def until(self, wanted: Callable[[Frame], object]) -> Frame:
        """The first frame from here on that is *wanted*."""
        async with asyncio.timeout(DEADLINE):
            while not wanted(frame := await self.next()):
                pass
        return frame

    async def until_type(self, kind: str, /, **members: Any) -> Frame:
        return await self.until(lambda f: f["type"] == kind and all(f.get(k) == v for k, v in members.items()))

    async def is_silent(self, seconds: float) -> bool:
        """Whether nothing comes for *seconds*."""
        done, _ = await asyncio.wait((self._read(),), timeout=seconds)
        return not done

    async def say(self, **frame: Any) -> None:
        await self.send(frame)

    async def gather(self, channel: int) -> tuple[list[Frame], Frame]:
        """All data frames of *channel*, each acknowledged, and its end."""
        found: list[Frame] = []
        while True:
            frame = await self.until(lambda f: f.get("channel") == channel)
            if frame["type"] == "end":
                return found, frame
            found.append(frame)
            await self.say(op="ack", channel=channel)

    async def close(self) -> None:
        self._connection.close()
        with contextlib.suppress(EOFError):
            while not self._ended:
                await self.read_text()


class Server:
    """``url`` ends with the base URL's slash."""

    def __init__(self, app: ServerApp, port: int, base: str) -> None:
        self.app = app
        self.host = f"127.0.0.1:{port}"
        self.base = base
        self.desk: Desk = app.web_app.settings["labdock_desk"]
        self._client = AsyncHTTPClient(force_instance=True)
        self._pages: list[Page] = []
        self._streams: list[IOStream] = []

    async def ask(
        self,
        path: str,
        method: str = "GET",
        body: Any = None,
        *,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
        base: str | None = None,
        **options: Any,
    ) -> HTTPResponse:
        """*path* is below the base URL; *body*: bytes, or what is sent as JSON."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"token {token}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        request = HTTPRequest(
            f"http://{self.host}{self.base if base is None else base}{path}",
            method=method,
            headers=sent,
            body=body,
            allow_nonstandard_methods=True,
            follow_redirects=False,
            request_timeout=DEADLINE,
            **options,
        )
        return await self._client.fetch(request, raise_error=False)

    async def listen(self, path: str, **headers: str) -> IOStream:
        """A connection on which *path* was asked for: the answer's bytes, to read or not."""
        stream = IOStream(socket.socket())
        await stream.connect((self.host.partition(":")[0], int(self.host.partition(":")[2])))
        lines = {"Host": self.host, "Authorization": f"token {TOKEN}", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        await stream.write(f"GET {self.base}{path} HTTP/1.1\r\n{head}\r\n".encode())
        self._streams.append(stream)
        return stream

    async def log_in(self, token: str = TOKEN) -> str:
        """The cookies of a browser that came with the token in its address."""
        found = await self.ask(f"?token={token}", token=None)
        return "; ".join(each.partition(";")[0] for each in found.headers.get_list("Set-Cookie"))

    async def post_form(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> HTTPResponse:
        """As a browser sends a form."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.ask(path, "POST", urlencode(fields).encode(), token=None, headers={**headers, **kind})

    async def open(
        self, token: str | None = TOKEN, headers: Mapping[str, str] | None = None, path: str = "labdock/api/live"
    ) -> Page:
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"token {token}"
        request = HTTPRequest(f"ws://{self.host}{self.base}{path}", headers=sent, request_timeout=DEADLINE)
        page = Page(await websocket_connect(request))
        self._pages.append(page)
        return page

    async def close(self) -> None:
        for page in self._pages:
            await page.close()
        for stream in self._streams:
            stream.close()
        self._client.close()


@asynccontextmanager
async def serve(
    environment: Mapping[str, str],
    *,
    base: str = "/",
    root: Path | None = None,
    strict: bool = False,
    **settings: Any,
) -> AsyncIterator[Server]:
    """A server whose engine is the one of *environment*, with settings and folders of its own.

    *strict*: every handler must say who may; Jupyter's own terminals, whose don't, are left out then.
    """
    with tempfile.TemporaryDirectory(prefix="ldj-", dir="/tmp") as folder:
        own = {f"JUPYTER_{name}_DIR": f"{folder}/{name.lower()}" for name in ("CONFIG", "DATA", "RUNTIME")}
        with mock.patch.dict(os.environ, {**environment, **own, "JUPYTER_NO_CONFIG": "1"}):
            config = Config()
            config.ServerApp.update(
                jpserver_extensions={"labdock": True, "jupyter_server_terminals": not strict},
                terminals_enabled=not strict,
                base_url=base,
                root_dir=str(root or folder),
                open_browser=False,
                allow_unauthenticated_access=not strict,
                reraise_server_extension_failures=True,
                log_level="WARN",
            )
            config.ServerApp.update(settings)
            config.IdentityProvider.token = TOKEN
            app = ServerApp(config=config)
            app.initialize(argv=[], new_httpserver=False)
            app.web_app.settings["ws_ping_interval"] = 0
            sockets = bind_sockets(0, "127.0.0.1")
            http = HTTPServer(app.web_app)
            http.add_sockets(sockets)
            server = Server(app, sockets[0].getsockname()[1], app.base_url)
            try:
                yield server
            finally:
                await server.close()
                http.stop()
                await http.close_all_connections()
                await app.web_app.settings["labdock_desk"].close()
                manager = app.web_app.settings.get("terminal_manager")
                if manager is not None:
                    await manager.terminate_all()
                await ensure_async(app.kernel_manager.shutdown_all())
                ServerApp.clear_instance()
