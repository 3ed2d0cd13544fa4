"""Which kind of file system a path lies on (man 2 statfs), and what a kind can be told about a folder."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import struct
from typing import Final

from labdock.sys import libc

#: f_type → the name in /proc/filesystems (linux/magic.h), for the kinds that decide something.
KINDS: Final = {
    0x6969: "nfs",
    0x794C7630: "overlay",
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x2FC12FC1: "zfs",
    0x0BD00BD0: "lustre",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x65735546: "fuse",
    0x47504653: "gpfs",
    0x73717368: "squashfs",
    0x63677270: "cgroup2",
}

#: Other machines write to these too: no overlay upper layer, no dependable SQLite WAL.
NETWORKED: Final = frozenset({"nfs", "lustre", "cifs", "smb2", "gpfs"})


def kind_of(path: str | os.PathLike[str]) -> str:
    """The kind's name, or its number in hexadecimal when :data:`KINDS` has none. Raises OSError naming *path*."""
    # struct statfs is 120 bytes on 64-bit Linux and begins with f_type, a long.
    room = ctypes.create_string_buffer(256)
    libc.call("statfs", os.fsencode(path), room, subject=str(path))
    number = ctypes.c_long.from_buffer(room).value & 0xFFFFFFFF
    return KINDS.get(number, hex(number))


_SYNC_WRITE = 2


def begin_writing(fd: int, offset: int, size: int) -> None:
    """Have the kernel begin to write these bytes of a file to the disk: a later fsync waits for less.

    man 2 sync_file_range; where it is not to be had, nothing happens.
    """
    with contextlib.suppress(OSError):
        libc.call("sync_file_range", fd, ctypes.c_int64(offset), ctypes.c_int64(size), _SYNC_WRITE)


_GETFLAGS, _SETFLAGS, _TOPDIR = 0x80086601, 0x40086602, 0x20000


def spread(folder: str | os.PathLike[str]) -> None:
    """Tell ext4 that the folders in *folder* have nothing to do with each other (chattr(1), "T").

    Each is then begun in a part of the disk of its own. Else a new tree lies where the last one was removed, and
    ext4 looks at every inode that was freed there in the last minutes before it takes one (fs/ext4/ialloc.c,
    recently_deleted): 250 µs for a new file instead of 13. Where that can't be told, nothing happens.
    """
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # man 2 ioctl_iflags: declared with a long, read and written as an int.
            before = struct.unpack_from("i", fcntl.ioctl(fd, _GETFLAGS, bytes(8)))[0]
            if not before & _TOPDIR:
                fcntl.ioctl(fd, _SETFLAGS, struct.pack("q", before | _TOPDIR))
        finally:
            os.close(fd)
