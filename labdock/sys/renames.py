"""Renaming that never takes anything's place. man 2 renameat2."""

from __future__ import annotations

import ctypes
import errno
import os

from labdock.sys import libc

_NOREPLACE = 1
_AT_FDCWD = -100
_UNKNOWN = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def rename_free(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> bool:
    """Rename *source* to *target* when nothing is there; False when something is. Raises OSError."""
    try:
        libc.call(
            "renameat2",
            ctypes.c_int(_AT_FDCWD),
            os.fsencode(source),
            ctypes.c_int(_AT_FDCWD),
            os.fsencode(target),
            ctypes.c_uint(_NOREPLACE),
            subject=os.fspath(target),
        )
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        # quirk: network file systems and FUSE can't say it in one call.
        if os.path.lexists(target):
            return False
        os.rename(source, target)
    return True
