"""``containers.run`` and ``images.build`` against a scripted engine."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from labdock.client import Client
from labdock.client.builds import BuildError
from labdock.client.programs import Finished, ProgramFailed, Running, RunOptions, request_for
from labdock.client.scripted import Asked, Reply, Script, ScriptedTransport
from labdock.errors import EngineUnreachable, InvalidRequest, NoSuchImage

ID = "ab" * 32
STREAMS = {"Content-Type": "application/vnd.docker.multiplexed-stream"}


def frame(kind: int, data: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(data).to_bytes(4) + data


def talk(connection: socket.socket) -> None:
    connection.sendall(frame(1, b"out\n") + frame(2, b"err\n"))


def echo(connection: socket.socket) -> None:
    data = b""
    while part := connection.recv(1000):
        data += part
    connection.sendall(frame(1, data.upper()))


@pytest.fixture
def script() -> Script:
    return (
        Script()
        .on("POST", "/containers/create", Reply(201, {"Id": ID}))
        .on("POST", "/containers/[^/]+/start", Reply(204))
        .on("POST", "/containers/[^/]+/attach", Reply(headers=STREAMS, talk=talk))
        .on("POST", "/containers/[^/]+/wait", Reply(json={"StatusCode": 0}))
        .on("GET", "/containers/[^/]+/json", Reply(json={"Id": ID, "Name": "/web"}))
        .on("DELETE", "/containers/[^/]+", Reply(204))
    )


@pytest.fixture
def client(script: Script) -> Client:
    return Client(ScriptedTransport(script))


def paths(script: Script) -> list[str]:
    return [asked.path.removeprefix("/containers").replace(ID, "ID") for asked in script.asked]


def test_a_program_runs_to_its_end_and_its_container_is_removed(client: Client, script: Script) -> None:
    assert client.containers.run("busybox", "echo 'a b'") == Finished(0, b"out\n", b"err\n")
    assert paths(script) == ["/create", "/ID/attach", "/ID/wait", "/ID/start", "/ID"]
    assert script.asked[0].json["Cmd"] == ["echo", "a b"]


def test_input_is_sent_to_its_end(client: Client, script: Script) -> None:
    script.on("POST", "/containers/[^/]+/attach", Reply(headers=STREAMS, talk=echo))
    assert client.containers.run("busybox", "cat", input="é" * 50_000).text == "é".encode().upper().decode() * 50_000


def test_another_exit_code_is_an_error_that_has_the_output(client: Client, script: Script) -> None:
    script.on("POST", "/containers/[^/]+/wait", Reply(json={"StatusCode": 3}))
    with pytest.raises(ProgramFailed, match=r"sh -c 'exit 3' in busybox ended with exit code 3: err") as caught:
        client.containers.run("busybox", ["sh", "-c", "exit 3"])
    assert caught.value.finished.stdout == b"out\n"
    assert paths(script)[-1] == "/ID"
    assert client.containers.run("busybox", check=False).exit_code == 3


def test_what_cannot_start_leaves_no_container(client: Client, script: Script) -> None:
    script.on("POST", "/containers/[^/]+/start", Reply(500, {"message": "no"}))
    for detach in (False, True):
        with pytest.raises(Exception, match="no"):
            client.containers.run("busybox", detach=detach)
        assert (script.asked[-1].method, paths(script)[-1]) == ("DELETE", "/ID")


def test_a_container_in_the_background_is_a_context_manager(client: Client, script: Script) -> None:
    with client.containers.run("busybox", detach=True, name="web", ports={80: None}) as web:
        assert isinstance(web, Running)
        assert repr(web) == "<container web>"
        assert paths(script) == ["/create", "/ID/start"]
        with pytest.raises(InvalidRequest, match="port 80 of web is not published"):
            web.port(80)
    assert script.asked[-1].query == {"force": ["1"], "v": ["1"]}


def missing(images: list[str]) -> Callable[[Asked], Reply]:
    def create(asked: Asked) -> Reply:
        return Reply(201, {"Id": ID}) if images else Reply(404, {"message": "No such image: app:latest"})

    return create


def test_an_image_that_is_not_here_is_pulled(client: Client, script: Script) -> None:
    here: list[str] = []

    def pull(asked: Asked) -> Reply:
        here.append(asked.query["fromImage"][0] + "|" + asked.query["tag"][0])
        return Reply(lines=(b'{"status":"done"}\n',))

    script.on("POST", "/containers/create", missing(here)).on("POST", "/images/create", pull)
    with pytest.raises(NoSuchImage):
        client.containers.run("localhost:5000/app", pull="never")
    client.containers.run("localhost:5000/app")
    assert here == ["localhost:5000/app|latest"]


def test_options_are_dockers() -> None:
    options: RunOptions = {
        "environment": {"A": "1"},
        "ports": {80: 8080, "53/udp": None, 81: "127.0.0.1:81"},
        "volumes": {"/host": "/data:ro"},
        "restart": "on-failure:3",
        "cpus": 0.5,
        "network": "net",
        "aliases": ["db"],
        "entrypoint": "sh -c",
    }
    sent = request_for("i", None, options, attach=False, stdin=False, remove=False)
    host: Any = sent.host_config
    assert sent.env == ("A=1",)
    assert {inner: b[0].host_ip + "|" + b[0].host_port for inner, b in host.port_bindings.items()} == {
        "80/tcp": "|8080",
        "53/udp": "|",
        "81/tcp": "127.0.0.1|81",
    }
    assert host.binds == ("/host:/data:ro",)
    assert (host.restart_policy.name, host.restart_policy.maximum_retry_count) == ("on-failure", 3)
    assert host.nano_cpus == 500_000_000
    assert sent.entrypoint == ("sh", "-c")
    networks: Any = sent.networking_config
    assert networks.endpoints_config["net"].aliases == ("db",)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.containers.run("i", nope=1), "unknown options: nope"),
        (lambda c: c.containers.run("i", "'"), "cannot split"),
        (lambda c: c.containers.run("i", pull="maybe"), "pull='maybe'"),
        (lambda c: c.containers.run("i", detach=True, input="x"), "no input"),
        (lambda c: c.images.build(), "build what"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    client: Client, script: Script, call: Callable[[Client], object], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        call(client)
    assert script.asked == []


BUILT = b'{"event":"built","image":"sha256:' + ID.encode() + b'"}\n'
FAILED = b'{"event":"failed","message":"it failed","line":2}\n'


def test_a_build_gives_the_image(client: Client, script: Script) -> None:
    script.on("POST", "/build", Reply(lines=(BUILT,)))
    script.on("GET", "/images/.*/json", Reply(json={"Id": f"sha256:{ID}"}))
    heard: list[object] = []
    assert client.images.build(dockerfile="FROM a", names=["app"], on_event=heard.append).id == f"sha256:{ID}"
    assert len(heard) == 1
    assert b"FROM a" in script.asked[0].body


@pytest.mark.parametrize(("lines", "error"), [((FAILED,), BuildError), ((), EngineUnreachable)])
def test_a_build_without_an_image_is_an_error(
    client: Client, script: Script, lines: tuple[bytes, ...], error: type[Exception]
) -> None:
    script.on("POST", "/build", Reply(lines=lines))
    with pytest.raises(error):
        client.images.build(dockerfile="FROM a")


def test_values_show_themselves_without_markup() -> None:
    script = Script().on("GET", "/containers/x/json", Reply(json={"Id": ID, "Name": "<b>", "State": {"Status": "<i>"}}))
    shown = Client(ScriptedTransport(script)).containers.inspect("x")._repr_mimebundle_()
    assert "raw" not in shown["text/plain"]
    assert "<b>x" not in shown["text/html"]
    assert "&lt;b&gt;" in shown["text/html"]
    assert "&lt;i&gt;" in shown["text/html"]
