"""``{base_url}labdock/port/ID/PORT/…``: a container's web application in a browser's tab, with no port on the host.
Below ``labdock/port-absolute/`` instead it is told the whole address.

HTTP goes through :mod:`labdock.jupyter.upstream`, WebSockets through tornado's client; both are led to the relay's
sockets (:mod:`labdock.jupyter.relay`). jupyter-server-proxy answers both at one address and tells Jupyter's culling.
The application is served from Jupyter's own origin: its scripts can do what the page's user can. That is why nothing of
an image is served to a browser before its user has said that it is trusted.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server_proxy.handlers import ProxyHandler
from jupyter_server_proxy.unixsock import UnixResolver
from tornado import web
from tornado.http1connection import HTTP1Connection
from tornado.httpclient import HTTPRequest
from tornado.httputil import HTTPHeaders
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

from labdock.errors import Forbidden, LabdockError
from labdock.jupyter import access, borders, consent
from labdock.jupyter.desk import Desk
from labdock.jupyter.trust import Origin
from labdock.jupyter.upstream import LARGEST, Upstream

#: RFC 6455 §7.4.1.
FAILED = 1011
#: Bytes of one message of a WebSocket.
LONGEST = 16 << 20
PATTERN = r"labdock/port(?:-absolute)?/([A-Za-z0-9][A-Za-z0-9_.-]*)/([0-9]{1,5})(/.*|)"

#: What an application may know its prefix by.
FORWARDED = ("X-Forwarded-Context", "X-ProxyContextPath", "X-Forwarded-Prefix")
#: Names of cookies that applications set, by container and port; bounded.
Known = dict[tuple[str, str], set[str]]
MOST_COOKIES = 64
#: What no header's value may hold (RFC 9110 §5.5).
UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@web.stream_request_body
class PortHandler(ProxyHandler):  # type: ignore[misc]
    auth_resource = access.RESOURCE
    _upstream: Upstream | None = None
    _gone = False

    def __init__(self, *args: Any, desk: Desk, **kwargs: Any) -> None:
        self.desk = desk
        super().__init__(*args, **kwargs)

    async def prepare(self, *args: Any, **kwargs: Any) -> None:
        await super().prepare(*args, **kwargs)
        if self._finished:
            return
        # Forms of other sites don't reach it, as they don't reach Jupyter; its own check of forged requests is its own.
        if not JupyterHandler.check_origin(self):
            raise web.HTTPError(403)
        await access.authorise(self, "execute")
        container, port, place = self.path_args
        if not place:
            self.redirect(self.request.path + "/" + (f"?{self.request.query}" if self.request.query else ""))
            return
        self.absolute_url = self.request.path.startswith(f"{self.base_url}labdock/port-absolute/")
        self.proxy_base = f"labdock/port{'-absolute' if self.absolute_url else ''}/{container}/{port}"
        self._app = (container, port)
        await self.desk.link.ensure()
        if not await self._is_trusted(container, port):
            return
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            await self._connect()

    # --- trust ------------------------------------------------------------------------------------------------------

    async def _is_trusted(self, container: str, port: str) -> bool:
        """Whether to go on; a page is asked instead. Raises Forbidden for what is no page."""
        # A browser sends no token in this header by itself: who does so asks as a program, and runs no scripts.
        if self.token_authenticated and "Authorization" in self.request.headers:
            return True
        origin = await self.desk.trust.find(container)
        if self.desk.trust.has(origin.image):
            return True
        if self.request.method == "GET" and "Upgrade" not in self.request.headers and self._wants_page():
            self._ask(origin, port)
            return False
        name = origin.name or origin.image
        raise Forbidden(
            f"the image {name} is not trusted with this Jupyter server's address",
            hint=f"open {self.base_url}{self.proxy_base}/ in a browser: it asks once for each image",
        )

    def _wants_page(self) -> bool:
        # Browsers tell what a request is for; over plain HTTP they say it to localhost only.
        aim = self.request.headers.get("Sec-Fetch-Dest")
        return aim in ("document", "iframe", "frame") if aim else "text/html" in self.request.headers.get("Accept", "")

    def _ask(self, origin: Origin, port: str) -> None:
        onward = self.request.path + (f"?{self.request.query}" if self.request.query else "")
        action = f"{self.base_url}labdock/api/trust"
        self.set_status(403)
        self.set_header("Content-Security-Policy", consent.POLICY)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        xsrf = self.xsrf_token.decode()
        self.finish(consent.ask(origin, port, action=action, xsrf=xsrf, onward=onward))

    # --- HTTP -------------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        connection = self.request.connection
        if isinstance(connection, HTTP1Connection):
            connection.set_max_body_size(LARGEST)
        container, port = self._app
        door = await self.desk.relay.prepare(container, int(port))
        upstream = Upstream(f"what listens on port {port} of {container}")
        headers = self.proxy_request_headers()
        if not self.absolute_url:
            headers.update(
                dict.fromkeys(("X-Forwarded-Context", "X-ProxyContextPath", "X-Forwarded-Prefix"), self._prefix)
            )
        await upstream.open(door, str(self.request.method), self._target, headers)
        self._upstream = upstream
        if self._gone:
            upstream.close()

    async def data_received(self, chunk: bytes) -> None:
        if self._upstream is not None:
            await self._upstream.send(chunk)

    async def _pass(self, *_place: str) -> None:
        assert self._upstream is not None
        self._record_activity()
        try:
            await self._upstream.answer(self._head, self._part)
        except (LabdockError, StreamClosedError):
            if not self._headers_written and not self._gone:
                raise
            # Half an answer must not look like a whole one.
            self.request.connection.stream.close()
            return
        if not self._headers_written:
            await self._flush()
        self.finish()

    async def _head(self, status: int, reason: str, headers: HTTPHeaders) -> None:
        self._headers = HTTPHeaders()
        self.set_status(status, reason)
        for name, value in self._clean(headers).get_all():
            if name not in ("Transfer-Encoding", "Connection", "Keep-Alive", "Trailer") and not UNSAFE.search(value):
                self.add_header(name, value)
        # An event stream says that it is there before its first event.
        await self._flush()

    async def _part(self, part: bytes) -> None:
        self._record_activity()
        self.write(part)
        await self._flush()

    async def _flush(self) -> None:
        # quirk: jupyter-server-proxy's own flush gives nothing to wait for, and a slow browser is to be waited for.
        await JupyterHandler.flush(self)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._gone = True
        if self._upstream is not None:
            self._upstream.close()

    def on_finish(self) -> None:
        super().on_finish()
        if self._upstream is not None:
            self._upstream.close()

    @web.authenticated
    async def get(self, *args: Any, **kwargs: Any) -> Any:
        return await super().get(*args, **kwargs)

    async def http_get(self, *place: str) -> None:
        await self._pass()

    post = put = delete = head = patch = options = web.authenticated(_pass)

    # --- WebSockets -------------------------------------------------------------------------------------------------

    async def open(self, container: str, port: str, place: str) -> None:
        self._record_activity()
        try:
            door = await self.desk.relay.prepare(container, int(port))
            request = HTTPRequest(f"ws://localhost:{port}{self._target}", headers=self.proxy_request_headers())
            self.ws = await websocket_connect(
                request,
                compression_options={},
                max_message_size=LONGEST,
                subprotocols=self._requested_subprotocols,
                resolver=UnixResolver(str(door)),
            )
        except LabdockError as error:
            self.close(FAILED, error.message[:120])
        except Exception as error:
            self.log.info("no websocket to port %s of %s: %s", port, container, error)
            self.close(FAILED, f"port {port} takes no websocket here")
        else:
            self.desk.spawn(self._talk(self.ws))

    async def _talk(self, ws: WebSocketClientConnection) -> None:
        """What the application says, at the browser's pace; unlike jupyter-server-proxy, which keeps all that waits."""
        try:
            while (message := await ws.read_message()) is not None:
                self._record_activity()
                await self.write_message(message, binary=isinstance(message, bytes))
            self.close(ws.close_code, ws.close_reason)
        except (WebSocketClosedError, StreamClosedError):
            pass  # The browser has gone, and on_close has told the application.
        finally:
            if ws.protocol is not None and ws.protocol.stream is not None:
                ws.protocol.stream.close()

    def on_close(self) -> None:
        if hasattr(self, "ws"):
            self.ws.close(self.close_code, self.close_reason)

    async def on_message(self, message: str | bytes) -> None:
        self._record_activity()
        with contextlib.suppress(WebSocketClosedError, StreamClosedError):
            await self.ws.write_message(message, binary=isinstance(message, bytes))

    # --- what passes ------------------------------------------------------------------------------------------------

    @property
    def _prefix(self) -> str:
        return f"{self.base_url}{self.proxy_base}"

    @property
    def _target(self) -> str:
        # As the browser wrote it: unquoting and quoting again would change what %2F means.
        place = self.request.path if self.absolute_url else self.request.path.removeprefix(self._prefix) or "/"
        query = borders.strip_query(self.request.query, self._is_our_token)
        return place + (f"?{query}" if query else "")

    def _is_our_token(self, value: str) -> bool:
        return bool(self.token_authenticated) or value == self.token

    def proxy_request_headers(self) -> HTTPHeaders:
        headers: HTTPHeaders = self.request.headers.copy()
        known = self.desk.cookies.get(self._app, set())
        for name in (*borders.PRIVATE, *(name for name in headers if name.startswith("X-Jupyter"))):
            headers.pop(name, None)
        if cookies := borders.keep_cookies("; ".join(headers.get_list("Cookie")), known):
            headers["Cookie"] = cookies
        else:
            headers.pop("Cookie", None)
        if self.token_authenticated or headers.get("Authorization", "").lower().startswith("token"):
            headers.pop("Authorization", None)
        if referer := borders.strip_referer(headers.pop("Referer", ""), self._prefix):
            headers["Referer"] = referer
        return headers

    def _clean(self, headers: HTTPHeaders) -> HTTPHeaders:
        """An answer's headers as the browser may have them."""
        port = self._app[1]
        hosts = {self.request.host, f"localhost:{port}", f"127.0.0.1:{port}", "localhost", "127.0.0.1"}
        found = HTTPHeaders()
        known = self.desk.cookies.setdefault(self._app, set())
        for name, value in headers.get_all():
            if name in borders.REACHING:
                continue
            if name == "Location":
                value = borders.rewrite_location(value, self._prefix, hosts)
            if name == "Set-Cookie":
                cookie = borders.rewrite_cookie(value, self._prefix)
                if cookie is None or (cookie[0] not in known and len(known) >= MOST_COOKIES):
                    continue
                known.add(cookie[0])
                value = cookie[1]
            found.add(name, value)
        return found

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if not isinstance(error, LabdockError):
            super().write_error(status_code, **kwargs)
            return
        self.clear()
        # What is not there, or not trusted, is said as such; all else is between this server and the container.
        self.set_status(error.status if error.status in (403, 404) else 502)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(error.explain() + "\n")

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, LabdockError | StreamClosedError):
            super().log_exception(typ, value, tb)
