"""The engine seen through a Jupyter server: what browsers are told, and when."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPResponse
from tornado.httputil import url_concat
from tornado.iostream import IOStream

from labdock.jupyter import flattening, live
from labdock.jupyter.channels import WINDOW
from labdock.jupyter.outbox import Outbox
from tests.jupyter_servers import Page, Server, serve
from tests.system.conftest import EngineUnderTest, wait_until


async def _do(engine: EngineUnderTest, *arguments: str) -> str:
    return await asyncio.to_thread(engine.docker, *arguments)


async def _until_state(page: Page, id: str, state: str) -> dict[str, object]:
    def wanted(frame: dict[str, object]) -> bool:
        value = frame.get("value")
        return frame["type"] == "change" and frame["id"] == id and isinstance(value, dict) and value["state"] == state

    value = (await page.until(wanted))["value"]
    assert isinstance(value, dict)
    return value


def test_browsers_are_told_what_the_docker_command_does(engine: EngineUnderTest) -> None:
    async def main() -> None:
        async with serve(engine.environment) as server:
            pages = [await server.open(), await server.open()]
            for page in pages:
                state = await page.until_type("state")
                assert state["engine"]["state"] == "running"
                assert {n["name"] for n in state["networks"]} == {"bridge", "host", "none"}
            id = await _do(engine, "run", "-d", "--name", "web", "-v", "data:/data", "--expose", "80", "busybox", "top")
            for page in pages:
                value = await _until_state(page, id, "running")
                assert value["name"] == "web" and value["networks"] == ["bridge"]
                assert value["ports"] == [{"private": 80, "type": "tcp", "url": f"labdock/port/{id}/80/"}]
            await _do(engine, "kill", "web")
            assert (await _until_state(pages[0], id, "exited"))["exit_code"] == 137
            await _do(engine, "rm", "web")
            for page in pages:
                await page.until_type("change", kind="container", id=id, value=None)
                # The volume's news are the last of this removal's.
                assert (await page.until_type("change", kind="volume", id="data"))["value"]["used_by"] == []
            # Both saw the same; and nobody hears anything while nothing happens.
            seen = json.loads((await server.ask("labdock/api/state")).body)
            assert seen["containers"] == [] and [v["name"] for v in seen["volumes"]] == ["data"]
            assert await pages[0].is_silent(0.5)

    asyncio.run(main())


def test_a_killed_engine_is_waited_for_and_a_stopped_one_noticed(engine: EngineUnderTest) -> None:
    async def main() -> None:
        async with serve(engine.environment) as server:
            page = await server.open()
            await page.until_type("state")
            engine.kill("engine")
            assert (await page.until_type("engine"))["engine"]["state"] == "starting"
            await page.until_type("state")
            await asyncio.to_thread(engine.stop)
            await page.until(lambda f: f["type"] == "engine" and f["engine"]["state"] == "stopped")
            assert json.loads((await server.ask("labdock/api/engine")).body)["state"] == "stopped"
            # Somebody starts it in a shell.
            await asyncio.to_thread(engine.start)
            await page.until_type("state")

    asyncio.run(main())


def test_a_long_log_comes_whole_and_at_the_browsers_pace(engine: EngineUnderTest) -> None:
    id = engine.docker("run", "-d", "busybox", "sh", "-c", "seq 1 100000; echo oops >&2; sleep 1000")

    async def main() -> None:
        async with serve(engine.environment) as server:
            page = await server.open()
            await page.until_type("state")
            await page.say(op="open", channel=1, kind="logs", container=id, tail=-1, follow=True)
            lines: list[list[str]] = []
            # Nothing is acknowledged: what comes is the window, and then nothing.
            for _ in range(WINDOW):
                lines += (await page.until_type("data", channel=1))["lines"]
            assert await page.is_silent(0.3)
            for _ in range(WINDOW):
                await page.say(op="ack", channel=1)
            while len(lines) < 100_001:
                lines += (await page.until_type("data", channel=1))["lines"]
                await page.say(op="ack", channel=1)
            assert [words for stream, words in lines if stream == "out"] == [str(n) for n in range(1, 100_001)]
            assert ["err", "oops"] in lines
            # A killed engine is no end of the log: it goes on where it was.
            engine.kill("engine")
            await _do(engine, "exec", id, "sh", "-c", "echo again > /proc/1/fd/1")
            assert (await page.until_type("data", channel=1))["lines"] == [["out", "again"]]
            await page.say(op="close", channel=1)

    asyncio.run(main())


def test_figures_are_read_once_for_all_who_look_and_not_while_nobody_does(engine: EngineUnderTest) -> None:
    id = engine.docker("run", "-d", "--name", "busy", "busybox", "top")

    async def main() -> None:
        async with serve(engine.environment) as server:
            pages = [await server.open(), await server.open()]
            for page in pages:
                await page.until_type("state")
                await page.say(op="open", channel=7, kind="stats", containers=None)
            for page in pages:
                (used,) = (await page.until_type("data", channel=7))["stats"]
                assert used["id"] == id and used["memory"] > 0 and used["limit"] > 0 and used["pids"] >= 1
            await _do(engine, "kill", "busy")
            for page in pages:
                await page.until(lambda f: f.get("stats") == [])
            assert await pages[0].is_silent(0.3) or pages[0].frames[-1]["type"] != "data"
            for page in pages:
                await page.say(op="close", channel=7)
            await asyncio.sleep(0)
            await page.say(op="open", channel=8, kind="nonsense")
            assert "nonsense" in (await page.until_type("end", channel=8))["error"]["message"]

    asyncio.run(main())


def test_one_question_tells_as_much_of_all_containers_as_one_for_each(engine: EngineUnderTest) -> None:
    engine.docker("network", "create", "shop")
    more = ("-p", "127.0.0.1::80", "--expose", "53/udp", "--label", "a=b", "--network", "shop", "-v", "data:/data")
    health = ("--health-cmd", "true", "--health-interval", "100ms")
    engine.docker("run", "-d", "--name", "running", *more, *health, "busybox", "sleep", "600")
    engine.docker("run", "--name", "failed", "--expose", "99", "busybox", "sh", "-c", "exit 3", check=False)
    engine.docker("create", "--name", "made", "busybox", "sh", "-c", "echo 'one word'")
    engine.docker("run", "-d", "--name", "paused", "--network", "none", "busybox", "sleep", "600")
    engine.docker("pause", "paused")
    healthy = "{{.State.Health.Status}}"
    wait_until(lambda: engine.docker("inspect", "-f", healthy, "running") == "healthy", "it is healthy")
    client = engine.client()
    listed = client.api._result(client.api._get(client.api._url("/containers/json?all=1&labdock=1")), True)
    told = {each["Id"]: flattening.flatten_summary(each) for each in listed}
    words = {each["Id"]: each["Status"] for each in listed}
    asked = {id: flattening.flatten_container(client.api.inspect_container(id), words[id]) for id in told}
    client.close()
    assert told == asked and {one.state for one in told.values()} == {"running", "exited", "created", "paused"}
    assert {one.health for one in told.values()} == {"healthy", "none"}
    engine.docker("unpause", "paused")


def test_jobs_run_over_channels_and_say_what_they_do(engine: EngineUnderTest, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "app").mkdir(parents=True)
    (root / "app" / "Dockerfile").write_text('FROM busybox\nRUN echo "made <b>here</b>" > /made\n')
    (root / "compose.yaml").write_text("services:\n  one:\n    image: busybox\n    command: top\n")
    (root / "out").symlink_to("/etc")

    async def main() -> None:
        async with serve(engine.environment, root=root) as server:
            page = await server.open()
            await page.say(op="open", channel=1, kind="pull", reference="busybox")
            frames, end = await page.gather(1)
            assert end["result"]["id"].startswith("sha256:")
            await page.say(op="open", channel=2, kind="build", path="app/Dockerfile", tag="made")
            frames, end = await page.gather(2)
            assert "Step 2/2" in "".join(frame["text"] for frame in frames)
            assert end["result"]["id"] == await _do(engine, "image", "inspect", "-f", "{{.Id}}", "made")
            for path in ("out/passwd", "..", "app/../../x"):
                await page.say(op="open", channel=3, kind="build", path=path)
                assert "leads out" in (await page.gather(3))[1]["error"]["message"]
            await page.say(op="open", channel=4, kind="compose", path="compose.yaml", action="up")
            frames, end = await page.gather(4)
            assert end.get("error") is None
            assert "root-one-1" in (await _do(engine, "ps", "--format", "{{.Names}}"))
            await page.say(op="open", channel=5, kind="compose", path="compose.yaml", action="down")
            await page.gather(5)
            assert await _do(engine, "ps", "-aq") == ""

    asyncio.run(main())


def test_files_go_in_and_out_of_running_and_stopped_containers(engine: EngineUnderTest) -> None:
    hostile = "a <b>&\"' name\n.txt"
    command = 'mkdir /d; ln -s /etc/../d /l; ln -s / /d/up; printf hello > "/d/$1"; printf x > /d/ready; exec top'
    id = engine.docker("run", "-d", "busybox", "sh", "-c", command, "sh", hostile)
    wait_until(lambda: engine.docker("exec", id, "ls", "/d/ready", check=False), "the files are there")

    async def main() -> None:
        async with serve(engine.environment) as server:

            async def ask(what: str, path: str, method: str = "GET", body: bytes | None = None) -> HTTPResponse:
                url = url_concat(f"labdock/api/{what}", {"container": id, "path": path})
                return await server.ask(url, method, body)

            for running in (True, False):
                if not running:
                    await _do(engine, "kill", id)
                    await _do(engine, "wait", id)
                found = json.loads((await ask("files", "/l")).body)
                assert found["path"] == "/d" and not found["truncated"]
                entries = {entry["name"]: entry for entry in found["entries"]}
                assert entries[hostile]["kind"] == "file" and entries[hostile]["size"] == 5
                assert entries["up"]["kind"] == "link" and entries["up"]["target"] == "/"
                got = await ask("files/content", f"/d/{hostile}")
                assert got.body == b"hello" and got.headers["Content-Disposition"].startswith("attachment; ")
                assert got.headers["X-Content-Type-Options"] == "nosniff"
                put = await ask("files/content", "/d/new", "PUT", b"z" * 300_000)
                assert put.code == 204, put.body
                assert (await ask("files/content", "/d/new")).body == b"z" * 300_000
                listed = json.loads((await ask("files", "/d")).body)["entries"]
                mtimes = {entry["name"]: entry["mtime"] for entry in listed}
                assert mtimes["new"] >= int(mtimes["ready"]), "as new as it is"
                assert (await ask("files/content", "/d")).code == 400
                assert (await ask("files", "/none")).code == 404
                assert (await ask("files", "/d/ready")).code == 400
                assert (await ask("files/content", "/none/new", "PUT", b"z")).code == 404

    asyncio.run(main())


def test_the_engines_api_is_streamed_and_says_docker_s_words(engine: EngineUnderTest) -> None:
    async def main() -> None:
        async with serve(engine.environment, base="/user/x/") as server:
            made = await server.ask(
                "labdock/api/docker/v1.51/containers/create?name=web", "POST", {"Image": "busybox", "Cmd": ["top"]}
            )
            assert made.code in (201, 404), made.body
            if made.code == 404:
                assert json.loads(made.body)["message"].startswith("No such image: busybox")
                await _do(engine, "pull", "-q", "busybox")
            await _do(engine, "run", "-d", "--name", "one", "busybox", "top")
            for path in ("containers/one/attach", "exec/x/start", "labdock/containers/one/ports/80"):
                assert (await server.ask(f"labdock/api/docker/{path}", "POST", b"")).code == 403
            archive = await server.ask("labdock/api/docker/containers/one/archive?path=/bin/busybox")
            assert archive.code == 200 and len(archive.body) > 100_000
            assert archive.headers["Content-Type"] == "application/x-tar"
            assert archive.headers["X-Docker-Container-Path-Stat"]
            sent = await server.ask("labdock/api/docker/containers/one/archive?path=/tmp", "PUT", archive.body)
            assert sent.code == 200, sent.body
            stopped = await server.ask("labdock/api/docker/containers/one/kill", "POST", b"")
            assert stopped.code == 204 and stopped.body == b""
            again = await server.ask("labdock/api/docker/containers/nope/start", "POST", b"")
            assert (again.code, json.loads(again.body)["message"]) == (404, "No such container: nope")
            preview = json.loads((await server.ask("labdock/api/prune?kind=containers")).body)
            assert "one" in [item["name"] for item in preview["items"]]
            for kind in ("images", "networks", "volumes", "build"):
                assert (await server.ask(f"labdock/api/prune?kind={kind}")).code == 200

    asyncio.run(main())


def test_a_terminal_in_a_container_is_jupyters_own(engine: EngineUnderTest) -> None:
    id = engine.docker("run", "-d", "--name", "web", "busybox", "top")

    async def main() -> None:
        async with serve(engine.environment) as server:
            assert json.loads((await server.ask("labdock/api/engine")).body)["terminals"] is True
            made = await server.ask("labdock/api/terminals", "POST", {"container": id})
            assert made.code == 201
            name = json.loads(made.body)["name"]
            page = await server.open(path=f"terminals/websocket/{name}")
            await page.send(["stdin", "echo $((40+2))-in-$(hostname)\n"])
            seen = ""
            while f"42-in-{id[:12]}" not in seen:
                kind, *words = await page.receive()
                seen += "".join(map(str, words)) if kind == "stdout" else ""

    asyncio.run(main())


async def _stop_reading(server: Server) -> IOStream:
    """A page whose websocket is open and who never reads a byte of it."""
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    stream = await server.listen("labdock/api/live", Connection="Upgrade", Upgrade="websocket", **key)
    assert b"101 Switching" in await stream.read_until(b"\r\n\r\n")
    return stream


def test_a_page_that_stops_reading_is_cut_off_in_bounds_and_comes_back(
    engine: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Outbox] = []

    def make(send: Any, cut: Any) -> Outbox:
        made.append(Outbox(send, cut, patience=3.0))
        return made[-1]

    monkeypatch.setattr(live, "Outbox", make)
    # What is told of it is large, so that few changes fill what the kernel takes for a socket.
    labels = [word for number in range(20) for word in ("--label", f"l{number}={'x' * 50_000}")]
    id = engine.docker("create", "--name", "n0", *labels, "busybox", "top")

    async def main() -> None:
        async with serve(engine.environment) as server:
            stuck = await _stop_reading(server)
            page = await server.open()
            await page.until_type("state")
            number = most = 0
            while not made[0].closed:
                number += 1
                name = f"n{number}"
                await _do(engine, "rename", id, name)
                while (await page.until_type("change", kind="container", id=id))["value"]["name"] != name:
                    pass
                most = max(most, made[0].size)
            # One frame of each thing waited at the most, and the other page missed nothing meanwhile.
            assert 0 < most < 5_000_000 and not made[1].closed
            assert made[0].size == 0
            stuck.close()
            again = await server.open()
            state = await again.until_type("state")
            assert [one["name"] for one in state["containers"]] == [f"n{number}"]
        # A server that ends, or starts, leaves what runs as it is.
        await _do(engine, "start", id)
        async with serve(engine.environment) as server:
            page = await server.open()
            await page.until_type("state")
        async with serve(engine.environment) as server:
            state = await (await server.open()).until_type("state")
            assert [one["state"] for one in state["containers"]] == ["running"]

    asyncio.run(main())
