"""``run``: in which order things happen, and which exit code comes out."""

from __future__ import annotations

import select
import socket
import threading
from typing import Any

import pytest

from labdock.client import Client
from labdock.client.scripted import Asked, Reply, Script, ScriptedTransport
from labdock.commands import run
from labdock.errors import LabdockError
from labdock.notebook.face import NotebookFace

ID = "ab" * 32
FRAMES = {"Content-Type": "application/vnd.docker.multiplexed-stream"}


def frame(kind: int, data: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(data).to_bytes(4) + data


class Engine:
    """A container that echoes its input in capitals once it was started, and exits with *code*."""

    def __init__(self, code: int = 0) -> None:
        self.started = threading.Event()
        self.script = (
            Script()
            .on("POST", "/containers/create", Reply(201, {"Id": ID, "Warnings": ["no memory limit here"]}))
            .on("POST", f"/containers/{ID}/attach", Reply(headers=FRAMES, talk=self.talk))
            .on("POST", f"/containers/{ID}/wait", Reply(json={"StatusCode": code}))
            .on("POST", f"/containers/{ID}/start", self.start)
        )

    def start(self, asked: Asked) -> Reply:
        self.started.set()
        return Reply(204)

    def talk(self, connection: socket.socket) -> None:
        while not self.started.wait(0.05):
            # Nobody attached any more: the start was refused.
            if select.select([connection], [], [], 0)[0] and not connection.recv(1, socket.MSG_PEEK):
                return
        connection.sendall(frame(1, b"out\n") + frame(2, b"err\n"))
        attached = next(asked for asked in self.script.asked if asked.path.endswith("/attach"))
        if "stdin" in attached.query:
            while data := connection.recv(1000):
                connection.sendall(frame(1, data.upper()))

    def run(self, *words: str, body: str | None = None) -> Any:
        face = NotebookFace(body, client=Client(ScriptedTransport(self.script)))
        try:
            return run(["run", *words], face)
        finally:
            face.close()

    @property
    def paths(self) -> list[str]:
        return [asked.path.rpartition("/")[2] for asked in self.script.asked]


def test_attach_and_wait_come_before_start(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine(code=7)
    assert engine.run("--rm", "busybox", "true").exit_code == 7
    assert engine.paths == ["create", "attach", "wait", "start"]
    assert engine.script.asked[2].query == {"condition": ["removed"]}
    printed = capsys.readouterr()
    assert printed.out == "out\n"
    assert printed.err == "WARNING: no memory limit here\nerr\n"


def test_without_rm_the_next_end_is_waited_for() -> None:
    engine = Engine()
    engine.run("busybox")
    assert engine.script.asked[2].query == {"condition": ["next-exit"]}


def test_input_goes_in_and_its_end_too(capsys: pytest.CaptureFixture[str]) -> None:
    Engine().run("-i", "busybox", "cat", body="hello\n" * 20_000)
    assert capsys.readouterr().out == "out\n" + "HELLO\n" * 20_000


def test_a_missing_image_is_pulled_then_created_again(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine()
    answers = iter([Reply(404, {"message": "No such image: app:1"}), Reply(201, {"Id": ID})])
    engine.script.on("POST", "/containers/create", lambda asked: next(answers))
    engine.script.on("POST", "/images/create", Reply(lines=[b'{"status":"Pulling"}\n']))
    engine.run("app:1")
    assert engine.paths[:3] == ["create", "create", "create"]
    assert engine.script.asked[1].query == {"fromImage": ["docker.io/library/app"], "tag": ["1"]}
    assert "Unable to find image 'app:1' locally" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (409, 'Conflict. The container name "/web" is already in use by container "1".', 125),
        (400, 'exec: "nope": executable file not found in $PATH', 127),
        (400, 'exec: "/etc": permission denied', 126),
        (500, "no space left", 125),
    ],
)
def test_exit_codes_when_it_can_not_start(status: int, message: str, code: int) -> None:
    engine = Engine()
    engine.script.on("POST", f"/containers/{ID}/start", Reply(status, {"message": message}))
    engine.script.on("DELETE", f"/containers/{ID}", Reply(204))
    with pytest.raises(LabdockError) as caught:
        engine.run("--rm", "busybox", "nope")
    assert caught.value.message == message
    assert getattr(caught.value, "exit_code", None) == code
    assert engine.script.asked[-1].method == "DELETE"


def test_an_image_that_is_nowhere_is_not_a_missing_program() -> None:
    engine = Engine()
    engine.script.on("POST", "/containers/create", Reply(404, {"message": "No such image: a:latest"}))
    denied = "pull access denied for a, repository does not exist or may require 'docker login'"
    engine.script.on("POST", "/images/create", Reply(404, {"message": denied, "hint": "build it"}))
    with pytest.raises(LabdockError) as caught:
        engine.run("a")
    assert (caught.value.message, caught.value.hint) == (denied, "build it")
    assert getattr(caught.value, "exit_code", None) == 125


def test_never_pulling_means_it() -> None:
    engine = Engine()
    engine.script.on("POST", "/containers/create", Reply(404, {"message": "No such image: a:latest"}))
    with pytest.raises(LabdockError, match="No such image"):
        engine.run("--pull", "never", "a")
    assert engine.paths == ["create"]


def test_giving_up_stops_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    engine.script.on("POST", f"/containers/{ID}/stop", Reply(204))

    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(NotebookFace, "converse", interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine.run("--rm", "busybox", "sleep", "1000")
    assert engine.script.asked[-1].path == f"/containers/{ID}/stop"
    assert engine.script.asked[-1].query == {"t": ["0"]}


def test_a_detached_container_is_a_card_with_its_port() -> None:
    engine = Engine()
    engine.script.on(
        "GET",
        f"/containers/{ID}/json",
        Reply(
            json={
                "Id": ID,
                "Name": "/web",
                "State": {"Status": "running", "Running": True},
                "Config": {"Image": "hello"},
                "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}},
            }
        ),
    )
    card = engine.run("-d", "-p", "8080:80", "hello")
    assert (str(card), card.name, card.state) == (ID, "web", "running")
    assert 'href="http://localhost:8080/"' in card._repr_html_()
    assert engine.paths == ["create", "start", "json"]
