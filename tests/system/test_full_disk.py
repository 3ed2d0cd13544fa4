"""A full disk: what runs goes on, what can't be done says so, what frees space works, and nothing is lost.

Marked root: only root can mount a small file system for it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registries import Registry, threaded
from tests.system.conftest import EngineUnderTest, short_folder, wait_until
from tests.system.test_pull import add_image

pytestmark = pytest.mark.root

MEBIBYTE = 1 << 20


@pytest.fixture
def small() -> Iterator[EngineUnderTest]:
    """An engine whose data folder is on a file system of 32 MiB."""
    root = short_folder()
    root.chmod(0o755)
    disk = root / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m,mode=755", "none", str(disk)], check=True)
    engine = EngineUnderTest(root)
    engine.data = disk / "data"
    engine.environment["LABDOCK_DATA"] = str(engine.data)
    try:
        yield engine
    finally:
        engine.stop()
        subprocess.run(["umount", str(disk)], check=True)
        disk.rmdir()
        subprocess.run(["rm", "-rf", str(root)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Use up what is left of *disk*, to the last byte, or but for *leave* bytes."""
    ballast = disk / "ballast"
    if leave:
        free = os.statvfs(disk)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - leave))
        return ballast
    with ballast.open("wb", buffering=0) as file:
        for size in (MEBIBYTE, 4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return ballast


def test_on_a_full_disk_containers_end_and_can_be_removed_and_images_stay_whole(small: EngineUnderTest) -> None:
    small.start()
    small.docker("pull", "busybox")
    small.docker("run", "-d", "--name", "ends", "busybox", "sleep", "1")
    small.docker("run", "-d", "--name", "stays", "busybox", "sleep", "1000")
    ballast = fill(small.root / "disk")

    refused = subprocess.run(
        ["docker", "run", "--name", "more", "busybox", "true"],
        env=small.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert refused.returncode == 125
    assert "No space left on device" in refused.stderr or "disk is full" in refused.stderr
    assert small.docker("wait", "ends") == "0"
    wait_until(lambda: small.docker("ps", "-q", "--filter", "name=ends") == "", "the end is told")
    assert small.docker("inspect", "-f", "{{.State.Status}}", "stays") == "running"
    build = subprocess.run(
        ["docker", "build", "-t", "big", "-"],
        env=small.environment,
        input="FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=64\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert build.returncode != 0
    assert small.docker("images", "-q", "big") == ""
    # What frees space works without any.
    small.docker("rm", "ends")
    small.docker("rm", "-f", "stays")
    small.docker("rm", "-f", "more", check=False)

    ballast.unlink()
    assert small.docker("run", "--rm", "busybox", "echo", "again") == "again"
    small.stop()
    small.start()
    assert small.docker("ps", "-aq") == ""
    assert small.docker("images", "--format", "{{.Repository}}") == "busybox"


def test_a_pull_and_a_load_that_fill_the_disk_leave_nothing_and_succeed_when_there_is_room(
    small: EngineUnderTest,
) -> None:
    small.start()
    archive = small.root / "saved.tar"
    with threaded(Registry()) as registry:
        add_image(registry, size=2 * MEBIBYTE)
        name = f"{registry.host}/team/app:1"
        ballast = fill(small.root / "disk", leave=5 * MEBIBYTE)
        pulled = attempt(small, "pull", name)
        assert "No space left on device" in pulled
        assert small.docker("images", "-q") == ""
        ballast.unlink()
        assert "Downloaded newer image" in small.docker("pull", name)
        small.docker("save", "-o", str(archive), name)
        small.docker("rmi", name)
    ballast = fill(small.root / "disk", leave=5 * MEBIBYTE)
    loaded = attempt(small, "load", "-i", str(archive))
    assert "No space left on device" in loaded
    assert small.docker("images", "-q") == ""
    ballast.unlink()
    assert "Loaded image" in small.docker("load", "-i", str(archive))


def test_a_commit_that_fills_the_disk_leaves_no_image_and_a_container_that_goes_on(small: EngineUnderTest) -> None:
    small.start()
    small.docker("pull", "busybox")
    small.docker("run", "-d", "--name", "works", "busybox", "sh", "-c", "while :; do date +%s%N > /dev/shm/tick; done")
    small.docker("exec", "works", "dd", "if=/dev/urandom", "of=/big", "bs=1M", "count=4")
    ballast = fill(small.root / "disk", leave=2 * MEBIBYTE)
    assert "No space left on device" in attempt(small, "commit", "works", "kept")
    assert small.docker("images", "-q", "kept") == ""
    tick = small.docker("exec", "works", "cat", "/dev/shm/tick")
    wait_until(lambda: small.docker("exec", "works", "cat", "/dev/shm/tick") != tick, "its program goes on")
    ballast.unlink()
    assert small.docker("commit", "works", "kept").startswith("sha256:")
    assert small.docker("run", "--rm", "kept", "stat", "-c", "%s", "/big") == str(4 * MEBIBYTE)


def attempt(engine: EngineUnderTest, *arguments: str) -> str:
    """The words of a docker command that must fail."""
    done = subprocess.run(
        ["docker", *arguments], env=engine.environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_an_engine_that_can_not_start_for_want_of_space_says_so(small: EngineUnderTest) -> None:
    ballast = fill(small.root / "disk")
    refused = small.module("start")
    assert refused.returncode == 1
    assert "No space left on device" in refused.stderr
    assert "hint: make room there" in refused.stderr
    ballast.unlink()
    small.start()


def test_a_build_that_fills_the_disk_leaves_no_image_and_a_cache_of_use(small: EngineUnderTest) -> None:
    small.start()
    context = small.root / "context"
    context.mkdir()
    (context / "data").write_bytes(bytes(range(256)) * (10 * MEBIBYTE // 256))
    first = "FROM busybox\nRUN echo first > /first\n"

    def build(dockerfile: str, tag: str) -> subprocess.CompletedProcess[str]:
        (context / "Dockerfile").write_text(dockerfile)
        command = ["docker", "build", "-t", tag, str(context)]
        return subprocess.run(command, env=small.environment, capture_output=True, text=True, check=False, timeout=60)

    # The context takes 10 MiB of 32, its copy as much, the layer as much again: too much in the last step,
    full = build(first + "COPY data /data\n", "half")
    assert full.returncode != 0
    assert "No space left on device" in full.stderr
    # and 40 MiB too much already on the way in.
    (context / "data").write_bytes(bytes(range(256)) * (40 * MEBIBYTE // 256))
    refused = build(first + "COPY data /data\n", "half")
    assert refused.returncode != 0
    assert "No space left on device" in refused.stderr
    (context / "data").write_bytes(b"small\n")
    assert small.docker("images", "-q", "half") == ""
    whole = build(first + "COPY data /data\n", "whole")
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.count("Using cache") == 1
    assert small.docker("run", "--rm", "whole", "cat", "/first", "/data") == "first\nsmall"


def test_a_full_disk_fills_and_imports_no_half_volume(small: EngineUnderTest) -> None:
    small.start()
    small.docker("pull", "busybox")
    dockerfile = "FROM busybox\nRUN mkdir /n && dd if=/dev/zero of=/n/big bs=1M count=6\n"
    small.docker("build", "-t", "big", "-", stdin=dockerfile)
    small.docker("volume", "create", "kept")
    small.docker("run", "--rm", "-v", "kept:/n", "busybox", "sh", "-c", "echo kept > /n/file")
    ballast = fill(small.root / "disk", leave=3 * MEBIBYTE)
    assert "No space left on device" in attempt(small, "run", "--rm", "-v", "fed:/n", "big", "true")
    ballast.unlink()
    # Nothing of it is there, and it is filled when there is room.
    assert small.docker("run", "--rm", "-v", "fed:/n", "big", "stat", "-c", "%s", "/n/big") == str(6 * MEBIBYTE)
    small.docker("volume", "rm", "fed")
    ballast = fill(small.root / "disk")
    small.docker("volume", "rm", "kept")
    ballast.unlink()
    assert small.docker("volume", "ls", "-q") == ""
