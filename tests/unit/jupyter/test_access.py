"""Who may: no handler answers without the token, to another's user, or to a forged request; the base URL counts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from tests.jupyter_servers import Refuser, Server, serve

#: Every route that is no websocket, with a method that writes where there is one.
ROUTES = (
    ("GET", "engine"),
    ("POST", "engine"),
    ("GET", "state"),
    ("GET", "docker/containers/json"),
    ("POST", "docker/containers/x/start"),
    ("PUT", "docker/containers/x/archive?path=/"),
    ("DELETE", "docker/containers/x"),
    ("HEAD", "docker/_ping"),
    ("POST", "terminals"),
    ("GET", "kernels"),
    ("POST", "kernels"),
    ("DELETE", "kernels/x"),
    ("GET", "files?container=x&path=/"),
    ("GET", "files/content?container=x&path=/a"),
    ("PUT", "files/content?container=x&path=/a"),
    ("GET", "prune?kind=images"),
)
API = "labdock/api/"


def _nowhere(folder: Path) -> dict[str, str]:
    """No engine, and nothing that would start one."""
    return {"LABDOCK_HOST": f"unix://{folder}/no.sock"}


async def _statuses(server: Server, token: str | None) -> dict[tuple[str, str], int]:
    found = {}
    for method, path in ROUTES:
        body = b"{}" if method in ("POST", "PUT") else None
        found[method, path] = (await server.ask(API + path, method, body, token=token)).code
    return found


async def _refused(server: Server, token: str | None, **headers: str) -> int:
    try:
        await server.open(token, headers)
    except HTTPClientError as error:
        return error.code
    return 0


def test_nobody_without_the_token_gets_an_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with serve(_nowhere(tmp_path)) as server:
            for token in (None, "another users token"):
                assert set((await _statuses(server, token)).values()) == {403}
                assert await _refused(server, token) == 403

    asyncio.run(main())


def test_a_user_whom_the_authoriser_refuses_gets_none_either(tmp_path: Path) -> None:
    async def main() -> None:
        async with serve(_nowhere(tmp_path), authorizer=Refuser) as server:
            assert set((await _statuses(server, "the-token-of-this-test")).values()) == {403}
            assert await _refused(server, "the-token-of-this-test") == 403

    asyncio.run(main())


def test_every_handler_says_who_may(tmp_path: Path) -> None:
    async def main() -> None:
        # Jupyter warns of handlers that don't, and warnings are errors here.
        async with serve(_nowhere(tmp_path), strict=True) as server:
            assert (await server.ask(API + "engine")).code == 200
            assert (await server.ask(API + "engine", token=None)).code == 403

    asyncio.run(main())


async def _log_in(server: Server) -> str:
    """The cookies of a browser that came with the token in its address."""
    found = await server.ask("?token=the-token-of-this-test", token=None)
    return "; ".join(each.partition(";")[0] for each in found.headers.get_list("Set-Cookie"))


def test_what_writes_needs_the_browsers_own_xsrf_token(tmp_path: Path) -> None:
    async def main() -> None:
        async with serve(_nowhere(tmp_path)) as server:
            cookies = await _log_in(server)
            xsrf = next(c.partition("=")[2] for c in cookies.split("; ") if c.startswith("_xsrf="))
            for method, path in ROUTES:
                if method not in ("POST", "PUT", "DELETE"):
                    continue
                body = b"{}" if method != "DELETE" else None
                for wrong in ({}, {"X-XSRFToken": "2|forged"}):
                    sent = {"Cookie": cookies, **wrong}
                    assert (await server.ask(API + path, method, body, token=None, headers=sent)).code == 403, path
            sent = {"Cookie": cookies, "X-XSRFToken": xsrf}
            assert (await server.ask(API + "engine", "POST", {"action": "dance"}, token=None, headers=sent)).code == 400

    asyncio.run(main())


def test_another_origins_page_gets_no_websocket_and_no_answer(tmp_path: Path) -> None:
    async def main() -> None:
        async with serve(_nowhere(tmp_path)) as server:
            cookies = await _log_in(server)
            evil = {"Origin": "http://evil.example", "Cookie": cookies}
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
            for path in ("engine", "docker/_ping", "state"):
                assert (await server.ask(API + path, base="/")).code == 404
            assert (await server.ask(API + "engine", base="/user/y/")).code == 404

    asyncio.run(main())
