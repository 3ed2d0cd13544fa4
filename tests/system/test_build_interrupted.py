"""Builds that end in the middle: the client goes, or the engine. No image is left half, and the cache is of use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.conftest import EngineUnderTest, wait_until

LABDOCK = str(Path(sys.executable).with_name("labdock"))


def start(engine: EngineUnderTest, context: Path, tag: str = "half") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [LABDOCK, "build", "-t", tag, str(context)],
        env=engine.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def build(engine: EngineUnderTest, context: Path, tag: str = "whole") -> str:
    with start(engine, context, tag) as building:
        said, _ = building.communicate(timeout=100)
    assert building.returncode == 0, said
    return said


def read_until(building: subprocess.Popen[str], text: str) -> None:
    assert building.stdout is not None
    seen = []
    for line in building.stdout:
        seen.append(line)
        if text in line:
            return
    raise AssertionError("".join(seen))


def leftovers(engine: EngineUnderTest) -> list[str]:
    """What a build has in its folders."""
    folder = engine.data / "builds"
    found = os.listdir(folder)
    return [name for part in ("contexts", "work") if part in found for name in os.listdir(folder / part)]


def write(folder: Path, dockerfile: str, files: int = 0) -> Path:
    (folder / "Dockerfile").write_text(dockerfile)
    (folder / "src").mkdir(exist_ok=True)
    for number in range(files):
        (folder / f"src/{number:05}").write_text(f"{number}\n" * 100)
    return folder


def test_a_client_that_goes_ends_its_step_and_keeps_those_before(engine: EngineUnderTest, tmp_path: Path) -> None:
    context = write(tmp_path, "FROM busybox\nRUN echo first > /first\nRUN echo here; sleep 300\n")
    with start(engine, context) as building:
        read_until(building, "here")
        building.kill()
    wait_until(lambda: not leftovers(engine), "the build's folders are empty")
    assert engine.docker("images", "-q", "half") == ""
    assert engine.docker("ps", "-aq") == ""
    write(tmp_path, "FROM busybox\nRUN echo first > /first\nRUN echo second\n")
    said = build(engine, context)
    assert "[2/3] RUN echo first > /first\n  cached\n" in said


def test_a_client_that_goes_while_it_sends(engine: EngineUnderTest) -> None:
    head = (
        b"POST /build?t=half HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\nContent-Length: 1000000\r\n\r\n"
    )
    for sent in (b"", bytes(512), b"Dockerfile".ljust(100, b"\0") + b"junk" * 103, bytes(700_000)):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(engine.run / "docker.sock"))
            connection.sendall(head + sent)
            time.sleep(0.05)
    wait_until(lambda: not leftovers(engine), "the contexts are gone")
    assert engine.docker("images", "-q", "half") == ""
    assert "Successfully built" in engine.docker("build", "-", stdin="FROM busybox\nRUN true\n")


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.15, 0.3, 0.6])
def test_an_engine_killed_in_a_copy(engine: EngineUnderTest, tmp_path: Path, delay: float) -> None:
    """At any moment of it: while files are written, packed, recorded."""
    dockerfile = "FROM busybox\nRUN echo first > /first\n"
    build(engine, write(tmp_path, dockerfile))
    context = write(tmp_path, dockerfile + "COPY src /src\nRUN ls /src | wc -l > /count\n", files=3_000)
    with start(engine, context) as building:
        read_until(building, "COPY src")
        time.sleep(delay)
        engine.kill("engine")
        building.communicate(timeout=30)
    wait_until(lambda: engine.docker("version", check=False), "the next engine answers")
    # Killed after the end, it is whole; else there is none.
    if engine.docker("images", "-q", "half"):
        assert engine.docker("run", "--rm", "half", "cat", "/count") == "3000"
    assert not leftovers(engine)
    said = build(engine, context)
    assert "RUN echo first > /first\n  cached\n" in said
    assert engine.docker("run", "--rm", "whole", "cat", "/count", "/src/02999").split()[:2] == ["3000", "2999"]
