"""Each call of the client, as the engine hears it: one line, one expectation."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labdock.client import Client
from labdock.client.credentials import Auth
from labdock.client.registries import Registries, Serving
from labdock.client.scripted import Asked, Reply, Script, ScriptedTransport
from labdock.errors import NoSuchContainer
from labdock.schema.container import CreateRequest, ExecConfig, HostConfig

ID = "ab" * 32
EMPTY: dict[str, list[str]] = {}
LINES = Reply(lines=())
CALLS: list[tuple[Callable[[Client], Any], Any, str, str, dict[str, list[str]]]] = [
    (lambda c: c.system.ping(), None, "GET", "/_ping", EMPTY),
    (lambda c: c.system.info(), {}, "GET", "/info", EMPTY),
    (lambda c: c.system.doctor(), {}, "GET", "/labdock/doctor", EMPTY),
    (lambda c: c.system.api(), {"Rows": []}, "GET", "/labdock/api", EMPTY),
    (lambda c: c.system.openapi(), {}, "GET", "/labdock/api", {"openapi": ["1"]}),
    (lambda c: c.containers.start("a b"), None, "POST", "/containers/a b/start", EMPTY),
    (
        lambda c: c.containers.stop("w", timeout=0, signal="INT"),
        None,
        "POST",
        "/containers/w/stop",
        {"t": ["0"], "signal": ["INT"]},
    ),
    (lambda c: c.containers.restart("w"), None, "POST", "/containers/w/restart", EMPTY),
    (lambda c: c.containers.kill("w", "HUP"), None, "POST", "/containers/w/kill", {"signal": ["HUP"]}),
    (lambda c: c.containers.pause("w"), None, "POST", "/containers/w/pause", EMPTY),
    (lambda c: c.containers.unpause("w"), None, "POST", "/containers/w/unpause", EMPTY),
    (lambda c: c.containers.rename("w", "v"), None, "POST", "/containers/w/rename", {"name": ["v"]}),
    (
        lambda c: c.containers.remove("w", force=True, volumes=True),
        None,
        "DELETE",
        "/containers/w",
        {"force": ["1"], "v": ["1"]},
    ),
    (lambda c: c.containers.resize("w", 24, 80), None, "POST", "/containers/w/resize", {"h": ["24"], "w": ["80"]}),
    (lambda c: c.containers.inspect("w", size=True), {"Id": ID}, "GET", "/containers/w/json", {"size": ["1"]}),
    (
        lambda c: c.containers.list(all=True, limit=3, filters={"status": ["running"]}),
        [],
        "GET",
        "/containers/json",
        {"all": ["1"], "limit": ["3"], "filters": ['{"status":["running"]}']},
    ),
    (lambda c: c.containers.top("w", "-ef"), {}, "GET", "/containers/w/top", {"ps_args": ["-ef"]}),
    (
        lambda c: c.containers.wait("w", "removed"),
        {"StatusCode": 3},
        "POST",
        "/containers/w/wait",
        {"condition": ["removed"]},
    ),
    (
        lambda c: list(c.containers.logs("w", follow=True, tail="5", since="1.5", timestamps=True, tty=False)),
        LINES,
        "GET",
        "/containers/w/logs",
        {"follow": ["1"], "stdout": ["1"], "stderr": ["1"], "since": ["1.5"], "tail": ["5"], "timestamps": ["1"]},
    ),
    (lambda c: c.execs.create("w", ExecConfig(cmd=("ls",))), {"Id": "e"}, "POST", "/containers/w/exec", EMPTY),
    (lambda c: c.execs.start_detached("e"), None, "POST", "/exec/e/start", EMPTY),
    (lambda c: c.execs.resize("e", 1, 2), None, "POST", "/exec/e/resize", {"h": ["1"], "w": ["2"]}),
    (lambda c: c.execs.inspect("e"), {"ID": "e", "ExitCode": None}, "GET", "/exec/e/json", EMPTY),
    (
        lambda c: c.images.list(filters={"reference": ["a"]}),
        [],
        "GET",
        "/images/json",
        {"filters": ['{"reference":["a"]}']},
    ),
    (lambda c: c.images.inspect("library/a:1"), {"Id": ID}, "GET", "/images/library/a:1/json", EMPTY),
    (lambda c: c.images.history("a"), [], "GET", "/images/a/history", EMPTY),
    (lambda c: c.images.tag("a", "b", "c"), None, "POST", "/images/a/tag", {"repo": ["b"], "tag": ["c"]}),
    (
        lambda c: c.images.remove("a", no_prune=True),
        [{"Untagged": "a:latest"}],
        "DELETE",
        "/images/a",
        {"noprune": ["1"]},
    ),
    (lambda c: list(c.images.pull("a", "1")), LINES, "POST", "/images/create", {"fromImage": ["a"], "tag": ["1"]}),
    (
        lambda c: list(c.images.push("localhost:5000/a", "1", platform={"os": "linux"})),
        LINES,
        "POST",
        "/images/localhost:5000/a/push",
        {"tag": ["1"], "platform": ['{"os":"linux"}']},
    ),
    (
        lambda c: list(c.images.import_tar(iter([b"tar"]), "a:1", message="m", changes=["CMD x", "ENV a=b"])),
        LINES,
        "POST",
        "/images/create",
        {"fromSrc": ["-"], "repo": ["a:1"], "message": ["m"], "changes": ["CMD x", "ENV a=b"]},
    ),
    (
        lambda c: c.images.prune({"dangling": ["false"]}),
        {"ImagesDeleted": None, "SpaceReclaimed": 5},
        "POST",
        "/images/prune",
        {"filters": ['{"dangling":["false"]}']},
    ),
    (lambda c: c.registries.login(Auth("me", "pw", "r")), {"Status": "ok"}, "POST", "/auth", EMPTY),
    (
        lambda c: c.registries.search("a", limit=3),
        [{"name": "a", "star_count": 1}],
        "GET",
        "/images/search",
        {"term": ["a"], "limit": ["3"]},
    ),
    (
        lambda c: c.registries.distribution("localhost:5000/a:1"),
        {"Descriptor": {"digest": "sha256:1"}, "Platforms": None},
        "GET",
        "/distribution/localhost:5000/a:1/json",
        EMPTY,
    ),
    (lambda c: c.registries.manifest("a/b:1"), {}, "GET", "/labdock/manifest", {"name": ["a/b:1"]}),
    (lambda c: c.registries.serve(port=0), {"Running": True, "Port": 1}, "POST", "/labdock/registry", EMPTY),
    (lambda c: c.registries.serving(), {"Running": False}, "GET", "/labdock/registry", EMPTY),
    (lambda c: c.registries.stop(), None, "DELETE", "/labdock/registry", EMPTY),
    (
        lambda c: list(c.images.bootstrap("debian:bookworm")),
        LINES,
        "POST",
        "/labdock/images/bootstrap",
        {"name": ["debian:bookworm"]},
    ),
    (lambda c: list(c.images.load(iter([b"tar"]))), LINES, "POST", "/images/load", EMPTY),
    (lambda c: list(c.images.save(["a", "b"])), LINES, "GET", "/images/get", {"names": ["a", "b"]}),
    (lambda c: list(c.system.events(until="5")), LINES, "GET", "/events", {"until": ["5"]}),
    (lambda c: c.networks.list(), [], "GET", "/networks", EMPTY),
    (lambda c: c.networks.inspect("my net"), {"Id": "n"}, "GET", "/networks/my net", EMPTY),
    (lambda c: c.volumes.list(), {"Volumes": None}, "GET", "/volumes", EMPTY),
    (lambda c: c.volumes.inspect("v"), {"Name": "v"}, "GET", "/volumes/v", EMPTY),
    (lambda c: c.volumes.create("v", labels={"a": "1"}), {"Name": "v"}, "POST", "/volumes/create", EMPTY),
    (lambda c: c.volumes.remove("v", force=True), None, "DELETE", "/volumes/v", {"force": ["1"]}),
]


def ask(reply: Any, method: str, path: str, call: Callable[[Client], Any]) -> tuple[Any, Asked]:
    script = Script().on(method, path, reply if isinstance(reply, Reply) else Reply(json=reply))
    found = call(Client(ScriptedTransport(script)))
    return found, script.asked[-1]


@pytest.mark.parametrize(("call", "reply", "method", "path", "query"), CALLS, ids=[f"{c[2]} {c[3]}" for c in CALLS])
def test_calls(call: Callable[[Client], Any], reply: Any, method: str, path: str, query: dict[str, list[str]]) -> None:
    _, asked = ask(reply, method, path, call)
    assert (asked.method, asked.path, asked.query) == (method, path, query)


def test_create_sends_dockers_spelling() -> None:
    request = CreateRequest(image="a", cmd=("b",), host_config=HostConfig(auto_remove=True))
    created, asked = ask(
        {"Id": ID, "Warnings": None},
        "POST",
        "/containers/create",
        lambda client: client.containers.create(request, name="w", platform="linux/amd64"),
    )
    assert asked.json == {"Image": "a", "Cmd": ["b"], "HostConfig": {"AutoRemove": True}}
    assert asked.query == {"name": ["w"], "platform": ["linux/amd64"]}
    assert (created.id, created.warnings) == (ID, ())


def test_build_sends_what_is_not_default() -> None:
    _, asked = ask(
        LINES,
        "POST",
        "/build",
        lambda client: list(
            client.builds.build(
                iter([b"tar"]), names=("a", "b:1"), build_args={"X": None, "Y": "1"}, no_cache=True, cache_from=("c",)
            )
        ),
    )
    assert asked.query == {
        "labdock": ["1"],
        "t": ["a", "b:1"],
        "buildargs": ['{"X":null,"Y":"1"}'],
        "nocache": ["1"],
        "cachefrom": ['["c"]'],
        "rm": ["1"],
    }
    assert asked.body == b"tar"


@pytest.mark.parametrize(
    ("call", "sent"),
    [
        (lambda c: c.serve(), {"Address": "127.0.0.1", "Port": 5000, "ReadOnly": False}),
        (
            lambda c: c.serve(address="0.0.0.0", port=0, user="me", password="pw", read_only=True),  # noqa: S104
            {"Address": "0.0.0.0", "Port": 0, "ReadOnly": True, "User": "me", "Password": "pw"},  # noqa: S104
        ),
    ],
)
def test_what_serving_sends(call: Callable[[Registries], Serving], sent: dict[str, Any]) -> None:
    found, asked = ask(
        Reply(201, {"Running": True, "Address": "::1", "Port": 7}),
        "POST",
        "/labdock/registry",
        lambda client: call(client.registries),
    )
    assert asked.json == sent
    assert found.host == "[::1]:7"


def test_a_given_login_is_sent_and_the_keyrings_otherwise(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"auths": {"localhost:5000": {"auth": "a2VwdDpwdw=="}}}')
    script = Script().on("POST", "/images/create", LINES)
    client = Client(ScriptedTransport(script), {"DOCKER_CONFIG": str(tmp_path)})
    for name, auth in (("localhost:5000/a", None), ("localhost:5000/a", Auth("me", "pw")), ("other.example/a", None)):
        list(client.images.pull(name, "1", auth=auth))
    heads = [base64.urlsafe_b64decode(asked.headers["x-registry-auth"]) for asked in script.asked]
    assert [json.loads(head).get("username") for head in heads] == ["kept", "me", None]


def test_nothing_to_do_is_false() -> None:
    found, _ = ask(Reply(304), "POST", "/containers/w/start", lambda client: client.containers.start("w"))
    assert found is False


def test_results_have_everything_as_it_came() -> None:
    wire = {"Id": ID, "Name": "/web", "State": {"Status": "running", "Running": True, "New": 1}, "Odd": [1]}
    found, _ = ask(wire, "GET", "/containers/web/json", lambda client: client.containers.inspect("web"))
    assert found.state.running
    assert found.raw == wire


def test_errors_come_as_labdocks_own() -> None:
    with pytest.raises(NoSuchContainer, match="No such container: x"):
        ask(
            Reply(404, {"message": "No such container: x"}),
            "GET",
            "/containers/x/json",
            lambda client: client.containers.inspect("x"),
        )
