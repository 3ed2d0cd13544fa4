"""``compose up`` attached and ``compose logs``: restarts are followed, exits end it, services are chosen."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import EngineUnderTest, wait_until
from .test_compose import INTERRUPTIBLE, folder, labdock

__all__ = ["folder"]
LABDOCK = str(Path(sys.executable).with_name("labdock"))

FILE = """
services:
  long: {image: "busybox:latest", command: sh -c 'echo it runs; exec sleep 1000', init: true, stop_signal: SIGKILL}
  job: {image: "busybox:latest", command: sh -c 'echo working; exit 7', depends_on: [long]}
  quiet: {image: "busybox:latest", command: echo not shown, attach: false}
"""


def test_a_container_that_restarts_is_followed_until_it_ends_for_good(engine: EngineUnderTest, folder: Path) -> None:
    engine.docker("pull", "busybox:latest")
    (folder / "compose.yaml").write_text(
        "services:\n  again: {image: 'busybox:latest', restart: 'on-failure:2', command: sh -c 'echo a line; exit 4'}\n"
    )
    said = labdock(engine, folder, "up")
    assert said.count("again-1  | a line\n") == 3, said
    assert said.count("again-1 exited with code 4") == 1


@pytest.fixture
def started() -> Iterator[Callable[[subprocess.Popen[bytes]], subprocess.Popen[bytes]]]:
    """Hands a process on, and ends it with the test."""
    all: list[subprocess.Popen[bytes]] = []

    def take(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        all.append(process)
        return process

    yield take
    for process in all:
        process.kill()
        process.wait()


def test_what_has_started_is_heard_while_others_still_wait_for_it(
    engine: EngineUnderTest, folder: Path, started: Callable[[subprocess.Popen[bytes]], subprocess.Popen[bytes]]
) -> None:
    engine.docker("pull", "busybox:latest")
    (folder / "compose.yaml").write_text(
        "services:\n"
        "  base: {image: 'busybox:latest', init: true, stop_signal: SIGKILL,\n"
        "         command: sh -c 'seq 1000; echo it runs; exec sleep 1000',\n"
        "         healthcheck: {test: test -e /now, interval: 50ms, retries: 10000}}\n"
        "  early: {image: 'busybox:latest', command: sh -c 'echo over; exit 3'}\n"
        "  after: {image: 'busybox:latest', command: echo at last, depends_on: {base: {condition: service_healthy}}}\n"
    )
    with (folder / "output").open("w+") as output:
        up = started(
            subprocess.Popen(
                [*INTERRUPTIBLE, LABDOCK, "compose", "up"], env=engine.environment, cwd=folder, stdout=output
            )
        )

        def hear(text: str) -> None:
            wait_until(lambda: re.search(text, (folder / "output").read_text()), text)

        hear(r"base-1   \| it runs\n")
        hear(r"early-1 exited with code 3\n")
        assert "after" not in (folder / "output").read_text(), "it waits for the other"
        engine.docker("exec", "shop-base-1", "touch", "/now")
        hear(r"after-1  \| at last\n")
        engine.docker("kill", "shop-base-1")
        assert up.wait(60) == 0
    said = (folder / "output").read_text()
    # All of it, once, and in its order.
    assert re.findall(r"base-1   \| (\d+)\n", said) == [str(n) for n in range(1, 1001)]
    assert said.count("at last") == said.count("over\n") == said.count("after-1 exited with code 0") == 1


def test_what_is_started_again_by_hand_is_shown_again(
    engine: EngineUnderTest, folder: Path, started: Callable[[subprocess.Popen[bytes]], subprocess.Popen[bytes]]
) -> None:
    engine.docker("pull", "busybox:latest")
    (folder / "compose.yaml").write_text(FILE)
    with (folder / "output").open("w+") as output:
        up = started(
            subprocess.Popen(
                [*INTERRUPTIBLE, LABDOCK, "compose", "up"], env=engine.environment, cwd=folder, stdout=output
            )
        )

        def lines(text: str) -> int:
            return len(re.findall(text, (folder / "output").read_text()))

        wait_until(lambda: lines(r"long-1 +\| it runs\n"), "its output")
        wait_until(lambda: lines(r"job-1 exited with code 7\n"), "the job's end")
        engine.docker("start", "shop-job-1")
        wait_until(lambda: lines(r"job-1 +\| working\n") == 2, "the job's output, once more")
        wait_until(lambda: lines(r"job-1 exited with code 7\n") == 2, "the job's end, once more")
        os.kill(up.pid, signal.SIGINT)
        assert up.wait(60) == 130
    assert "not shown" not in (folder / "output").read_text()
    assert engine.docker("ps", "-q") == "", "all of it was stopped"


def test_an_exit_ends_it_when_that_is_asked_for(engine: EngineUnderTest, folder: Path) -> None:
    engine.docker("pull", "busybox:latest")
    (folder / "compose.yaml").write_text(FILE)
    said = labdock(engine, folder, "up", "--abort-on-container-exit", "long", "job", code=7)
    assert "Aborting on container exit..." in said and "shop-long-1 Stopped" in said
    said = labdock(engine, folder, "up", "--abort-on-container-failure", "--attach", "job", code=7)
    assert "job-1  | working" in said and "it runs" not in said
    said = labdock(engine, folder, "up", "--no-attach", "long", "--exit-code-from", "job", code=7)
    assert "it runs" not in said
    assert "no such service: jbo" in labdock(engine, folder, "up", "--attach", "jbo", code=1)


def test_a_projects_name_alone_is_enough(engine: EngineUnderTest, folder: Path, tmp_path: Path) -> None:
    engine.docker("pull", "busybox:latest")
    (folder / "compose.yaml").write_text(
        FILE.replace("init: true", "init: true, expose: ['80'], ports: ['127.0.0.1::80']")
    )
    labdock(engine, folder, "up", "-d", "long", "job")
    away = tmp_path / "away"
    away.mkdir()

    def named(*words: str, code: int = 0) -> str:
        return labdock(engine, away, "-p", "shop", *words, code=code)

    wait_until(lambda: "Exited (7)" in named("ps", "-a"), "the job's end")
    assert named("ls") == labdock(engine, folder, "ls") and "shop" in named("ls", "-q")
    assert named("ps", "--services").split() == ["long"]
    assert "long-1  | it runs" in named("logs")
    assert "sleep 1000" in named("top", "long")
    assert re.fullmatch(r"127\.0\.0\.1:\d+\n", named("port", "long", "80"))
    assert named("exec", "-T", "long", "echo", "hello") == "hello\n"
    assert "no such service: lnog" in named("stop", "lnog", code=1)
    assert "shop-long-1 Paused" in named("pause") and "shop-long-1 Unpaused" in named("unpause")
    assert "shop-long-1 Restarted" in named("restart", "long")
    assert "shop-long-1 Stopped" in named("stop")
    assert "shop-long-1 Started" in named("start", "long")
    assert "shop-long-1 Killed" in named("kill")
    wait_until(lambda: named("ps", "-q") == "", "the kill")
    assert "shop-job-1 Removed" in named("rm", "-f", "job")
    assert "Network shop_default Removed" in named("down")
    assert 'No resource found to remove for project "shop"' in named("down")
    assert engine.docker("ps", "-aq") == ""
