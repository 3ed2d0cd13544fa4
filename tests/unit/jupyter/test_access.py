"""Who may: every handler refuses who has no token, another user's, no right to ``labdock``, or a forged request.

The handlers are those of the application's own table: one that is new fails here until it has its line in `PLACES`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.auth import Authorizer, IdentityProvider, User
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

from tests.jupyter_servers import TOKEN, Server, serve

BASE = "/user/ann/"
API = "labdock/api/"
#: An address of each handler, by the pattern that leads to it.
PLACES = {
    "engine": "engine",
    "state": "state",
    "docker/.+": "docker/containers/x",
    "terminals": "terminals",
    "kernels": "kernels",
    "kernels/([^/]+)": "kernels/x",
    "files": "files?container=x&path=/",
    "files/content": "files/content?container=x&path=/a",
    "prune": "prune?kind=images",
    "trust": "trust?container=x",
    "live": "live",
    "port": "labdock/port/x/80/",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
WRITING = ("POST", "PUT", "PATCH", "DELETE")
#: A guest is let in by the hub, and not to labdock; a stranger is somebody's user, on another server.
GUEST, STRANGER = "the-token-of-a-guest", "the-token-of-another-user"


class Hub(IdentityProvider):
    """As JupyterHub's: whom a token belongs to, and None for users who have nothing to do here."""

    async def get_user_token(self, handler: Any) -> User | None:
        name = {TOKEN: "ann", GUEST: "guest"}.get(self.get_token(handler) or "")
        return User(name) if name else None


