"""The engine as the machine's root starts it: it runs, says whom containers' root is, and leaves nothing behind.

Run by ``scripts/test.sh`` as root, apart from the suite (which an unprivileged user runs).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

pytestmark = pytest.mark.root

LABDOCK = Path(sys.executable).parent / "labdock"

#: Found again by it among all processes of the host.
SLEEP = "86399"


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one engine and the environment that names them."""

    data: Path
    run: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "LABDOCK_DATA": str(self.data), "LABDOCK_RUN": str(self.run)}

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def daemon(self, verb: str) -> subprocess.CompletedProcess[str]:
        return self.call(sys.executable, "-m", f"labdock.daemon.{verb}")


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Folders that the ids which stand in for root can reach; whatever happens, the engine is ended."""
    base = tmp_path_factory.mktemp("root")
    for folder in (base, base.parent):
        folder.chmod(0o755)
    spot = Place(base / "data", base / "run")
    try:
        yield spot
    finally:
        spot.daemon("stop")


def test_root_gets_an_engine_and_containers_are_not_host_root_unless_it_says_why(place: Place) -> None:
    started = place.daemon("start")
    assert started.returncode == 0, started.stderr
    client = docker.DockerClient(base_url=f"unix://{place.run}/docker.sock", timeout=60)
    try:
        container = client.containers.run("busybox", ["sleep", SLEEP], detach=True)
        uid = _host_uid(SLEEP)
        warnings = client.info().get("Warnings") or []
        container.remove(force=True)
    finally:
        client.close()
    said = "\n".join([started.stderr, place.daemon("status").stdout, *warnings])
    assert uid != 0 or "host root" in said, f"containers' root is host root, and nothing says so:\n{said}"


def test_the_command_line_runs_a_container_for_root(place: Place) -> None:
    done = place.call(str(LABDOCK), "run", "--rm", "busybox", "echo", "up and running")
    assert (done.returncode, done.stdout) == (0, "up and running\n"), done.stderr


def test_stopping_leaves_no_process_no_mount_no_folder(place: Place) -> None:
    assert place.daemon("start").returncode == 0
    done = place.call(str(LABDOCK), "run", "-d", "busybox", "sleep", SLEEP)
    assert done.returncode == 0, done.stderr
    assert _processes_of(place)
    assert place.daemon("stop").returncode == 0
    deadline = time.monotonic() + 10
    while (left := _processes_of(place)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, left
    assert str(place.run) not in Path("/proc/self/mounts").read_text()
    assert not place.run.exists() or not list(place.run.iterdir())


def _host_uid(argument: str) -> int:
    """The uid, in the host's numbering, of the process whose last argument is *argument*."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for pid in _pids():
            words = _read(pid, "cmdline").split("\0")
            if words[:1] == ["sleep"] and argument in words:
                line = next(x for x in _read(pid, "status").splitlines() if x.startswith("Uid:"))
                return int(line.split()[1])
        time.sleep(0.05)
    raise AssertionError(f"no process `sleep {argument}` on the host")


def _processes_of(place: Place) -> list[str]:
    """What runs for the engine at *place*: its name in the environment or the arguments, or our sleep."""
    needle = str(place.run)
    return [
        f"{pid} {_read(pid, 'cmdline').replace(chr(0), ' ')}"
        for pid in _pids()
        if pid != os.getpid()
        and (needle in _read(pid, "environ") or needle in _read(pid, "cmdline") or SLEEP in _read(pid, "cmdline"))
        and " Z " not in _read(pid, "stat")
    ]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""
