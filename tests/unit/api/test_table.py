# ruff: noqa: E501  (a table: one line, one expectation)
"""One line, one expectation: what a request is answered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from labdock.api.table import ROWS

from .harness import Served, serve

Check = Callable[[Any], bool]
ID = "01" * 32
CREATE = {"Image": "busybox", "Cmd": ["sleep"]}


def message(text: str) -> Check:
    return lambda found: re.search(text, found["message"]) is not None


def any_(found: Any) -> bool:
    return True


# Before each line the engine has one running container `web` (id 0101…, `sleep`) and one created one, `idle`.
# fmt: off
LINES: list[tuple[str, str, Any, int, Check]] = [
    ("GET", "/_ping", None, 200, lambda b: b == b"OK"),
    ("HEAD", "/_ping", None, 200, lambda b: b == b""),
    ("GET", "/v1.24/_ping", None, 200, lambda b: b == b"OK"),
    ("GET", "/version", None, 200, lambda f: f["ApiVersion"] == "1.51"),
    ("GET", "/v1.51/version", None, 200, any_),
    ("GET", "/v1.23/version", None, 400, message(r"^client version 1\.23 is too old\. Minimum supported API version is 1\.24, please upgrade your client to a newer version$")),
    ("GET", "/v1.52/version", None, 400, message(r"^client version 1\.52 is too new\. Maximum supported API version is 1\.51$")),
    ("GET", "/v2.0/version", None, 400, message("too new")),
    ("GET", "/v1.9/version", None, 400, message("too old")),
    ("GET", "/v9/version", None, 404, message("^page not found$")),
    ("GET", "/nothing", None, 404, message("^page not found$")),
    ("GET", "/", None, 404, message("^page not found$")),
    ("PATCH", "/version", None, 404, message("^page not found$")),
    ("GET", "/v1.24/system/df", None, 404, message("^page not found$")),
    ("GET", "/v1.25/system/df", None, 200, lambda f: f["LayersSize"] == 0),
    ("GET", "/labdock/doctor", None, 200, lambda f: f["Rung"] == "R0"),
    ("GET", "/labdock/containers/web/explain", None, 200, lambda f: f["Id"] == ID),
    ("GET", "/labdock/containers/nope/explain", None, 404, message("^No such container: nope$")),
    ("GET", "/labdock/containers/web/files?path=/etc", None, 200, lambda f: f["Path"] == "/etc"),
    ("GET", "/labdock/containers/nope/files?path=/", None, 404, message("^No such container: nope$")),
    ("POST", "/labdock/containers/web/ports/80", None, 503, message("listens on TCP port 80$")),
    ("POST", "/labdock/containers/nope/ports/80", None, 404, message("^No such container: nope$")),
    ("GET", "/labdock/registry", None, 200, lambda f: f["Running"] is False),
    ("POST", "/labdock/registry", {"Port": 0, "User": "ada", "Password": "x"}, 201, lambda f: f["Address"] == "127.0.0.1"),
    ("POST", "/labdock/registry", {"Port": "x"}, 400, lambda f: "Port" in f["message"]),
    ("POST", "/labdock/registry", {"User": "ada"}, 400, lambda f: "password" in f["message"]),
    ("POST", "/labdock/registry", {"Password": "x"}, 400, lambda f: "without a user" in f["message"]),
    ("DELETE", "/labdock/registry", None, 404, lambda f: "not served" in f["message"]),
    # an engine's defect: an id to find it by, and nothing of the inside
    ("GET", "/info", None, 500, message(r"RuntimeError, request id [0-9a-f]{6}-[0-9a-f]+")),
    ("GET", "/info", None, 500, lambda f: "defect" not in f["message"] and "logs" in f["hint"]),
    # containers
    ("GET", "/containers/json", None, 200, lambda f: len(f) == 1),
    ("GET", "/containers/json?all=True", None, 200, lambda f: len(f) == 2),
    ("GET", "/containers/json?all=false", None, 200, lambda f: len(f) == 1),
    ("GET", "/containers/json?all=NONE", None, 200, lambda f: len(f) == 1),
    ("GET", "/containers/json?limit=x", None, 400, message("^invalid limit")),
    ("GET", "/containers/json?filters={", None, 400, message("^invalid filters")),
    ("GET", "/containers/json?filters=[]", None, 400, message("^invalid filters")),
    ("POST", "/containers/create?name=new", CREATE, 201, lambda f: f == {"Id": "03" * 32, "Warnings": []}),
    ("POST", "/containers/create", {**CREATE, "MacAddress": "x"}, 201, lambda f: f["Warnings"] == ["a warning"]),
    ("POST", "/containers/create?name=web", CREATE, 409, message("^Conflict. The container name \"/web\" is already")),
    ("POST", "/containers/create", {"Image": "nope"}, 404, message("^No such image: nope$")),
    ("POST", "/containers/create", None, 400, message("configuration is missing")),
    ("POST", "/containers/create", b"{", 400, message("not JSON")),
    ("POST", "/containers/create", b"[]", 400, message("must be a JSON object")),
    ("POST", "/containers/create", b"null", 400, any_),
    ("POST", "/containers/create", {"Image": 5}, 400, message(r"^invalid request body: Image: expected `str \| null`, got `int`$")),
    ("POST", "/containers/create", {**CREATE, "HostConfig": {"Binds": [1]}}, 400, message(r"HostConfig\.Binds\[0\]: expected `str`")),
    ("POST", "/containers/create", {**CREATE, "HostConfig": {"PortBindings": {"80/tcp": None}}}, 201, any_),
    ("POST", "/containers/create", {**CREATE, "NoSuchField": {"x": 1}}, 201, any_),
    ("POST", "/containers/create", b" " * (5 << 20), 413, message("larger than 4194304 bytes")),
    ("GET", "/containers/web/json", None, 200, lambda f: f["Id"] == ID and "SizeRw" not in f),
    ("GET", "/containers/web/json?size=1", None, 200, lambda f: f["SizeRw"] == 0),
    ("GET", "/containers/0101/json", None, 200, lambda f: f["Id"] == ID),
    ("GET", "/containers//web/json", None, 200, lambda f: f["Id"] == ID),
    ("GET", "/containers/nope/json", None, 404, message("^No such container: nope$")),
    ("GET", "/containers/web/top", None, 200, lambda f: f["Processes"] == [["1", "-ef"]]),
    ("GET", "/containers/web/top?ps_args=aux", None, 200, lambda f: f["Processes"] == [["1", "aux"]]),
    ("GET", "/containers/web/changes", None, 200, lambda f: f == [{"Path": "/a", "Kind": 1}]),
    ("HEAD", "/containers/web/archive?path=/a", None, 200, lambda b: b == b""),
    ("HEAD", "/containers/web/archive?path=/b", None, 404, any_),
    ("GET", "/containers/web/archive?path=/a", None, 200, lambda b: b == b"tar of a"),
    ("GET", "/containers/web/archive?path=/b", None, 404, message("^Could not find the file /b in container web$")),
    ("PUT", "/containers/web/archive?path=/&noOverwriteDirNonDir=true", b"x", 200, lambda b: b == b""),
    ("PUT", "/containers/nope/archive?path=/", b"x", 404, message("^No such container: nope$")),
    ("GET", "/containers/web/export", None, 200, lambda b: b == b"tar of a"),
    ("POST", "/commit?container=web&repo=a&tag=b&changes=CMD%20x&pause=0", {}, 201, lambda f: f == {"Id": "sha256:" + "ab" * 32}),
    ("POST", "/commit?container=nope", None, 404, message("^No such container: nope$")),
    ("POST", "/commit", None, 400, message("^container .* is missing$")),
    ("POST", "/commit?container=web", {"Cmd": 5}, 400, message("Cmd")),
    ("GET", "/containers/nope/export", None, 404, message("^No such container: nope$")),
    ("POST", "/containers/web/start", None, 304, any_),
    ("POST", "/containers/idle/start", None, 204, any_),
    ("POST", "/containers/nope/start", None, 404, message("^No such container: nope$")),
    ("POST", "/containers/web/stop?t=5", None, 204, any_),
    ("POST", "/containers/web/stop?t=soon", None, 400, message("^invalid t")),
    ("POST", "/containers/idle/stop", None, 304, any_),
    ("POST", "/containers/web/restart", None, 204, any_),
    ("POST", "/containers/web/kill?signal=KILL", None, 204, any_),
    ("POST", "/containers/idle/kill", None, 409, message("is not running")),
    ("POST", "/containers/web/pause", None, 204, any_),
    ("POST", "/containers/web/unpause", None, 204, any_),
    ("POST", "/containers/web/rename?name=www", None, 204, any_),
    ("POST", "/containers/web/update", {"Memory": 1}, 200, lambda f: f == {"Warnings": []}),
    ("POST", "/containers/web/resize?h=24&w=80", None, 200, lambda b: b == b""),
    ("POST", "/containers/web/resize", None, 400, message("h and w")),
    ("POST", "/containers/web/resize?h=-1&w=80", None, 400, message("rows")),
    ("POST", "/containers/web/wait?condition=later", None, 400, message('^invalid condition: "later"$')),
    ("POST", "/containers/nope/wait", None, 404, message("^No such container: nope$")),
    ("GET", "/containers/web/logs", None, 400, message("you must choose at least one stream")),
    ("GET", "/containers/web/logs?stdout=1&since=monday", None, 400, message("^invalid since")),
    ("GET", "/containers/nope/logs?stdout=1", None, 404, message("^No such container: nope$")),
    ("POST", "/containers/nope/attach?stream=1&stdout=1", None, 404, message("^No such container: nope$")),
    ("POST", "/containers/web/attach?detachKeys=ctrl-9", None, 400, message(r"^Invalid detach keys \(ctrl-9\) provided$")),
    ("DELETE", "/containers/web", None, 409, message("Stop the container before")),
    ("DELETE", "/containers/web?force=True&v=1", None, 204, any_),
    ("DELETE", "/containers/idle", None, 204, any_),
    ("DELETE", "/containers/web/alias?link=True", None, 204, any_),
    ("DELETE", "/containers/web/alias", None, 400, message("no slash")),
    ("POST", "/containers/prune", None, 200, lambda f: f["SpaceReclaimed"] == 0),
    # execs
    ("POST", "/containers/web/exec", {"Cmd": ["say", "hi"]}, 201, lambda f: f == {"Id": ID}),
    ("POST", "/containers/web/exec", {}, 400, message("^No exec command specified$")),
    ("POST", "/containers/idle/exec", {"Cmd": ["say"]}, 409, message("is not running")),
    ("POST", "/containers/web/exec", {"Cmd": ["say"], "DetachKeys": "xx"}, 400, message("detach keys")),
    ("POST", "/exec/nope/start", {}, 404, message("^No such exec instance: nope$")),
    ("POST", "/exec/nope/start", {"Detach": True}, 404, message("^No such exec instance: nope$")),
    ("POST", "/exec/nope/resize?h=1&w=1", None, 404, any_),
    ("GET", "/exec/nope/json", None, 404, any_),
    ("POST", "/labdock/exec/nope/kill", None, 404, any_),
    # images: names with slashes, ports, and the words that end other paths
    ("GET", "/images/json", None, 200, lambda f: f[0]["RepoTags"] == ["busybox:latest"]),
    ("GET", "/images/busybox/json", None, 200, lambda f: f["RepoTags"] == ["busybox"]),
    ("GET", "/images/example.com:5000/team/app/json", None, 200, lambda f: f["RepoTags"] == ["example.com:5000/team/app"]),
    ("GET", "/images/example.com:5000%2Fteam%2Fapp/json", None, 200, lambda f: f["RepoTags"] == ["example.com:5000/team/app"]),
    ("GET", "/images/json/json", None, 200, lambda f: f["RepoTags"] == ["json"]),
    ("GET", "/images/nope/json", None, 404, message("^No such image: nope$")),
    ("GET", "/images/busybox/history", None, 200, lambda f: len(f) == 1),
    ("POST", "/images/busybox/tag?repo=mine&tag=1", None, 201, any_),
    ("POST", "/images/busybox/tag", None, 400, message("^repo")),
    ("DELETE", "/images/example.com:5000/team/app?force=1", None, 200, lambda f: f == [{"Untagged": "example.com:5000/team/app"}]),
    ("POST", "/images/create", None, 400, message("^fromImage")),
    ("POST", "/images/create?fromSrc=-&repo=mine&changes=CMD%20x", b"x", 200, lambda f: f["status"] == "sha256:" + "ab" * 32),
    ("POST", "/images/create?fromSrc=http://nowhere/y.tar", b"", 200, any_),
    ("POST", "/images/example.com:5000/team/app/push?tag=1", None, 200, any_),
    ("POST", "/images/nope/push", None, 404, message("^No such image: nope$")),
    ("POST", "/auth", {"username": "u", "password": "right"}, 200, lambda f: f["Status"] == "Login Succeeded"),
    ("POST", "/auth", {"username": "u", "password": "wrong"}, 401, message("^unauthorized: incorrect")),
    ("GET", "/images/search?term=x&limit=3", None, 200, lambda f: f[0]["name"] == "x/3"),
    ("GET", "/images/search", None, 400, message("^term")),
    ("GET", "/distribution/example.com:5000/a/b:1/json", None, 200, lambda f: "Platforms" in f),
    ("GET", "/labdock/manifest?name=x", None, 200, lambda b: b == b'{"schemaVersion":2}'),
    ("GET", "/labdock/manifest", None, 400, message("^name")),
    ("PUT", "/labdock/manifest?name=x&from=y", b"{}", 201, lambda f: f["Digest"].startswith("x y 2 ") and f["Size"] == 2),
    ("PUT", "/labdock/manifest", b"{}", 400, message("^name")),
    ("POST", "/images/create?fromImage=nope", None, 404, message("repository does not exist")),
    ("POST", "/images/create?fromImage=nope", None, 404, lambda f: f["hint"] == "load it"),
    ("GET", "/images/get", None, 400, message("^names")),
    ("GET", "/images/nope/get", None, 404, message("^No such image: nope$")),
    ("POST", "/images/prune", None, 200, any_),
    ("POST", "/build?version=2", None, 501, message("BuildKit")),
    ("POST", "/build?buildargs=[]", None, 400, message("^invalid buildargs")),
    ("POST", "/build?labels={\"a\":1}", None, 400, message("^invalid labels")),
    ("POST", "/build?cachefrom={}", None, 200, any_),
    ("POST", "/build?cachefrom={\"a\":1}", None, 400, message("^invalid cachefrom")),
    ("POST", "/build?target=bad", None, 400, message("^unknown instruction: FORM$")),
    # networks and volumes
    ("GET", "/networks", None, 200, lambda f: f[0]["Name"] == "bridge"),
    ("GET", "/networks/bridge", None, 200, lambda f: f["Name"] == "bridge"),
    ("GET", "/networks/nope", None, 404, message("^network nope not found$")),
    ("POST", "/networks/create", {"Name": "x y"}, 201, lambda f: len(f["Id"]) == 64 and f["Warning"] == ""),
    ("POST", "/networks/create", {"Name": "bridge"}, 409, message("already exists")),
    ("POST", "/networks/create", [], 400, any_),
    ("POST", "/networks/bridge/connect", {"Container": "web"}, 200, any_),
    ("POST", "/networks/nope/connect", {"Container": "web"}, 404, message("^network nope not found$")),
    ("POST", "/networks/bridge/disconnect", {"Container": "web"}, 200, any_),
    ("DELETE", "/networks/bridge", None, 403, message("pre-defined network")),
    ("POST", "/networks/prune", None, 200, any_),
    ("GET", "/volumes", None, 200, lambda f: f["Volumes"] == []),
    ("POST", "/volumes/create", {"Name": "v", "Labels": {"a": "b"}}, 201, lambda f: f == {"Name": "v", "Driver": "local", "Options": {}, "Labels": {"a": "b"}}),
    ("POST", "/volumes/create", None, 201, lambda f: f["Name"] == "ee" * 32),
    ("POST", "/volumes/create", {"Name": 1}, 400, message("Name")),
    ("GET", "/volumes/nope", None, 404, message("no such volume")),
    ("DELETE", "/volumes/nope", None, 404, message("no such volume")),
    ("DELETE", "/volumes/nope?force=1", None, 204, any_),
    ("POST", "/volumes/prune", None, 200, any_),
    # what is not served says so
    ("GET", "/v1.51/containers/nope/stats", None, 404, message("^No such container: nope$")),
    ("GET", "/containers/web/attach/ws", None, 400, message("^not a websocket handshake$")),
    ("POST", "/swarm/leave?force=True", None, 503, message("not a swarm manager")),
    ("GET", "/services", None, 503, message("not a swarm manager")),
    ("GET", "/tasks/x/logs", None, 503, message("not a swarm manager")),
    ("PUT", "/volumes/v?version=1", {}, 503, message("not a swarm manager")),
    ("POST", "/session", None, 501, lambda f: "BuildKit" in f["message"] and "DOCKER_BUILDKIT=0" in f["hint"]),
    ("POST", "/grpc", None, 501, message("BuildKit")),
    ("GET", "/plugins/privileges?remote=x", None, 501, message("does not install managed plugins")),
    ("POST", "/plugins/pull?remote=x", [], 501, message("does not install managed plugins")),
    ("POST", "/plugins/vieux/sshfs/enable", None, 404, message('^plugin "vieux/sshfs" not found$')),
    ("DELETE", "/plugins/vieux/sshfs:latest", None, 404, message('^plugin "vieux/sshfs:latest" not found$')),
    ("GET", "/labdock/api", None, 200, lambda f: {"Method": "GET", "Path": "/info"}.items() <= next(r for r in f["Rows"] if r["Path"] == "/info").items()),
    ("GET", "/labdock/api?openapi=1", None, 200, lambda f: f["paths"]["/info"]["get"]["responses"]["200"]),
    ("GET", "/plugins", None, 200, lambda f: f == []),
    ("GET", "/plugins/nope/json", None, 404, message('^plugin "nope" not found$')),
    ("GET", "/events?since=5&until=3", None, 400, message("^`since` time cannot be after")),
]
# fmt: on


def _has_lines(path: str) -> bool:
    """Whether it is answered by several lines of JSON."""
    return "build" in path or "fromSrc=http" in path


async def _expect(served: Served, method: str, path: str, body: Any, status: int, check: Check) -> None:
    await served.run("sleep")
    await served.ask("POST", "/containers/create?name=idle", CREATE)
    reply = await served.ask(method, path.replace(" ", "%20").replace('"', "%22"), body)
    shown = f"{method} {path} → {reply.status} {reply.body!r}"
    assert reply.status == status, shown
    assert reply.headers["api-version"] == "1.51"
    assert reply.headers["server"].startswith("labdock/")
    is_json = reply.headers.get("content-type") == "application/json" and method != "HEAD" and reply.status != 304
    found = reply.body if not is_json else reply.json() if status != 200 or not _has_lines(path) else reply.lines()
    assert check(found), shown


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line[0]} {line[1]} {line[3]}")
def test_line(line: tuple[str, str, Any, int, Check]) -> None:
    async def main() -> None:
        async with serve() as served:
            await _expect(served, *line)

    asyncio.run(main())


def test_every_row_is_reachable_with_and_without_a_version() -> None:
    """No row hides another: each is found by its own path, in the form that says who answered."""

    async def main() -> None:
        async with serve() as served:
            for row in ROWS:
                if row.handler is not None:
                    continue
                path = row.pattern.replace("...", "").replace("{", "").replace("}", "")
                for prefix in ("", "/v1.51"):
                    reply = await served.ask(row.method, prefix + path)
                    assert reply.status == 501, path
                    if row.method != "HEAD":
                        assert f"{row.method} {row.pattern.replace('...', '')}" in reply.json()["message"]

    asyncio.run(main())


def test_ping_tells_what_clients_negotiate_by() -> None:
    async def main() -> None:
        async with serve() as served:
            headers = (await served.ask("HEAD", "/_ping")).headers
            assert headers["api-version"] == "1.51"
            assert headers["builder-version"] == "1"
            assert headers["ostype"] == "linux"
            assert headers["docker-experimental"] == "false"
            assert headers["cache-control"] == "no-cache, no-store, must-revalidate"
            assert headers["content-type"].startswith("text/plain")

    asyncio.run(main())


def test_filters_reach_the_engine_in_one_form() -> None:
    async def main() -> None:
        async with serve() as served:
            for text in ('{"status":["running"]}', '{"status":{"running":true,"dead":false}}', '{"status":"running"}'):
                await served.ask("GET", f"/containers/json?filters={text}".replace('"', "%22"))
            asked = [call[4] for call in served.engine.containers.calls]
            assert asked == [{"status": ["running"]}] * 3

    asyncio.run(main())
