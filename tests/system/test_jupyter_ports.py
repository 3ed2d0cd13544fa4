"""Web applications of containers in a browser's tab, through Jupyter's server and with no port on the host."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from labdock.jupyter.desk import Desk
from tests.jupyter_servers import TOKEN, serve
from tests.system.conftest import EngineUnderTest, wait_until

#: Says what it was told, and sets cookies: one of its own, and one that is Jupyter's.
CGI = """#!/bin/sh
if [ "$REQUEST_METHOD" = POST ]; then printf 'Content-Type: text/plain\\r\\n\\r\\n'; cat; exit; fi
case "$QUERY_STRING" in
go) printf 'Status: 302 Found\\r\\nLocation: /cgi-bin/show?gone\\r\\n\\r\\n'; exit;;
esac
printf 'Set-Cookie: mine=1; Path=/\\r\\nSet-Cookie: _xsrf=stolen; Path=/\\r\\nContent-Type: text/plain\\r\\n\\r\\n'
env
"""

#: A WebSocket's server in a shell: says "hello", then what it was told in five bytes.
WEBSOCKET = """
while read -r line; do
  line=$(printf '%s' "$line" | tr -d '\\r')
  [ -n "$line" ] || break
  case "$line" in [Ss]ec-[Ww]eb[Ss]ocket-[Kk]ey:*) key=${line#*: };; esac
done
accept=$(printf '%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11' "$key" | sha1sum | cut -c1-40 | xxd -r -p | base64)
printf 'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n'
printf 'Sec-WebSocket-Accept: %s\\r\\n\\r\\n\\201\\005hello' "$accept"
h=$(dd bs=1 count=11 2>/dev/null | xxd -p)
printf '\\201\\005'
for i in 0 1 2 3 4; do
  b=$((0x${h:$((12 + 2 * i)):2} ^ 0x${h:$((4 + 2 * (i % 4))):2}))
  printf "\\\\$(printf '%03o' $b)"
done
sleep 100
"""


def _run(engine: EngineUnderTest, folder: Path) -> str:
    (folder / "cgi-bin").mkdir()
    (folder / "cgi-bin" / "show").write_text(CGI)
    (folder / "cgi-bin" / "show").chmod(0o755)
    (folder / "index.html").write_text("<h1>the application</h1>")
    (folder / "sub").mkdir()
    (folder / "ws.sh").write_text(WEBSOCKET)
    folder.chmod(0o755)
    command = (
        "httpd -p 127.0.0.1:8080 -h /www; httpd -p $(hostname -i):9090 -h /www; "
        "while :; do nc -l -p 7000 -e sh /www/ws.sh; done"
    )
    id = engine.docker("run", "-d", "--name", "web", "-v", f"{folder}:/www:ro", "busybox", "sh", "-c", command)
    wait_until(lambda: engine.docker("exec", id, "sh", "-c", "netstat -ltn | grep :7000", check=False), "it listens")
    return id


def test_an_application_opens_in_a_tab(engine: EngineUnderTest, tmp_path: Path) -> None:
    id = _run(engine, tmp_path)

    async def main() -> None:
        async with serve(engine.environment, base="/user/x/") as server:
            app = f"labdock/port/{id}/8080"
            # On its loopback only, on its address only; whole names and short ones.
            for place in (f"{app}/", f"labdock/port/{id}/9090/", "labdock/port/web/8080/index.html"):
                found = await server.ask(place)
                assert (found.code, found.body) == (200, b"<h1>the application</h1>"), place
            assert (await server.ask(app)).headers["Location"] == f"/user/x/{app}/"
            # Redirects stay below the application's address.
            assert (await server.ask(f"{app}/sub")).headers["Location"] == f"/user/x/{app}/sub/"
            gone = await server.ask(f"{app}/cgi-bin/show?go")
            assert (gone.code, gone.headers["Location"]) == (302, f"/user/x/{app}/cgi-bin/show?gone")
            said = await server.ask(f"{app}/cgi-bin/show", "POST", b"x" * 100_000)
            assert said.body == b"x" * 100_000
            assert (await server.ask(app + "/", token=None)).code in (302, 403)

    asyncio.run(main())


def test_what_is_jupyters_stays_with_jupyter(engine: EngineUnderTest, tmp_path: Path) -> None:
    id = _run(engine, tmp_path)

    async def main() -> None:
        async with serve(engine.environment) as server:
            show = f"labdock/port/{id}/8080/cgi-bin/show"
            headers = {
                "Cookie": "_xsrf=secret; username-x=secret; jupyterhub-session-id=secret; foreign=secret; mine=1",
                "X-XSRFToken": "secret",
                "Referer": f"http://{server.host}/lab?token=secret",
            }
            first = await server.ask(f"{show}?a=1&token={TOKEN}", headers=headers)
            cookies = first.headers.get_list("Set-Cookie")
            assert [each.split(";")[0] for each in cookies if not each.startswith("username-")] == ["mine=1"]
            assert f"Path=/labdock/port/{id}/8080/" in cookies[0]
            told = (first.body + (await server.ask(show, headers=headers)).body).decode()
            assert "QUERY_STRING=a=1\n" in told and "HTTP_COOKIE=mine=1\n" in told
            assert "secret" not in told and TOKEN not in told

    asyncio.run(main())


def test_a_websocket_of_an_application(engine: EngineUnderTest, tmp_path: Path) -> None:
    id = _run(engine, tmp_path)

    async def main() -> None:
        async with serve(engine.environment) as server:
            page = await server.open(path=f"labdock/port/{id}/7000/socket")
            assert await page.read_text() == "hello"
            await page.send_text("world")
            assert await page.read_text() == "world"
            evil = HTTPRequest(f"ws://{server.host}/labdock/port/{id}/7000/", headers={"Origin": "http://evil.example"})
            with pytest.raises(HTTPClientError, match="403"):
                await websocket_connect(evil)

    asyncio.run(main())


def test_a_port_that_nobody_listens_on_is_said_in_words(engine: EngineUnderTest, tmp_path: Path) -> None:
    id = _run(engine, tmp_path)

    async def main() -> None:
        async with serve(engine.environment) as server:
            none = await server.ask(f"labdock/port/{id}/81/")
            assert none.code == 502 and b"nothing in the container web listens on TCP port 81" in none.body
            assert none.headers["Content-Type"].startswith("text/plain")
            assert (await server.ask("labdock/port/nope/80/")).code == 404
            await asyncio.to_thread(engine.docker, "kill", id)
            assert (await server.ask(f"labdock/port/{id}/8080/")).code == 502
            folder = server.app.web_app.settings["labdock_desk"].relay.folder
            assert folder is None
            desk: Desk = server.desk
            assert desk.ports

    asyncio.run(main())
