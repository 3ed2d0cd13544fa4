"""Two commands that change one project at once: the second waits and says so, whatever becomes of the first."""

from __future__ import annotations

import os
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
  base:
    image: busybox:latest
    command: sleep 1000
    init: true
    stop_signal: SIGKILL
    healthcheck: {test: "test -e /now", interval: 50ms, retries: 10000}
  top: {image: "busybox:latest", command: sleep 1000, init: true, stop_signal: SIGKILL,
        depends_on: {base: {condition: service_healthy}}}
  free: {image: "busybox:latest", command: sleep 1000, init: true, stop_signal: SIGKILL}
"""


class Running:
    """``labdock compose WORDS`` under way; what it says goes to a file."""

    def __init__(self, engine: EngineUnderTest, folder: Path, name: str, *words: str) -> None:
        self._file = folder / f"{name}.said"
        with self._file.open("w") as out:
            self.process = subprocess.Popen(
                [*INTERRUPTIBLE, LABDOCK, "compose", *words], env=engine.environment, cwd=folder, stdout=out, stderr=out
            )

    def said(self) -> str:
        return self._file.read_text()

    def hear(self, words: str) -> None:
        wait_until(lambda: words in self.said() or self.process.poll() is not None, words, 60)
        assert words in self.said(), self.said()

    def end(self, code: int = 0) -> str:
        assert self.process.wait(60) == code, self.said()
        return self.said()


Start = Callable[..., Running]


@pytest.fixture
def start(engine: EngineUnderTest, folder: Path) -> Iterator[Start]:
    engine.docker("pull", "busybox:latest")
    (folder / "compose.yaml").write_text(FILE)
    all: list[Running] = []

    def begin(*words: str) -> Running:
        all.append(Running(engine, folder, str(len(all)), *words))
        return all[-1]

    yield begin
    for each in all:
        each.process.kill()
        each.process.wait()


def test_the_second_waits_for_the_first_and_a_killed_one_is_waited_for_no_more(
    engine: EngineUnderTest, folder: Path, start: Start
) -> None:
    first = start("up", "-d")
    first.hear("shop-base-1 Started")
    turn = f"`compose up` (process {first.process.pid}) is changing project shop: waiting for it"
    given_up = start("down")
    given_up.hear(turn)
    os.kill(given_up.process.pid, signal.SIGINT)
    assert "Traceback" not in given_up.end(130)
    # Another project has turns of its own, and what changes nothing waits for nobody.
    labdock(engine, folder, "-p", "other", "up", "-d", "free")
    assert "shop-base-1" in labdock(engine, folder, "ps")
    second = start("up", "-d")
    second.hear(turn)
    labdock(engine, folder, "exec", "-T", "base", "touch", "/now")
    assert "shop-top-1 Started" in first.end()
    assert "shop-top-1 Running" in second.end(), "there was nothing left to do"

    labdock(engine, folder, "down")
    first = start("up", "-d")
    first.hear("shop-base-1 Started")
    second = start("-p", "shop", "down")
    second.hear("waiting for it")
    first.process.kill()
    assert "shop-base-1 Removed" in second.end()
    assert engine.docker("ps", "-a", "--format", "{{.Names}}") == "other-free-1"


def test_many_at_once_make_what_one_would_have_made(engine: EngineUnderTest, folder: Path, start: Start) -> None:
    several = [start("up", "-d", "--scale", "free=3", "free") for _ in range(4)]
    said = "".join(each.end() for each in several)
    assert said.count(" Started") == 3 and said.count("Network shop_default Created") == 1
    mixed = [start(*words) for words in (("down",), ("up", "-d", "free"), ("down",), ("up", "-d", "free"))]
    for each in mixed:
        each.end()
    assert labdock(engine, folder, "ps", "-aq").count("\n") in (0, 1)
    labdock(engine, folder, "down")
    assert engine.docker("ps", "-aq") == "" and "shop" not in engine.docker("network", "ls")
