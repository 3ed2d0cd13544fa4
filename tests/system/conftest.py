"""A real engine of the user's own, in folders of its own, for tests that go through its socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from labdock.daemon.status import describe
from labdock.schema.paths import locate
from tests import stores

DOCKER = shutil.which("docker") or "/usr/bin/docker"
DEADLINE = 20.0


class EngineUnderTest:
    """An engine that is started and stopped as users do it. ``root`` holds its two folders."""

    def __init__(self, root: Path, **environment: str) -> None:
        self.root = root
        self.data = root / "data"
        self.run = root / "run"
        self.environment = {
            **os.environ,
            "LABDOCK_DATA": str(self.data),
            "LABDOCK_RUN": str(self.run),
            "DOCKER_HOST": self.url,
            "DOCKER_CONFIG": str(root / "docker"),
            **environment,
        }

    @property
    def url(self) -> str:
        return f"unix://{self.run}/docker.sock"

    def module(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"labdock.daemon.{name}", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)

    def start(self) -> None:
        done = self.module("start")
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        done = self.module("stop")
        assert done.returncode in (0, 3), done.stderr

    def status(self) -> dict[str, Any]:
        return describe(locate(self.environment, os.getuid()))

    def pid(self, role: str) -> int:
        """The pid of outer, inner or engine, on the host; 0 when there is none at the moment."""
        return next((int(p["pid"]) for p in self.status().get("processes", ()) if p["role"] == role), 0)

    def kill(self, role: str) -> None:
        os.kill(self.pid(role), signal.SIGKILL)

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.url, timeout=60)

    def docker(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """The docker CLI's stdout, without its last newline."""
        done = subprocess.run(
            [DOCKER, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def arm(self, point: str, word: str = "") -> None:
        """Have the engine kill itself at *point* (see labdock.store.intents), once; "stop": stop there."""
        folder = Path(self.environment["LABDOCK_FAILPOINTS"])
        folder.mkdir(exist_ok=True)
        (folder / f".{point}").write_text(word)
        (folder / f".{point}").rename(folder / point)

    def is_armed(self, point: str) -> bool:
        return (Path(self.environment["LABDOCK_FAILPOINTS"]) / point).exists()


def wait_until(condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Look again until *condition* is true; fail the test with *what* after *seconds*."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def short_folder() -> Path:
    """A new folder with a short name: socket paths hold 107 bytes."""
    return Path(tempfile.mkdtemp(prefix="ld-", dir="/tmp"))


@pytest.fixture
def engine() -> Iterator[EngineUnderTest]:
    """An engine that runs, of this test alone."""
    root = short_folder()
    found = EngineUnderTest(root, LABDOCK_FAILPOINTS=str(root / "failpoints"))
    found.start()
    yield found
    # Programs that ignore SIGTERM would each make the stop wait.
    if ids := found.docker("ps", "-aq", check=False).split():
        found.docker("rm", "-f", *ids, check=False)
    found.stop()
    stores.remove(root)
