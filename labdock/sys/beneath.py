"""Opening paths that can't leave a folder, whatever symlinks and ".." they hold. man 2 openat2."""

from __future__ import annotations

import ctypes
import os
import struct

from labdock.sys import libc

#: Absolute paths and symlinks start at the folder, ".." stops there: the folder is "/".
IN_ROOT = 0x10
#: Leaving the folder is an error (EXDEV).
BENEATH = 0x08
NO_SYMLINKS = 0x04
NO_MAGICLINKS = 0x02
NO_XDEV = 0x01

_SYS_OPENAT2 = 437
_AT_FDCWD = -100


def open_beneath(folder: int, path: str, flags: int, mode: int = 0, resolve: int = IN_ROOT | NO_MAGICLINKS) -> int:
    """open(2) *path* as if the directory descriptor *folder* were the root; returns a close-on-exec descriptor.

    Raises OSError naming *path* (EXDEV, ELOOP: what *resolve* forbids).
    """
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)
    return libc.syscall(
        _SYS_OPENAT2,
        ctypes.c_int(folder),
        os.fsencode(path),
        ctypes.c_char_p(how),
        ctypes.c_size_t(len(how)),
        subject=path,
    )
