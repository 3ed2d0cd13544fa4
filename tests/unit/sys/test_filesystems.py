"""What a file system is told about a folder."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from labdock.sys.filesystems import begin_writing, kind_of, spread

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


def test_what_is_begun_to_be_written_is_as_it_was_and_others_are_left_alone(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b", buffering=0) as file:
        file.write(bytes(1 << 20))
        begin_writing(file.fileno(), 0, 1 << 20)
        begin_writing(file.fileno(), 1 << 30, 1 << 20)
        assert os.fstat(file.fileno()).st_size == 1 << 20
    read, write = os.pipe()
    # A pipe has no place on a disk (ESPIPE).
    begin_writing(write, 0, 1)
    os.close(read)
    os.close(write)
