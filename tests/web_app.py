"""A web application as people write them (tornado: pages, fetch, uploads, cookies, event streams, WebSockets), and an
image with it. The file is also the program in the image, so it imports nothing of the tests at its top.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tornado import iostream, web, websocket

if TYPE_CHECKING:
    from tests.system.conftest import EngineUnderTest

IMAGE = "web-app"
PORT = 8000
PAGE = """<!doctype html><html><head><title>The application</title><link rel="stylesheet" href="style.css"></head>
<body><h1>The application</h1><a href="sub/deep">deep</a><pre id="result">...</pre><script src="app.js"></script></body>
</html>"""
STYLE = "h1 { color: rgb(1, 2, 3) }"
SCRIPT = """
const here = new URL('.', location.href);
const socketed = () => new Promise((resolve, reject) => {
  const socket = new WebSocket(new URL('socket', here).href.replace(/^http/, 'ws'));
  socket.onopen = () => socket.send('hello');
  socket.onmessage = event => { resolve(event.data); socket.close(); };
  socket.onerror = () => reject(new Error('no socket'));
});
const streamed = () => new Promise(resolve => {
  const source = new EventSource('events');
  const seen = [];
  source.onmessage = event => { seen.push(event.data); if (seen.length === 3) { source.close(); resolve(seen); } };
});
(async () => {
  const result = {};
  try {
    result.colour = getComputedStyle(document.querySelector('h1')).color;
    result.echo = await (await fetch('echo?a=%2F', { method: 'POST', body: 'said' })).json();
    result.uploaded = await (await fetch('upload', { method: 'PUT', body: new Uint8Array(20_000_000) })).json();
    const landed = await fetch('login', { method: 'POST' });
    result.landed = [landed.redirected, await landed.text()];
    result.socket = await socketed();
    result.events = await streamed();
    let cut = null;
    try {
      await (await fetch('broken', { signal: AbortSignal.timeout(15_000) })).text();
    } catch (error) { cut = error.name; }
    result.cut = cut;
  } catch (error) { result.error = String(error); }
  document.querySelector('#result').textContent = JSON.stringify(result);
})();
"""


class Page(web.RequestHandler):
    def get(self) -> None:
        self.finish(PAGE)


class Text(web.RequestHandler):
    def initialize(self, text: str, kind: str) -> None:
        self.set_header("Content-Type", kind)
        self._text = text

    def get(self) -> None:
        self.finish(self._text)


class Echo(web.RequestHandler):
    def post(self) -> None:
        self.finish({"query": self.request.query, "body": self.request.body.decode()})

    get = post


@web.stream_request_body
class Upload(web.RequestHandler):
    def prepare(self) -> None:
        self.request.connection.set_max_body_size(1 << 30)  # type: ignore[union-attr]
        self._count = 0

    def data_received(self, chunk: bytes) -> None:
        self._count += len(chunk)

    def put(self) -> None:
        self.finish({"bytes": self._count})


class Login(web.RequestHandler):
    def post(self) -> None:
        self.set_cookie("session", "s3", httponly=True)
        self.redirect("/who")


class Who(web.RequestHandler):
    def get(self) -> None:
        self.finish(f"session {self.get_cookie('session')}")


class Events(web.RequestHandler):
    """Three events; a fourth comes when the browser has gone, and /left says so then."""

    left = asyncio.Event()

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Set-Cookie", "_xsrf=stolen; Path=/")
        for number in range(3):
            self.write(f"data: {number}\n\n")
            await self.flush()
        await self.left.wait()

    def on_connection_close(self) -> None:
        self.left.set()


class Left(web.RequestHandler):
    async def get(self) -> None:
        await Events.left.wait()
        self.finish("left")


class Flood(web.RequestHandler):
    """As many bytes as are taken; /flooded says how many that were so far."""

    written = 0

    async def get(self) -> None:
        block = bytes(1 << 20)
        try:
            for _ in range(int(self.get_query_argument("blocks"))):
                self.write(block)
                await self.flush()
                Flood.written += 1
        except iostream.StreamClosedError:
            pass


class Flooded(web.RequestHandler):
    def get(self) -> None:
        self.finish(json.dumps(Flood.written))


class Broken(web.RequestHandler):
    async def get(self) -> None:
        self.set_header("Content-Length", "100")
        self.write("half")
        await self.flush()
        self.request.connection.stream.close()  # type: ignore[union-attr]


class Socket(websocket.WebSocketHandler):
    def on_message(self, message: str | bytes) -> None:
        if message == "end":
            self.close(4321, "as you say")
            return
        self.write_message(message if isinstance(message, bytes) else f"{message} back")


class Torrent(websocket.WebSocketHandler):
    """Says as much as is taken, a MiB at a time; /flooded counts that too."""

    def open(self) -> None:
        self._pouring = asyncio.ensure_future(self._pour())

    async def _pour(self) -> None:
        try:
            while True:
                await self.write_message(bytes(1 << 20), binary=True)
                Flood.written += 1
        except (websocket.WebSocketClosedError, iostream.StreamClosedError):
            pass


ROUTES: list[Any] = [
    ("/", Page),
    ("/sub/deep", Page),
    ("/style.css", Text, {"text": STYLE, "kind": "text/css"}),
    ("/app.js", Text, {"text": SCRIPT, "kind": "text/javascript"}),
    ("/echo", Echo),
    ("/upload", Upload),
    ("/login", Login),
    ("/who", Who),
    ("/events", Events),
    ("/left", Left),
    ("/flood", Flood),
    ("/flooded", Flooded),
    ("/broken", Broken),
    ("/socket", Socket),
    ("/torrent", Torrent),
]


async def main() -> None:
    web.Application(ROUTES).listen(PORT, "127.0.0.1", max_buffer_size=1 << 30)
    Path("/tmp/ready").touch()
    await asyncio.Event().wait()


def make_image(engine: EngineUnderTest, folder: Path) -> None:
    """The image `IMAGE`: a Python with tornado, and this file."""
    from tests import kernel_image

    with open(folder / "web-app.tar", "wb") as tar:
        kernel_image.write_tar(tar, ["tornado"])
    changes = [f"ENV PATH=/bin PYTHONPATH={kernel_image.SITE}", f"EXPOSE {PORT}"]
    engine.docker("import", *(w for c in changes for w in ("-c", c)), str(folder / "web-app.tar"), IMAGE)
    (folder / "web-app.tar").unlink()


def arguments(name: str = "app") -> list[str]:
    """Of ``docker run``: the application under *name*, on its loopback alone, with no port on the host."""
    program = ["python3", "/web_app.py"]
    return ["-d", "--name", name, "-v", f"{Path(__file__).resolve()}:/web_app.py:ro", IMAGE, *program]


def wait_ready(engine: EngineUnderTest, name: str = "app") -> None:
    code = "import os, time\nwhile not os.path.exists('/tmp/ready'): time.sleep(0.02)"
    engine.docker("exec", name, "python3", "-c", code)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
