# ruff: noqa: E501  (a table: one line, one expectation)
"""Keys and signals at commands that take their time: each ends at once, with docker's code, and leaves nobody behind."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import registries
from tests.command_line import KEPT

from .clients import Docker, Terminal, wait_until

LABDOCK = [sys.executable, "-c", "from labdock.cli import main; main()"]
#: Seconds for what takes a tenth of one on a machine with nothing else to do.
SOON = 5.0
TRAP = "sh -c 'trap \"echo caught; exit 7\" {signal}; while :; do echo up; sleep 0.05; done'"

# Docker's own goes on at Ctrl-C with --sig-proxy=false, and its build exits with 0 then: those are not followed.
# (words, what shows that it is at work, "key" for Ctrl-C or a signal, exit code, whether docker's own is asked too)
# fmt: off
LINES = [
    ("logs -f web", "tick", "key", 130, True),
    ("logs -f web", "tick", "TERM", 143, True),
    ("logs -f web", "tick", "HUP", -1, True),
    ("events --since 1", "container start", "key", 130, True),
    ("events --since 1", "container start", "TERM", 143, False),
    ("events --since 1", "container start", "HUP", -1, False),
    ("stats", "web", "key", 130, True),
    ("stats", "web", "TERM", 143, False),
    ("stats", "web", "HUP", -1, False),
    ("wait web", "", "key", 130, True),
    ("wait web", "", "TERM", 143, False),
    ("wait web", "", "HUP", -1, False),
    # A terminal's keys are the program's; signals are passed on to it.
    ("run -it --rm busybox " + TRAP.format(signal="INT"), "up", "key", 7, True),
    ("run -i --rm busybox " + TRAP.format(signal="INT"), "up", "key", 7, True),
    ("run -it --rm busybox " + TRAP.format(signal="TERM"), "up", "TERM", 7, True),
    ("run -it --rm busybox " + TRAP.format(signal="HUP"), "up", "HUP", 7, True),
    ("run -it --rm busybox " + TRAP.format(signal="USR1"), "up", "USR1", 7, True),
    ("run --rm --sig-proxy=false --name left busybox " + TRAP.format(signal="INT"), "up", "key", 130, False),
    ("attach --sig-proxy=false web", "tick", "key", 130, False),
    ("attach --sig-proxy=false web", "tick", "TERM", 143, False),
    ("attach trapping", "up", "key", 7, False),
    ("attach --sig-proxy=false --no-stdin typing", "", "TERM", 143, False),
    ("pull {stalled}/app", "(?i)tag|app|pull", "key", 130, True),
    ("pull {stalled}/app", "(?i)tag|app|pull", "TERM", 143, True),
    ("pull {stalled}/app", "(?i)tag|app|pull", "HUP", -1, False),
    ("build {folder}", "building", "key", 130, False),
    ("build {folder}", "building", "TERM", 143, True),
    ("build {folder}", "building", "HUP", -1, False),
    ("compose -f {folder}/compose.yaml up", "tock", "key", 130, False),
    ("compose -f {folder}/compose.yaml up", "tock", "TERM", 143, False),
]
# fmt: on


@pytest.fixture
def stage(docker: Docker, tmp_path: Path) -> Iterator[dict[str, str]]:
    docker.ok("run", "-d", "--name", "web", "busybox", "sh", "-c", "while :; do echo tick; sleep 0.05; done")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo building; sleep 1000\n")
    service = (
        "image: busybox\n    command: sh -c 'while :; do echo tock; sleep 0.05; done'\n    stop_grace_period: 0s\n"
    )
    (tmp_path / "compose.yaml").write_text(f"name: stage\nservices:\n  one:\n    {service}")
    with registries.threaded(registries.Registry()) as registry:
        registry.misbehave("GET", "/manifests/", registries.Stall(), times=1000)
        yield {"folder": str(tmp_path), "stalled": registry.host}


def session_of(pid: int) -> set[int]:
    """Who is left of the session that *pid* leads."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if os.getsid(int(entry.name)) == pid:
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def has_asked(pid: int) -> bool:
    """Whether the process has a connection."""
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(os.readlink(entry))
    return any(link.startswith("socket:") for link in links)


@pytest.mark.limit(400)
def test_whatever_takes_its_time_ends_at_once_and_leaves_nobody(docker: Docker, stage: dict[str, str]) -> None:
    is_kept = f"version {KEPT}." in docker.ok("--version")
    wrong = []
    for words, ready, how, code, docker_too in LINES:
        split = [word.format_map(stage) if "{" in word else word for word in shlex.split(words)]
        for program in ([docker.program], LABDOCK) if docker_too and is_kept else (LABDOCK,):
            if "trapping" in words:
                docker.ok("run", "-d", "--name", "trapping", "busybox", *shlex.split(TRAP.format(signal="INT")))
            if "typing" in words:
                docker.ok("run", "-dit", "--name", "typing", "busybox", "sh")
            with Terminal([*program, *split], docker.environment, 24, 150) as terminal:
                if ready:
                    terminal.expect(ready)
                else:
                    wait_until(lambda pid=terminal.pid: has_asked(pid), "it speaks to the engine")  # type: ignore[misc]
                begun = time.monotonic()
                if how == "key":
                    terminal.send("\x03")
                else:
                    os.kill(terminal.pid, getattr(signal, f"SIG{how}"))
                try:
                    ended = terminal.wait_for(SOON)
                except subprocess.TimeoutExpired:
                    ended = None
                took = time.monotonic() - begun
                left = session_of(terminal.pid)
            who = "labdock" if program is LABDOCK else "docker"
            if ended != code or left or (took > SOON):
                wrong.append(
                    f"{who} {words} {how}: {ended}, not {code}, after {took:.1f} s; left {left}; {terminal.seen[-200:]!r}"
                )
            docker("rm", "-f", "left", "trapping", "typing", "stage-one-1")
            if docker("inspect", "-f", "{{.State.Running}}", "web").out != "true\n":
                wrong.append(f"{who} {words} {how}: ended the container")
                docker.ok("start", "web")
    assert not wrong, "\n".join(wrong)
    # Neither a step of a build nor a program that was run goes on.
    wait_until(lambda: docker.ok("ps", "--format", "{{.Names}}").split() == ["web"], "only web runs")


@pytest.mark.parametrize(("words", "code"), [("logs -f web", 141), ("stats --format x", 141), ("inspect web", 0)])
def test_a_reader_that_has_enough_ends_the_writer_quietly(
    docker: Docker, stage: dict[str, str], words: str, code: int
) -> None:
    for program in (docker.program, shlex.join(LABDOCK)):
        script = f"{program} {words} | head -1; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", script], env=docker.environment, capture_output=True, timeout=60)
        # Who writes all before the reader goes has not noticed.
        assert done.returncode in (code, 141) and done.stderr == b"" and done.stdout.count(b"\n") == 1, program
