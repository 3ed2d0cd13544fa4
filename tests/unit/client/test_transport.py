"""The unix transport against a scripted engine on a real socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labdock.client import Client, UnixTransport
from labdock.client.http1 import Request
from labdock.client.scripted import Reply, Script, ScriptedServer
from labdock.errors import EngineUnreachable


@pytest.fixture
def script() -> Script:
    return Script().on("GET", "/version", Reply(json={"Version": "1"}))


@pytest.fixture
def server(script: Script, tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(script, tmp_path / "s") as server:
        yield server


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(EngineUnreachable, match="cannot connect to the engine") as caught:
        UnixTransport(tmp_path / "none").send(Request("GET", "/_ping"))
    assert "labdock engine start" in (caught.value.hint or "")


def test_the_engine_is_started_once_when_nobody_is_there(script: Script, tmp_path: Path) -> None:
    started: list[ScriptedServer] = []
    with Client(
        UnixTransport(tmp_path / "s", lambda: started.append(ScriptedServer(script, tmp_path / "s")))
    ) as client:
        assert client.system.version().version == "1"
        assert client.system.version().version == "1"
    assert len(started) == 1
    started[0].__exit__()


def test_a_start_that_fails_is_what_the_caller_sees(tmp_path: Path) -> None:
    def fail() -> None:
        raise EngineUnreachable("user namespaces are switched off", hint="ask for them")

    with pytest.raises(EngineUnreachable, match="switched off"):
        UnixTransport(tmp_path / "s", fail).send(Request("GET", "/_ping"))


def test_a_socket_that_is_not_ours_is_not_started_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("labdock.client.transport.connect", refuse)
    with pytest.raises(EngineUnreachable, match="Permission denied") as caught:
        UnixTransport(tmp_path / "s", lambda: pytest.fail("must not start")).send(Request("GET", "/_ping"))
    assert "somebody else" in (caught.value.hint or "")


def test_hanging_up_names_the_call(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()

    def hang_up() -> None:
        connection, _ = listener.accept()
        connection.recv(1000)
        connection.close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    with pytest.raises(EngineUnreachable, match="hung up on GET /info") as caught:
        UnixTransport(tmp_path / "s").send(Request("GET", "/info?x=1"))
    assert "engine logs" in (caught.value.hint or "")
    thread.join()
    listener.close()


def test_connections_are_used_again_and_dead_ones_are_not(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    served: list[int] = []

    def serve() -> None:
        for number in range(2):
            connection, _ = listener.accept()
            for _ in range(2):
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
                served.append(number)
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    transport = UnixTransport(tmp_path / "s")
    for _ in range(2):
        assert transport.send(Request("GET", "/")).read() == b"x"
    while not transport._idle or not _closed_by_peer(transport._idle[0]):
        pass
    for _ in range(2):
        assert transport.send(Request("GET", "/")).read() == b"x"
    thread.join()
    transport.close()
    listener.close()
    assert served == [0, 0, 1, 1]


def _closed_by_peer(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def test_an_answer_that_comes_before_the_whole_body_is_read(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()

    def refuse() -> None:
        connection, _ = listener.accept()
        connection.recv(100)
        connection.sendall(b'HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: 17\r\n\r\n{"message":"no!"}')
        connection.shutdown(socket.SHUT_RD)
        connection.close()

    thread = threading.Thread(target=refuse)
    thread.start()
    answer = UnixTransport(tmp_path / "s").send(Request("POST", "/build", body=iter([b"x" * 65536] * 200)))
    assert (answer.status, answer.read()) == (400, b'{"message":"no!"}')
    thread.join()
    listener.close()


def test_ticks_come_while_nothing_does(server: ScriptedServer, script: Script) -> None:
    go = threading.Event()

    def lines() -> Iterator[bytes]:
        yield b"one\n"
        go.wait(10)
        yield b"two\n"

    script.on("GET", "/slow", lambda asked: Reply(lines=lines()))
    with UnixTransport(server.path).send(Request("GET", "/slow")) as answer:
        found = []
        for chunk in answer.chunks(tick=0.02):
            found.append(chunk)
            if found.count(b"") == 3:
                go.set()
    assert b"".join(found) == b"one\ntwo\n"
    assert found.count(b"") >= 3
