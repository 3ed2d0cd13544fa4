"""What a file system is told about a folder."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from labdock.sys.filesystems import kind_of, spread

_GETFLAGS, _TOPDIR = 0x80086601, 0x20000


def flags(folder: Path) -> int:
    fd = os.open(folder, os.O_RDONLY)
    try:
        found: int = struct.unpack_from("i", fcntl.ioctl(fd, _GETFLAGS, bytes(8)))[0]
    finally:
        os.close(fd)
    return found


def test_ext4_spreads_a_folders_folders_and_others_are_left_alone(tmp_path: Path) -> None:
    before = flags(tmp_path)
    spread(tmp_path)
    spread(tmp_path)
    assert flags(tmp_path) == before | (_TOPDIR if kind_of(tmp_path) == "ext4" else 0)
    inner = tmp_path / "inner"
    inner.mkdir()
    assert not flags(inner) & _TOPDIR
    # proc knows no such flags, and what is not there has none.
    spread("/proc/self")
    spread(tmp_path / "none")
