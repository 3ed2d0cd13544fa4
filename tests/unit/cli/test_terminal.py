"""The labdock command as a process, against a scripted engine on a socket."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labdock.client.scripted import Asked, Reply, Script, ScriptedServer

ID = "ab" * 32
FRAMES = {"Content-Type": "application/vnd.docker.multiplexed-stream"}
RAW = {"Content-Type": "application/vnd.docker.raw-stream"}
COMMAND = [sys.executable, "-c", "from labdock.cli import main; main()"]


def frame(kind: int, data: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(data).to_bytes(4) + data


@pytest.fixture
def script() -> Script:
    return (
        Script()
        .on("GET", "/containers/json", Reply(json=[{"Id": ID, "Names": ["/web"], "State": "running"}]))
        .on("POST", "/containers/create", Reply(201, {"Id": ID}))
        .on("POST", "/containers/[^/]+/(start|resize)", Reply(204))
        .on("POST", "/containers/[^/]+/wait", Reply(json={"StatusCode": 3}))
    )


@pytest.fixture
def server(script: Script, tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(script, tmp_path / "s") as server:
        yield server


def environment(server: ScriptedServer) -> dict[str, str]:
    return os.environ | {"LABDOCK_HOST": f"unix://{server.path}"}


def labdock(server: ScriptedServer, *words: str, given: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run([*COMMAND, *words], env=environment(server), input=given, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_data_on_stdout(server: ScriptedServer) -> None:
    assert labdock(server, "ps", "-q") == (0, "abababababab\n", "")


def test_errors_on_stderr_with_their_hint(server: ScriptedServer, script: Script) -> None:
    script.on("POST", "/containers/x/stop", Reply(404, {"message": "No such container: x", "hint": "look"}))
    assert labdock(server, "stop", "x") == (1, "", "Error: No such container: x\n\nhint: look\n")


def test_of_several_each_is_tried(server: ScriptedServer, script: Script) -> None:
    script.on("POST", "/containers/x/stop", Reply(404, {"message": "No such container: x"}))
    script.on("POST", "/containers/web/stop", Reply(204))
    assert labdock(server, "stop", "x", "web") == (1, "web\n", "Error: No such container: x\n")


@pytest.mark.parametrize(
    ("command", "path", "kind"), [("rm", "/containers/x", "container"), ("rmi", "/images/x", "image")]
)
def test_forcing_away_what_is_not_there_is_no_failure(
    server: ScriptedServer, script: Script, command: str, path: str, kind: str
) -> None:
    script.on("DELETE", path, Reply(404, {"message": f"No such {kind}: x"}))
    assert labdock(server, command, "-f", "x") == (0, "", f"Error response from daemon: No such {kind}: x\n")
    assert labdock(server, command, "x") == (1, "", f"Error: No such {kind}: x\n")


def test_usage_errors_exit_125(server: ScriptedServer) -> None:
    code, out, err = labdock(server, "run", "--nope", "x")
    assert (code, out) == (125, "")
    assert err.startswith("Error: unknown flag: --nope\n\nhint: ")


def test_an_engine_that_is_not_there(server: ScriptedServer, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "ps"],
        env=os.environ | {"LABDOCK_HOST": f"unix://{tmp_path}/none"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"cannot connect to the engine at" in done.stderr
    assert b"\n\nhint: " in done.stderr


def test_a_programs_streams_input_and_exit_code(server: ScriptedServer, script: Script) -> None:
    def talk(connection: socket.socket) -> None:
        data = b""
        while part := connection.recv(65536):
            data += part
        connection.sendall(frame(2, b"problem\n") + frame(1, data.upper()))

    script.on("POST", "/containers/[^/]+/attach", Reply(headers=FRAMES, talk=talk))
    given = b"hello\n" * 50_000
    assert labdock(server, "run", "-i", "x", given=given) == (3, given.decode().upper(), "problem\n")


def test_signals_go_to_the_program(server: ScriptedServer, script: Script) -> None:
    killed = threading.Event()
    signals: list[str] = []

    def kill(asked: Asked) -> Reply:
        signals.extend(asked.query["signal"])
        if len(signals) == 2:
            killed.set()
        return Reply(204)

    def talk(connection: socket.socket) -> None:
        connection.sendall(frame(1, b"ready\n"))
        killed.wait(10)

    script.on("POST", "/containers/[^/]+/attach", Reply(headers=FRAMES, talk=talk))
    script.on("POST", "/containers/[^/]+/kill", kill)
    with subprocess.Popen([*COMMAND, "run", "x"], env=environment(server), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        while len(signals) < 1:
            threading.Event().wait(0.005)
        process.send_signal(signal.SIGUSR1)
        assert process.wait(10) == 3
    assert signals == ["INT", "USR1"]


def test_three_interrupts_are_enough(server: ScriptedServer, script: Script) -> None:
    over = threading.Event()
    count: list[int] = []

    def kill(asked: Asked) -> Reply:
        count.append(1)
        return Reply(204)

    def talk(connection: socket.socket) -> None:
        connection.sendall(frame(1, b"ready\n"))
        over.wait(10)

    script.on("POST", "/containers/[^/]+/attach", Reply(headers=FRAMES, talk=talk))
    script.on("POST", "/containers/[^/]+/kill", kill)
    with subprocess.Popen(
        [*COMMAND, "run", "x"], env=environment(server), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"ready\n"
        for number in range(3):
            process.send_signal(signal.SIGINT)
            while number < 2 and len(count) <= number:
                threading.Event().wait(0.005)
        assert process.wait(10) == 1
        assert b"forcefully exiting" in process.stderr.read()
    over.set()


def test_nobody_reads_the_output(server: ScriptedServer, script: Script) -> None:
    stopped = threading.Event()

    def talk(connection: socket.socket) -> None:
        while not stopped.is_set():
            connection.sendall(frame(1, b"y\n" * 1000))

    def stop(asked: Asked) -> Reply:
        stopped.set()
        return Reply(204)

    script.on("POST", "/containers/[^/]+/attach", Reply(headers=FRAMES, talk=talk))
    script.on("POST", "/containers/[^/]+/stop", stop)
    with subprocess.Popen([*COMMAND, "run", "x", "yes"], env=environment(server), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(10) == 141
    assert stopped.is_set()


def test_a_terminal_is_raw_sized_and_as_before_afterwards(server: ScriptedServer, script: Script) -> None:
    received: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"$ ")
        while part := connection.recv(100):
            received.append(part)
            if b"q" in part:
                return

    script.on("POST", "/containers/[^/]+/attach", Reply(headers=RAW, talk=talk))
    script.on("GET", "/containers/[^/]+/json", Reply(json={"Id": ID, "State": {"Running": False}}))
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 100))
    before = termios.tcgetattr(theirs)
    with subprocess.Popen(
        [*COMMAND, "run", "-it", "x"], env=environment(server), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        assert read_until(ours, b"$ ") == b"$ "
        assert not termios.tcgetattr(theirs)[3] & termios.ICANON
        termios.tcsetwinsize(theirs, (40, 120))
        process.send_signal(signal.SIGWINCH)
        while sum(asked.path.endswith("/resize") for asked in script.asked) < 2:
            threading.Event().wait(0.005)
        os.write(ours, b"\x03q")
        assert process.wait(10) == 3
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
    assert b"".join(received) == b"\x03q"
    sizes = [asked.query for asked in script.asked if asked.path.endswith("/resize")]
    assert sizes == [{"h": ["30"], "w": ["100"]}, {"h": ["40"], "w": ["120"]}]


def read_until(descriptor: int, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end) and select.select([descriptor], [], [], 10)[0]:
        data += os.read(descriptor, 1000)
    return data


def test_a_tty_without_a_terminal(server: ScriptedServer) -> None:
    code, _, err = labdock(server, "run", "-it", "x")
    assert code == 125
    assert err.startswith("Error: the input device is not a TTY")


def test_a_build_tells_its_steps_on_stderr_and_its_image_on_stdout(
    server: ScriptedServer, script: Script, tmp_path: Path
) -> None:
    lines = [
        b'{"event":"started","step":1,"total":2,"text":"FROM busybox","line":1}\n',
        b'{"event":"cached","step":1}\n',
        b'{"event":"started","step":2,"total":2,"text":"RUN echo hi","line":2}\n',
        b'{"event":"output","step":2,"stream":"stdout","text":"hi\\nno end"}\n',
        b'{"event":"done","step":2,"state":"s","seconds":0.25,"size":12}\n',
        b'{"event":"built","image":"sha256:1","names":["app:latest"],"seconds":0.5}\n',
    ]
    script.on("POST", "/build", Reply(lines=lines))
    (tmp_path / "ctx").mkdir()
    (tmp_path / "ctx" / "Dockerfile").write_text("FROM busybox\nRUN echo hi\n")
    assert labdock(server, "build", "-t", "app", str(tmp_path / "ctx")) == (
        0,
        "sha256:1\n",
        "[1/2] FROM busybox\n  cached\n[2/2] RUN echo hi\nhi\nno end\n  0.2 s · 12B\n"
        "Built app:latest in 0.5 s: 2 steps, 1 cached\n",
    )


def test_a_failing_build_marks_the_line(server: ScriptedServer, script: Script) -> None:
    lines = [
        b'{"event":"started","step":2,"total":2,"text":"RUN false","line":2}\n',
        b'{"event":"failed","message":"it returned 1","step":2,"line":2,"end_line":2,"exit_code":1}\n',
    ]
    script.on("POST", "/build", Reply(lines=lines))
    code, out, err = labdock(server, "build", "-", given=b"FROM busybox\nRUN false\n")
    assert (code, out) == (1, "")
    assert err.endswith("  2 | RUN false\n    | ^^^^^^^^^\nBuilding an image failed at step 2\nError: it returned 1\n")


def test_an_archive_is_not_shown_on_a_terminal_but_streams_into_a_pipe(server: ScriptedServer, script: Script) -> None:
    script.on("GET", "/images/get", Reply(lines=[b"tar" * 1000] * 10))
    code, out, _ = labdock(server, "save", "app")
    assert (code, out) == (0, "tar" * 10_000)


def test_saving_to_a_file_leaves_no_half_one(server: ScriptedServer, script: Script, tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError

    script.on("GET", "/images/get", lambda asked: Reply(lines=broken()))
    code, _, err = labdock(server, "save", "-o", str(tmp_path / "a.tar"), "app")
    assert code == 1
    assert "ended before its last chunk" in err
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_the_shell_line_for_docker(server: ScriptedServer) -> None:
    done = subprocess.run(
        [*COMMAND, "engine", "env"], env=os.environ | {"LABDOCK_RUN": "/r u n"}, capture_output=True, check=True
    )
    assert done.stdout == b"export DOCKER_HOST='unix:///r u n/docker.sock'\n"
