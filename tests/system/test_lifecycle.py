"""The engine's life, as its user and an administrator see it: started once, healed, stopped without a trace.

Real processes, namespaces and slirp4netns; in the engine process, the two rooms behind it are a stand-in
(standin_engine.py), so that each failure can be had on demand.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labdock.daemon import status, stop
from labdock.errors import EngineUnreachable
from labdock.schema.paths import Paths
from labdock.sys import mounts, pidfds
from tests import stores

HERE = Path(__file__).parent


class Site:
    """One pair of folders, and what tests do with the engine in them."""

    def __init__(self, folder: Path) -> None:
        self.paths = Paths(folder / "data", folder / "run")
        self.environment = {
            **os.environ,
            "LABDOCK_DATA": str(self.paths.data),
            "LABDOCK_RUN": str(self.paths.run),
            "PYTHONPATH": str(HERE.parents[1]),
            "EXAMPLE_TOKEN": "secret",
        }

    def spawn_start(self, *mode: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", str(HERE / "standin_start.py"), *mode]
        return subprocess.Popen(
            command, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def start(self, *mode: str) -> tuple[int, str, str]:
        """Status, stdout, stderr of one start."""
        with self.spawn_start(*mode) as starter:
            out, err = starter.communicate(timeout=60)
        return starter.returncode, out, err

    def started(self, *mode: str) -> dict[str, Any]:
        code, out, err = self.start(*mode)
        assert code == 0, err
        outcome: dict[str, Any] = json.loads(out)
        return outcome

    def get(self, path: str) -> bytes:
        """The body of one GET over the API socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(self.paths.socket))
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        return answer.partition(b"\r\n\r\n")[2]

    def status(self) -> dict[str, Any]:
        return status.describe(self.paths)

    def pid_of(self, role: str) -> int:
        return next(int(entry["pid"]) for entry in self.status()["processes"] if entry["role"] == role)

    def family(self) -> list[int]:
        """pidfds of outer and everything below it."""
        return [os.pidfd_open(pid) for pid in descend(self.status()["pid"])]

    def leftovers(self) -> list[str]:
        """Whatever of this site's engine is still to be seen on the host's side."""
        marks = (str(self.paths.run).encode(), str(self.paths.data).encode())
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                # A zombie (init has not got round to it) has an empty environment.
                environment = (process / "environ").read_bytes()
                if process.name != str(os.getpid()) and any(mark in environment for mark in marks):
                    found.append(f"process {process.name} {(process / 'comm').read_text().strip()}")
            except OSError:
                continue
        for table in ("/proc/self/mountinfo", "/proc/net/unix"):
            found += [line for line in Path(table).read_text().splitlines() if marks[0].decode() in line]
        found += [str(path) for path in self.paths.run.glob("**")]
        found += [str(path) for path in self.paths.data.iterdir() if path.name not in ("lock", "engine.log", "closed")]
        return found


def descend(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in descend(int(child)))]


def wait_ended(family: list[int], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    for pidfd in family:
        assert pidfds.block_until_ended(pidfd, deadline - time.monotonic())
        os.close(pidfd)


@pytest.fixture
def site() -> Iterator[Site]:
    # Not tmp_path: containers' root may be another id, which can't enter pytest's own folders.
    folder = Path(tempfile.mkdtemp(prefix="labdock-test-"))
    folder.chmod(0o755)
    here = Site(folder)
    try:
        yield here
    finally:
        stop.stop(here.paths)
        stores.remove(folder)


def test_a_start_answers_and_says_what_it_did(site: Site) -> None:
    outcome = site.started()
    assert outcome["state"] == "ready"
    assert site.get("/_ping") == b"OK"
    told = site.status()
    assert told["rung"] == "R0" and told["ready"]
    if os.getuid() == 0:
        assert told["identity"] in ("root-mapped", "root-identity")
        assert any("containers' root is" in notice for notice in outcome["notices"])
    else:
        assert told["identity"] == "user"
    assert [Path(f"/proc/{entry['pid']}/comm").read_text().strip() for entry in told["processes"]] == [
        "labdock-outer",
        "labdock-inner",
        "labdock-engine",
    ]
    assert site.started()["state"] == "running"


def test_the_engine_gets_a_clean_place(site: Site) -> None:
    site.started()
    facts = json.loads(site.get("/facts"))
    assert "EXAMPLE_TOKEN" not in facts["environment"] and "LABDOCK_HANDOVER" not in facts["environment"]
    assert facts["environment"]["LABDOCK_RUN"] == str(site.paths.run)
    assert (facts["umask"], facts["folder"]) == (0o022, "/")
    assert f" {site.paths.box} " in facts["mounts"] and " /sys/fs/cgroup " in facts["mounts"]
    assert facts["resolv"] == "nameserver 10.0.2.3\n"
    assert site.paths.socket.stat().st_mode & 0o777 == 0o600
    assert site.paths.run.stat().st_mode & 0o777 == 0o700
    assert list(site.paths.box.iterdir()) == [], "the box is a mount of the sandbox only"


def test_ten_racing_starts_make_one_engine(site: Site) -> None:
    racers = [site.spawn_start() for _ in range(10)]
    outcomes = [(*racer.communicate(timeout=60), racer.returncode) for racer in racers]
    assert [code for _, _, code in outcomes] == [0] * 10, outcomes
    states = sorted(json.loads(out)["state"] for out, _, _ in outcomes)
    assert states == ["ready", *["running"] * 9]
    assert site.paths.log.read_text().count("the engine answers on") == 1
    assert site.get("/_ping") == b"OK"


def test_a_stale_socket_is_replaced(site: Site) -> None:
    site.paths.run.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(site.paths.socket))
    site.started()
    assert site.get("/_ping") == b"OK"


