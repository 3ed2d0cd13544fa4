"""Engines over tcp, TLS and ssh: real sockets, a real handshake, and an ``ssh`` that runs its command here."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labdock.client import connect
from labdock.client.engine import Endpoint, Tls
from labdock.client.http1 import Request
from labdock.client.remote import dialer
from labdock.client.scripted import Asked, Reply, Script, ScriptedServer
from labdock.client.transport import UnixTransport
from labdock.errors import EngineUnreachable, InvalidRequest, Unsupported

MEGABYTE = 1 << 20


def big(_asked: Asked) -> Reply:
    return Reply(lines=(b"x" * 65_536 for _ in range(16)))


def length(asked: Asked) -> Reply:
    return Reply(json=len(asked.body))


def shout(connection: socket.socket) -> None:
    """Answers in capitals what came before the end of input."""
    said = b"".join(iter(lambda: connection.recv(65_536), b""))
    connection.sendall(said.upper())


SCRIPT = (
    Script()
    .on("GET", "/version", Reply(json={"Version": "7"}))
    .on("GET", "/big", big)
    .on("POST", "/build", length)
    .on("POST", "/talk", Reply(talk=shout))
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(SCRIPT, tmp_path / "s") as server:
        yield server


class Front:
    """A TCP port before a unix socket, by TLS when told."""

    def __init__(self, path: Path, wrap: Callable[[socket.socket], socket.socket]) -> None:
        self._path, self._wrap = path, wrap
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), self._wrap(connection) as front, socket.socket(socket.AF_UNIX) as back:
            back.connect(str(self._path))
            up = threading.Thread(target=self._copy, args=(front, back), daemon=True)
            up.start()
            while data := back.recv(65_536):
                front.sendall(data)

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture
def front(server: ScriptedServer) -> Iterator[Callable[..., int]]:
    made: list[Front] = []

    def open_front(wrap: Callable[[socket.socket], socket.socket] = lambda plain: plain) -> int:
        made.append(Front(server.path, wrap))
        return made[-1].port

    yield open_front
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem (for 127.0.0.1, its own CA) and key.pem."""
    folder = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=engine -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True)
    return folder


@pytest.fixture
def secured(front: Callable[..., int], certificate: Path) -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    context.load_verify_locations(certificate / "cert.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    port: int = front(lambda plain: context.wrap_socket(plain, server_side=True))
    return port


def exchange(transport: UnixTransport) -> None:
    """A short answer, a long one, a long question and a conversation whose end of input is told."""
    assert b'"7"' in transport.send(Request("GET", "/version")).read()
    assert len(transport.send(Request("GET", "/big")).read()) == MEGABYTE
    assert (
        transport.send(Request("POST", "/build", body=iter([b"x" * MEGABYTE] * 3))).read() == str(3 * MEGABYTE).encode()
    )
    with transport.send(Request("POST", "/talk", upgrade=True)).take_over() as stream:
        stream.write(b"hello")
        stream.close_write()
        assert b"".join(iter(stream.read, b"")) == b"HELLO"
    transport.close()


def test_tcp(front: Callable[..., int]) -> None:
    exchange(UnixTransport("there", None, dialer(Endpoint(f"tcp://127.0.0.1:{front()}"))))


@pytest.mark.parametrize("verified", [True, False])
def test_tls(secured: int, certificate: Path, verified: bool) -> None:
    files = Tls(str(certificate / "cert.pem"), str(certificate / "cert.pem"), str(certificate / "key.pem"))
    tls = files if verified else Tls(verify=False)
    exchange(UnixTransport("there", None, dialer(Endpoint(f"tcp://127.0.0.1:{secured}", tls=tls))))


def test_a_server_that_nobody_vouches_for_is_refused(secured: int) -> None:
    client = connect({"DOCKER_HOST": f"tcp://127.0.0.1:{secured}", "DOCKER_TLS_VERIFY": "1", "HOME": "/nonexistent"})
    with pytest.raises(EngineUnreachable, match="certificate verify failed"):
        client.system.version()


def test_a_server_that_wants_tls_gets_the_hint(secured: int) -> None:
    with pytest.raises(EngineUnreachable) as caught:
        connect({"DOCKER_HOST": f"tcp://127.0.0.1:{secured}"}).system.version()
    assert "TLS-enabled daemon without TLS" in (caught.value.hint or "")


def make_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def test_ssh_runs_dial_stdio_there(server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ssh`` is a shell here; what it is told to run is the real far end."""
    programs = tmp_path / "bin"
    programs.mkdir()
    make_program(
        programs / "ssh",
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\nfor last; do :; done\nexec /bin/sh -c "$last"\n',
    )
    far = f"LABDOCK_HOST=unix://{server.path} exec {sys.executable} -c 'from labdock.cli import main; main()'"
    make_program(programs / "labdock", f'#!/bin/sh\n{far} "$@"\n')
    monkeypatch.setenv("PATH", str(programs))
    exchange(UnixTransport("there", None, dialer(Endpoint("ssh://me@far:2222"))))
    words = (tmp_path / "words").read_text().split("\n")
    assert words[2:9] == ["-T", "-l", "me", "-p", "2222", "--", "far"]
    assert "docker system dial-stdio" in words[9]


def test_what_ssh_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_program(tmp_path / "ssh", "#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(EngineUnreachable, match="ssh://far hung up") as caught,
        connect({"DOCKER_HOST": "ssh://far"}) as client,
    ):
        client.system.version()
    assert caught.value.hint == "ssh said: Permission denied (publickey)."


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("ssh://me:secret@far", "plain-text password is not supported"),
        ("ssh://-oProxyCommand=x", "invalid SSH URL"),
        ("ssh://-lx@far", "invalid SSH URL"),
        ("bla", "unable to parse docker host `bla`"),
        ("tcp://h:x", "unable to parse docker host"),
    ],
)
def test_addresses_that_are_none(host: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        dialer(Endpoint(host))


def test_schemes_that_are_not_spoken() -> None:
    with pytest.raises(Unsupported, match="does not speak npipe://"):
        dialer(Endpoint("npipe:////./pipe/docker"))
