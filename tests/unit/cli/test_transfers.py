"""Pulls and pushes in a terminal: layers redrawn in place, words that stay, plain lines where nothing is redrawn."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labdock.cli.transfer import Board, show_live, show_plain
from labdock.client.progress import Detail, JobLine
from labdock.client.scripted import Asked, Reply, Script, ScriptedServer
from labdock.commands.transfer_view import TransferView

COMMAND = [sys.executable, "-c", "from labdock.cli import main; main()"]
LINES = (
    b'{"status":"Pulling from library/a","id":"1"}\n',
    b'{"status":"Pulling fs layer","id":"l1"}\n',
    b'{"status":"Downloading","progressDetail":{"current":1000,"total":4000},"id":"l1"}\n',
    b'{"status":"Downloading","progressDetail":{"current":4000,"total":4000},"id":"l1"}\n',
    b'{"status":"Download complete","progressDetail":{},"id":"l1"}\n',
    b'{"status":"Extracting","progressDetail":{"current":4000,"total":4000},"id":"l1"}\n',
    b'{"status":"Pull complete","progressDetail":{},"id":"l1"}\n',
    b'{"status":"Digest: sha256:ab"}\n',
)


class Screen:
    """A terminal that knows what the board uses: lines, carriage returns, cursor up, erase below."""

    def __init__(self, rows: int, columns: int) -> None:
        self.size = rows, columns
        self.lines = [""]
        self.row = 0
        self.written = 0

    def write(self, text: str) -> None:
        self.written += 1
        for part in re.findall(r"\x1b\[\d*[AJ]|[\n\r]|[^\x1b\n\r]+", text):
            if part == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append("")
            elif part == "\x1b[J":
                self.lines[self.row :] = [""]
            elif part.startswith("\x1b["):
                up = int(part[2:-1])
                assert up < self.size[0], "what has scrolled away can't be drawn again"
                self.row -= up
            elif part != "\r":
                assert len(part) < self.size[1], "the line would wrap"
                self.lines[self.row] = part

    @property
    def text(self) -> list[str]:
        return self.lines[:-1] if self.lines[-1] == "" else self.lines


def parts(count: int) -> Iterator[JobLine]:
    for number in range(count):
        yield JobLine(status="Pulling fs layer", id=f"l{number}")
    for number in range(count):
        yield JobLine(status="Downloading", id=f"l{number}", detail=Detail(5, 10))
    for number in range(count):
        yield JobLine(status="Pull complete", id=f"l{number}")


def ticking() -> Iterator[float]:
    now = 0.0
    while True:
        now += 0.06
        yield now


@pytest.mark.parametrize(("rows", "columns", "count"), [(24, 80, 3), (6, 30, 40), (3, 28, 5), (60, 200, 100)])
def test_layers_are_drawn_in_place_in_a_window_of_any_size(rows: int, columns: int, count: int) -> None:
    screen, clock = Screen(rows, columns), ticking()
    view = TransferView("Pulling a")
    lines = [JobLine(status="Pulling from library/a", id="1"), *parts(count), JobLine(status="Digest: sha256:ab")]
    show_live(view, iter(lines), Board(screen.write, lambda: screen.size), lambda: next(clock))
    assert screen.text[:2] == ["1: Pulling from library/a", "Digest: sha256:ab"]
    assert screen.text[-1].startswith("Pulling a · ")
    assert len(screen.text) <= 2 + rows


def test_the_screen_is_drawn_ten_times_a_second_at_most() -> None:
    screen = Screen(24, 80)
    clock = (number / 1000 for number in range(10_000))
    lines = (JobLine(status="Downloading", id="l", detail=Detail(n, 3000)) for n in range(3000))
    show_live(TransferView("Pulling a"), lines, Board(screen.write, lambda: screen.size), lambda: next(clock))
    assert screen.written <= 32


def test_what_passes_does_not_stay() -> None:
    screen, clock = Screen(24, 80), ticking()
    lines = [JobLine(status="Waiting for the registry", detail=Detail(n, 3)) for n in range(3)]
    show_live(TransferView("Pulling a"), iter(lines), Board(screen.write, lambda: screen.size), lambda: next(clock))
    assert screen.text == []


def test_plain_lines_tell_changes_and_no_bytes() -> None:
    said: list[str] = []
    show_plain(TransferView("Pulling a"), parts(2), said.append)
    states = ("Pulling fs layer", "Downloading", "Pull complete")
    assert said == [f"l{number}: {state}" for state in states for number in range(2)]


@pytest.fixture
def script() -> Script:
    return Script().on("POST", "/images/create", Reply(lines=LINES))


@pytest.fixture
def server(script: Script, tmp_path: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(script, tmp_path / "s") as server:
        yield server


def environment(server: ScriptedServer, folder: Path) -> dict[str, str]:
    return os.environ | {"LABDOCK_HOST": f"unix://{server.path}", "DOCKER_CONFIG": str(folder), "TERM": "xterm"}


def test_without_a_terminal_there_is_no_escape_sequence(server: ScriptedServer, tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "pull", "a:1"], env=environment(server, tmp_path), capture_output=True, check=True)
    assert done.stdout == b"docker.io/library/a:1\n"
    assert done.stderr.decode().splitlines() == [
        "Pulling a:1",
        "1: Pulling from library/a",
        "l1: Pulling fs layer",
        "l1: Downloading",
        "l1: Download complete",
        "l1: Extracting",
        "l1: Pull complete",
        "Digest: sha256:ab",
    ]


def run_in_terminal(words: list[str], known: dict[str, str], typed: bytes = b"") -> tuple[int, str]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    shown = b""
    with subprocess.Popen([*COMMAND, *words], env=known, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        while select.select([ours], [], [], 20)[0]:
            try:
                data = os.read(ours, 10_000)
            except OSError:  # the last who held the other side has gone
                break
            if not data:
                break
            shown += data
            if typed and shown.rstrip().endswith(b":"):
                os.write(ours, typed)
                typed = b""
        code = process.wait(10)
    os.close(ours)
    return code, shown.decode()


def test_on_a_terminal_it_ends_with_what_happened(server: ScriptedServer, tmp_path: Path) -> None:
    code, shown = run_in_terminal(["pull", "a:1"], environment(server, tmp_path))
    assert code == 0
    screen = Screen(24, 80)
    screen.write(shown)
    assert screen.text[:2] == ["1: Pulling from library/a", "Digest: sha256:ab"]
    assert re.fullmatch(r"l1  Pull complete +4kB", screen.text[2])
    assert screen.text[3].startswith("Pulling a:1 · 4kB · 1 layer")
    assert screen.text[4:] == ["docker.io/library/a:1"]


def test_an_interrupted_pull_hangs_up_and_says_so(server: ScriptedServer, script: Script, tmp_path: Path) -> None:
    over, begun = threading.Event(), threading.Event()

    def endless() -> Iterator[bytes]:
        yield LINES[1]
        begun.set()
        try:
            while not over.wait(0.02):
                yield LINES[2]
        finally:
            over.set()

    script.on("POST", "/images/create", lambda asked: Reply(lines=endless()))
    with subprocess.Popen(
        [*COMMAND, "pull", "a"], env=environment(server, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert begun.wait(10)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    assert over.wait(5), "the engine still sends: nobody hung up"


def test_a_login_asks_and_does_not_echo_the_password(server: ScriptedServer, script: Script, tmp_path: Path) -> None:
    def check(asked: Asked) -> Reply:
        assert asked.json == {"username": "me", "password": "s3cret", "serveraddress": "reg.example"}
        return Reply(json={"Status": "Login Succeeded", "IdentityToken": ""})

    script.on("POST", "/auth", check)
    known = environment(server, tmp_path / "docker")
    code, shown = run_in_terminal(["login", "-u", "me", "reg.example"], known, b"s3cret\n")
    assert code == 0, shown
    assert "Login Succeeded" in shown
    assert "s3cret" not in shown
    assert "reg.example" in (tmp_path / "docker/config.json").read_text()


def test_nobody_to_ask_is_said(server: ScriptedServer, tmp_path: Path) -> None:
    for words, hint in ((["login"], b""), (["image", "prune"], b"--force")):
        done = subprocess.run(
            [*COMMAND, *words],
            env=environment(server, tmp_path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 1
        assert b"cannot ask: standard input is no terminal" in done.stderr
        assert hint in done.stderr
    assert [asked for asked in server.script.asked if asked.method == "POST"] == []
