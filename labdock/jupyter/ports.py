"""``{base_url}labdock/port/ID/PORT/…``: a container's web application in a browser's tab, with no port on the host.

jupyter-server-proxy carries HTTP and WebSockets; here it is led to the relay's sockets (:mod:`labdock.jupyter.relay`).
The application is served from Jupyter's own origin, as everything that jupyter-server-proxy serves: its scripts can do
what the page's user can. That is why a port is opened by the user only, never by a card or a container.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server_proxy.handlers import ProxyHandler
from tornado import web
from tornado.httputil import HTTPHeaders

from labdock.errors import LabdockError
from labdock.jupyter import access, borders
from labdock.jupyter.desk import Desk

#: RFC 6455 §7.4.1.
FAILED = 1011
PATTERN = r"labdock/port/([A-Za-z0-9][A-Za-z0-9_.-]*)/([0-9]{1,5})(/.*|)"

#: Names of cookies that applications set, by container and port; bounded.
Known = dict[tuple[str, str], set[str]]
MOST_COOKIES = 64


class PortHandler(ProxyHandler):  # type: ignore[misc]
    auth_resource = access.RESOURCE

    def __init__(self, *args: Any, desk: Desk, **kwargs: Any) -> None:
        self.desk = desk
        super().__init__(*args, rewrite_response=lambda response: self._rewrite(response), **kwargs)

    async def prepare(self, *args: Any, **kwargs: Any) -> None:
        await super().prepare(*args, **kwargs)
        if self._finished:
            return
        # Forms of other sites don't reach it, as they don't reach Jupyter; its own check of forged requests is its own.
        if not JupyterHandler.check_origin(self):
            raise web.HTTPError(403)
        await access.authorise(self, "execute")

    async def serve(self, container: str, port: str, place: str) -> Any:
        if not place:
            self.redirect(self.request.path + "/" + (f"?{self.request.query}" if self.request.query else ""))
            return None
        await self._aim(container, port)
        try:
            return await self.proxy("localhost", int(port), place)
        except web.HTTPError as error:
            if error.status_code in (500, 599):
                raise Broken(f"what listens on port {port} of {container} gave no answer that is HTTP") from error
            raise

    async def _aim(self, container: str, port: str) -> None:
        self.proxy_base = f"labdock/port/{container}/{port}"
        self._app = (container, port)
        await self.desk.link.ensure()
        self.unix_socket = str(await self.desk.relay.prepare(container, int(port)))

    @web.authenticated
    async def get(self, *args: Any, **kwargs: Any) -> Any:
        return await super().get(*args, **kwargs)

    async def http_get(self, container: str, port: str, place: str) -> Any:
        return await self.serve(container, port, place)

    @web.authenticated
    async def post(self, container: str, port: str, place: str) -> Any:
        return await self.serve(container, port, place)

    @web.authenticated
    async def put(self, container: str, port: str, place: str) -> Any:
        return await self.serve(container, port, place)

    @web.authenticated
    async def delete(self, container: str, port: str, place: str) -> Any:
        return await self.serve(container, port, place)

    @web.authenticated
    async def head(self, container: str, port: str, place: str) -> Any:
        return await self.serve(container, port, place)

    @web.authenticated
    async def patch(self, container: str, port: str, place: str) -> Any:
        return await self.serve(container, port, place)

    @web.authenticated
    async def options(self, container: str, port: str, place: str) -> Any:
        return await self.serve(container, port, place)

    async def open(self, container: str, port: str, place: str) -> None:
        try:
            await self._aim(container, port)
            await self.proxy_open("localhost", int(port), place)
        except LabdockError as error:
            self.close(FAILED, error.message[:120])
        except Exception as error:
            self.log.info("no websocket to port %s of %s: %s", port, container, error)
            self.close(FAILED, f"port {port} takes no websocket here")

    @property
    def _prefix(self) -> str:
        return f"{self.base_url}{self.proxy_base}"

    def get_client_uri(self, protocol: str, host: str, port: int, proxied_path: str) -> str:
        # As the browser wrote it: unquoting and quoting again would change what %2F means.
        place = self.request.path.removeprefix(self._prefix) or "/"
        query = borders.strip_query(self.request.query, self._is_our_token)
        return f"{protocol}://{host}:{port}{place}" + (f"?{query}" if query else "")

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

    def _rewrite_location_header(self, location: str, host: str, port: int, proxied_path: str) -> str:
        hosts = {self.request.host, f"localhost:{port}", f"127.0.0.1:{port}", "localhost", "127.0.0.1"}
        return borders.rewrite_location(location, self._prefix, hosts)

    def _rewrite(self, response: Any) -> None:
        found = HTTPHeaders()
        known = self.desk.cookies.setdefault(self._app, set())
        for name, value in response.headers.get_all():
            if name in borders.REACHING:
                continue
            if name == "Set-Cookie":
                cookie = borders.rewrite_cookie(value, self._prefix)
                if cookie is None or (cookie[0] not in known and len(known) >= MOST_COOKIES):
                    continue
                known.add(cookie[0])
                value = cookie[1]
            found.add(name, value)
        response.headers = found

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if not isinstance(error, LabdockError):
            super().write_error(status_code, **kwargs)
            return
        self.clear()
        # What is not there is said as such; all else is between this server and the container.
        self.set_status(error.status if error.status == 404 else 502)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(error.explain() + "\n")

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, LabdockError):
            super().log_exception(typ, value, tb)


class Broken(LabdockError):
    """Something listens there, and it is no web server, or it hung up."""

    status = 502
    code = "bad_gateway"