def test_a_killed_engine_comes_back_on_the_same_socket(site: Site) -> None:
    site.started()
    before = site.paths.socket.stat().st_ino
    killed = site.pid_of("engine")
    pidfd = os.pidfd_open(killed)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    wait_ended([pidfd])
    assert site.get("/_ping") == b"OK", "a client waits in the socket's queue meanwhile"
    assert site.pid_of("engine") != killed
    assert site.paths.socket.stat().st_ino == before


def test_nothing_survives_a_killed_outer_and_the_next_start_heals(site: Site) -> None:
    site.started()
    family = site.family()
    assert len(family) >= 4, "outer, inner, engine, slirp4netns"
    os.kill(site.status()["pid"], signal.SIGKILL)
    wait_ended(family)
    assert site.status()["running"] is False
    assert site.paths.socket.exists(), "left behind"
    site.started()
    assert site.get("/_ping") == b"OK"


def test_stop_leaves_nothing(site: Site) -> None:
    site.started()
    family = site.family()
    assert stop.stop(site.paths) is True
    wait_ended(family, 0.0)
    assert (site.paths.data / "closed").read_text() == "gracefully"
    assert site.leftovers() == []
    assert stop.stop(site.paths) is False


def test_an_engine_that_does_not_end_is_ended_and_that_is_said(site: Site) -> None:
    site.started("hang")
    family = site.family()
    with pytest.raises(EngineUnreachable, match=r"did not end within 0\.3 s and was killed"):
        stop.stop(site.paths, seconds=0.3)
    wait_ended(family)
    site.started()


def test_a_store_has_one_engine(site: Site) -> None:
    site.started()
    holder = site.status()["pid"]
    other = Site(site.paths.data.parent)
    other.paths = Paths(site.paths.data, site.paths.run.with_name("other"))
    other.environment["LABDOCK_RUN"] = str(other.paths.run)
    code, _, err = other.start()
    assert code == 1
    assert f"the store {site.paths.data} is in use by another engine (pid {holder}, run folder {site.paths.run})" in err
    assert "\n\nhint: use that one" in err
    assert not other.paths.run.exists()
    assert site.get("/_ping") == b"OK"


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("broken", "writing the store: No space left on device\n\nhint: make room"),
        ("bug", "the engine can't start: ZeroDivisionError: a bug (standin_engine.py:"),
        ("crash", "SystemError: crashed before anything could be said"),
    ],
)
def test_an_engine_that_cannot_start_is_explained_to_the_caller(site: Site, mode: str, words: str) -> None:
    code, _, err = site.start(mode)
    assert code == 1
    assert words in err
    assert site.leftovers() == []
    site.started()


def test_a_missing_program_is_named_with_its_package(site: Site) -> None:
    tools = site.paths.run.with_name("tools")
    tools.mkdir()
    for name in ("conmon", "nft", "newuidmap", "newgidmap", "slirp4netns"):
        found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
        assert found, f"{name} is not installed"
        (tools / name).symlink_to(found)
    site.environment["LABDOCK_PATH"] = str(tools)
    code, _, err = site.start()
    assert (code, err) == (1, "crun not found on PATH\n\nhint: install with: sudo apt-get install crun\n")
    assert site.leftovers() == []


def test_an_engine_that_keeps_dying_is_given_up(site: Site) -> None:
    site.started("fragile")
    family = site.family()
    wait_ended(family, 30.0)
    assert "the engine ended 5 times in a row, at last with signal SIGABRT" in site.paths.log.read_text()
    assert site.leftovers() == []


def test_an_idle_engine_ends_by_itself(site: Site) -> None:
    site.environment["LABDOCK_IDLE_STOP"] = "0.3"
    site.started()
    wait_ended(site.family())
    assert "idle for 0.3 s" in site.paths.log.read_text()
    assert site.leftovers() == []


def test_stop_during_a_start_ends_it_and_the_starter_is_told(site: Site) -> None:
    starter = site.spawn_start("slow")
    deadline = time.monotonic() + 20
    while not (site.paths.data / "tmp").exists():
        assert time.monotonic() < deadline and starter.poll() is None
        time.sleep(0.02)
    assert stop.stop(site.paths) is True
    _, err = starter.communicate(timeout=20)
    assert starter.returncode == 1
    assert "asked to end" in err
    assert site.leftovers() == []


def test_a_folder_of_somebody_else_is_not_used(site: Site) -> None:
    site.paths.run.symlink_to("/tmp")
    code, _, err = site.start()
    assert code == 1
    assert f"{site.paths.run} is not a folder of yours" in err and "LABDOCK_RUN" in err
    site.paths.run.unlink()
    site.paths.data.mkdir(exist_ok=True)


@pytest.mark.sandbox
def test_a_full_disk_is_called_that(tmp_path: Path) -> None:
    here = Site(tmp_path)
    here.paths.data.mkdir()
    mounts.mount("full", str(here.paths.data), "tmpfs", 0, "size=64k")
    with (here.paths.data / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError, match="No space"):
        while True:
            ballast.write(bytes(4096))
    code, _, err = here.start()
    assert code == 1
    assert "No space left on device" in err and "hint: make room there" in err
    (here.paths.data / "ballast").unlink()
    here.started()
    stop.stop(here.paths)


@pytest.mark.sandbox
def test_root_of_a_user_namespace_can_start_one_too(tmp_path: Path) -> None:
    here = Site(tmp_path)
    outcome = here.started()
    assert here.status()["identity"] == "root-identity"
    assert any("containers run as host root" in notice for notice in outcome["notices"])
    stop.stop(here.paths)