class Rights(Authorizer):
    """A guest may do anything but what is labdock's."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return user.username == "ann" or resource != "labdock"


def _nowhere(folder: Path) -> dict[str, str]:
    """No engine, and nothing that would start one."""
    return {"LABDOCK_HOST": f"unix://{folder}/no.sock"}


def _routes(server: Server) -> Iterator[tuple[str, type[RequestHandler]]]:
    """(address below the base URL, handler) of all that labdock serves."""
    for group in server.app.web_app.default_router.rules:
        for rule in getattr(group.target, "rules", ()):
            kind = rule.target
            if isinstance(kind, type) and issubclass(kind, RequestHandler) and kind.__module__.startswith("labdock."):
                pattern = rule.matcher.regex.pattern.rstrip("$").removeprefix(BASE)
                key = "port" if pattern.startswith("labdock/port") else pattern.removeprefix(API)
                assert key in PLACES, f"{pattern} has no line here"
                yield (PLACES[key] if key == "port" else API + PLACES[key]), kind


def _requests(server: Server) -> Iterator[tuple[str, str]]:
    """(method, address) of all that a handler answers, WebSockets left out."""
    for path, kind in _routes(server):
        for method in METHODS:
            own = getattr(kind, method.lower())
            if own is not RequestHandler._unimplemented_method and not path.endswith("live"):
                yield method, path


async def _ask(server: Server, method: str, path: str, **options: Any) -> int:
    body = b"{}" if method in ("POST", "PUT", "PATCH") else None
    return (await server.ask(path, method, body, **options)).code


async def _upgrade(server: Server, path: str, token: str | None, headers: dict[str, str] | None = None) -> int:
    """The status with which a WebSocket is refused; 101 when it was opened."""
    try:
        await server.open(token, headers, path)
    except HTTPClientError as error:
        return error.code
    return 101


async def _wrong(server: Server, method: str, path: str, browser: dict[str, str], xsrf: str) -> list[str]:
    """What is answered that should be refused, and what is refused to who may."""
    if method == "OPTIONS" and API in path:
        # A browser's own question before a request: it carries nobody's name and is told nothing.
        return ["told something"] if (await server.ask(path, method, token=None)).body else []
    found = []
    # A page is sent to the login; all else is refused.
    refusals = (302,) if "port/" in path and method in ("GET", "HEAD") else (403,)
    for token in (None, "wrong", STRANGER):
        if await _ask(server, method, path, token=token) not in refusals:
            found.append(f"with the token {token}")
    if await _ask(server, method, path, token=GUEST) != 403:
        found.append("by the guest")
    for base in ("/", "/user/bob/"):
        if await _ask(server, method, path, base=base) not in (302, 404):
            found.append(f"below {base}")
    if method in WRITING and API in path:
        for sent in ({}, {"X-XSRFToken": "2|forged"}, {"X-XSRFToken": xsrf + "x"}):
            if await _ask(server, method, path, token=None, headers=browser | sent) != 403:
                found.append(f"with {sent}")
    own = browser | {"X-XSRFToken": xsrf}
    evil = own | {"Origin": "http://evil.example"}
    # Jupyter lets OPTIONS pass: a browser sends none of another origin's with anybody's cookies.
    if method != "OPTIONS" and await _ask(server, method, path, token=None, headers=evil) not in (403, 404):
        found.append("from another origin")
    # The same by the one who may: else nothing was shown.
    for options in ({}, {"token": None, "headers": own}):
        if await _ask(server, method, path, **options) in (302, 401, 403):
            found.append(f"not by its owner with {options}")
    return found


async def _wrong_sockets(server: Server, path: str, browser: dict[str, str]) -> list[str]:
    found = []
    for token in (None, "wrong", STRANGER, GUEST):
        if await _upgrade(server, path, token) != 403:
            found.append(f"{path}'s websocket with the token {token}")
    if await _upgrade(server, path, None, browser | {"Origin": "http://evil.example"}) != 403:
        found.append(f"{path}'s websocket from another origin")
    return found


def test_every_handler_refuses_whoever_has_no_right_to_it(tmp_path: Path) -> None:
    async def main() -> None:
        people: dict[str, Any] = {"identity_provider_class": Hub, "authorizer_class": Rights}
        async with serve(_nowhere(tmp_path), base=BASE, **people) as server:
            routes, table = dict(_routes(server)), list(_requests(server))
            assert set(routes) == {place if key == "port" else API + place for key, place in PLACES.items()}
            cookies = await server.log_in()
            xsrf = next(each.partition("=")[2] for each in cookies.split("; ") if each.startswith("_xsrf="))
            browser = {"Cookie": cookies}
            wrong: list[str] = []
            for method, path in table:
                wrong += [f"{method} {path} {what}" for what in await _wrong(server, method, path, browser, xsrf)]
            for path, kind in routes.items():
                if issubclass(kind, WebSocketHandler):
                    wrong += await _wrong_sockets(server, path, browser)
            assert wrong == []
            assert await _upgrade(server, f"{API}live", TOKEN) == 101 and len(table) > 30

    asyncio.run(main())


def test_every_handler_says_who_may(tmp_path: Path) -> None:
    async def main() -> None:
        # Jupyter warns of handlers that don't, and warnings are errors here.
        async with serve(_nowhere(tmp_path), strict=True) as server:
            assert (await server.ask(API + "engine")).code == 200
            assert (await server.ask(API + "engine", token=None)).code == 403

    asyncio.run(main())


def test_another_origins_page_gets_no_websocket_and_no_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with serve(_nowhere(tmp_path)) as server:
            evil = {"Origin": "http://evil.example", "Cookie": await server.log_in()}
            with pytest.raises(HTTPClientError, match="403"):
                await websocket_connect(HTTPRequest(f"ws://{server.host}/{API}live", headers=evil))
            assert (await server.ask(API + "engine", token=None, headers=evil)).code in (403, 404)

    asyncio.run(main())


def test_the_base_url_counts(tmp_path: Path) -> None:
    async def main() -> None:
        async with serve(_nowhere(tmp_path), base="/user/x/") as server:
            assert server.base == "/user/x/"
            assert json.loads((await server.ask(API + "engine")).body)["state"] == "stopped"
            assert (await server.ask(API + "docker/_ping")).code == 503
            assert (await (await server.open()).next())["engine"]["state"] == "stopped"

    asyncio.run(main())
