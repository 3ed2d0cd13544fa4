"""POSIX record locks: the kernel knows who holds a byte, and frees it with its holder."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from labdock.sys import locks


def test_the_holder_is_named_and_its_death_frees_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    ready, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        fd = os.open(path, os.O_RDWR)
        os.write(say, b"y" if locks.take(fd, 0) else b"n")
        signal.pause()
        os._exit(0)
    fd = os.open(path, os.O_RDWR)
    try:
        assert os.read(ready, 1) == b"y"
        assert locks.holder(fd, 0) == pid
        assert locks.holder(fd, 1) is None
        assert locks.take(fd, 0) is False
        assert locks.take(fd, 1) is True
        os.kill(pid, signal.SIGKILL)
        locks.wait(fd, 0)
        assert locks.holder(fd, 0) is None, "one's own"
        locks.release(fd, 0)
    finally:
        os.waitpid(pid, 0)
        for end in (fd, ready, say):
            os.close(end)


def test_a_descriptor_that_cannot_write_cannot_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(OSError, match="Bad file descriptor"):
        locks.take(fd, 0)
    os.close(fd)
