"""Web applications of containers in a browser's tab, through Jupyter's server and with no port on the host."""

from __future__ import annotations

import asyncio
import html
import json
import re
from pathlib import Path
from unittest import mock

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.simple_httpclient import HTTPStreamClosedError
from tornado.websocket import websocket_connect

from labdock.jupyter import wire
from labdock.jupyter.desk import Desk
from labdock.jupyter.trust import Trust
from tests import web_app
from tests.jupyter_servers import TOKEN, Server, serve
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
            # With a port opened and a page that looks, nothing is asked of the engine while nothing happens.
            page = await server.open()
            await page.until_type("state")
            with mock.patch.object(wire, "connect") as asked:
                assert await page.is_silent(1)
            assert asked.call_count == 0
            # An application that is told its whole address, and knows it.
            whole = "labdock/port-absolute/web/8080/cgi-bin"
            assert (await server.ask(f"{whole}/show")).code == 404
            path = tmp_path / "user" / "x" / whole
            path.mkdir(parents=True)
            (path / "page").write_text("whole")
            assert (await server.ask(f"{whole}/page")).body == b"whole"

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


UPGRADE = {
    **{"Connection": "Upgrade", "Upgrade": "websocket"},
    **{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"},
}


async def _until_it_rests(server: Server, app: str, before: int = 0) -> int:
    """How many MiB the application has said, once it has begun and says no more for a while."""
    last, now = -1, before
    while now != last or now == before:
        await asyncio.sleep(0.3)
        last, now = now, json.loads((await server.ask(f"{app}/flooded")).body)
    return now


def test_an_application_as_people_write_them(engine: EngineUnderTest, tmp_path: Path) -> None:
    web_app.make_image(engine, tmp_path)
    id = engine.docker("run", *web_app.arguments())
    web_app.wait_ready(engine)

    async def main() -> None:
        async with serve(engine.environment, base="/user/x/") as server:
            app = f"labdock/port/{id}/{web_app.PORT}"
            assert json.loads((await server.ask(f"{app}/echo?a=%2F&token={TOKEN}", "POST", b"x")).body) == {
                "query": "a=%2F",
                "body": "x",
            }
            sent = await server.ask(f"{app}/upload", "PUT", bytes(30_000_000))
            assert json.loads(sent.body) == {"bytes": 30_000_000}
            assert (await server.ask(f"{app}/login", "POST", b"")).headers["Location"] == f"/user/x/{app}/who"
            # Events come as they are made, and a stream ends in the container when its reader leaves.
            seen: list[bytes] = []
            stream = await server.listen(f"{app}/events", Accept="text/event-stream")
            while b"data: 2" not in b"".join(seen):
                seen.append(await stream.read_bytes(4096, partial=True))
            head = b"".join(seen).partition(b"\r\n\r\n")[0]
            assert b"stolen" not in head and b"text/event-stream" in head
            stream.close()
            assert (await server.ask(f"{app}/left")).body == b"left"
            # Who reads nothing holds the application back, and no memory here.
            torrent = await server.listen(f"{app}/torrent", **UPGRADE)
            assert await _until_it_rests(server, app) < 100
            torrent.close()
            before = json.loads((await server.ask(f"{app}/flooded")).body)
            stream = await server.listen(f"{app}/flood?blocks=4000")
            assert await _until_it_rests(server, app, before) < before + 100
            # And has it all when it reads again.
            left = 200 << 20
            while left > 0:
                left -= len(await stream.read_bytes(1 << 20, partial=True))
            stream.close()
            with pytest.raises(HTTPStreamClosedError):
                await server.ask(f"{app}/broken")
            # Messages of either kind, a large one, and the application's own end.
            page = await server.open(path=f"{app}/socket")
            await page.send_text("x" * 5_000_000)
            assert len(await page.read_text()) == 5_000_005
            await page.send_text("end")
            with pytest.raises(EOFError, match="4321 as you say"):
                await page.read_text()

    asyncio.run(main())


def test_a_browser_is_asked_once_for_each_image(engine: EngineUnderTest, tmp_path: Path) -> None:
    id = _run(engine, tmp_path)
    engine.docker("tag", "busybox", "other:1")
    page = {"Accept": "text/html,*/*", "Sec-Fetch-Dest": "document"}

    async def main() -> None:
        async with serve(engine.environment, base="/user/x/") as server:
            app = f"labdock/port/{id}/8080"
            cookies = await server.log_in()
            browser = {"Cookie": cookies}
            asked = await server.ask(f"{app}/?a=<b>", token=None, headers={**browser, **page})
            said = asked.body.decode()
            assert asked.code == 403 and "trust the image" in said and "busybox" in said and "<b>" not in said
            assert "the application" not in said
            assert "default-src 'none'" in asked.headers["Content-Security-Policy"]
            # What is no page is refused, and nothing of it reaches the container.
            for method, body in (("GET", None), ("POST", b"x"), ("PUT", b"x"), ("DELETE", None), ("HEAD", None)):
                found = await server.ask(f"{app}/cgi-bin/show", method, body, token=None, headers=browser)
                assert found.code == 403 and (method == "HEAD" or b"not trusted" in found.body), method
            with pytest.raises(HTTPClientError, match="403"):
                await server.open(token=None, headers=browser, path=f"labdock/port/{id}/7000/")
            # The page's own form is the way; not one that another page made up, nor one that leads elsewhere.
            fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', html.unescape(said)))
            forged = {**fields, "_xsrf": "2|forged"}
            away = {**fields, "next": "//evil.example/labdock/port/"}
            assert (await server.post_form("labdock/api/trust", forged, browser)).code == 403
            assert (await server.post_form("labdock/api/trust", away, browser)).code == 400
            answer = await server.post_form("labdock/api/trust", fields, browser)
            assert (answer.code, answer.headers["Location"]) == (303, f"/user/x/{app}/?a=<b>")
            for name in (id, "web"):
                found = await server.ask(f"labdock/port/{name}/8080/", token=None, headers={**browser, **page})
                assert found.body == b"<h1>the application</h1>"
            told = json.loads((await server.ask(f"labdock/api/trust?container={id}")).body)
            assert told["trusted"] and told["name"] == "busybox" and told["image"] == fields["image"]
            # Another image is another question, whatever it is called; what was said outlives the server.
            await asyncio.to_thread(engine.docker, "commit", "web", "busybox")
            await asyncio.to_thread(engine.docker, "run", "-d", "--name", "new", "busybox", "httpd", "-f", "-p", "8080")
            assert (await server.ask("labdock/port/new/8080/", token=None, headers={**browser, **page})).code == 403
            again = Trust(server.desk.trust.file, server.desk.link)
            assert again.has(fields["image"]) and again.file.stat().st_mode & 0o077 == 0
            assert (await server.ask("labdock/api/trust", "DELETE")).code == 204
            assert not again.has(fields["image"])
            assert (await server.ask(f"{app}/", token=None, headers={**browser, **page})).code == 403

    asyncio.run(main())
