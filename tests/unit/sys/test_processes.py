"""Peers, pidfds, links and file systems."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import struct
from pathlib import Path

import pytest

from labdock.sys import filesystems, links, mounts, peers, pidfds


def test_a_peer_is_who_made_the_pair() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert peers.read_peer(one) == peers.Peer(os.getpid(), os.getuid(), os.getgid())


def test_the_loop_is_woken_by_an_end() -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    pidfd = os.pidfd_open(pid)

    async def main() -> None:
        waiting = asyncio.create_task(pidfds.wait_ended(pidfd))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            await waiting

    assert pidfds.block_until_ended(pidfd, 0) is False
    asyncio.run(main())
    assert pidfds.block_until_ended(pidfd, 0) is True
    os.waitpid(pid, 0)
    os.close(pidfd)


@pytest.mark.sandbox
def test_a_link_is_brought_up() -> None:
    def flags() -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
            answer = fcntl.ioctl(anything, 0x8913, struct.pack("16sH22x", b"lo", 0))
        return int(struct.unpack_from("16xH", answer)[0])

    assert flags() & 1 == 0
    links.bring_up("lo")
    assert flags() & 1 == 1
    with pytest.raises(OSError, match="No such device"):
        links.bring_up("nothing")


@pytest.mark.sandbox
def test_the_kind_of_a_file_system(tmp_path: Path) -> None:
    mounts.mount("x", str(tmp_path), "tmpfs")
    assert filesystems.kind_of(tmp_path) == "tmpfs"
    assert filesystems.kind_of("/sys/fs/cgroup") == "cgroup2"
    with pytest.raises(FileNotFoundError):
        filesystems.kind_of(tmp_path / "nothing")
