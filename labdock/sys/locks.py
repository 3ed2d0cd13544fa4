"""POSIX record locks on single bytes, and who holds them. man 2 fcntl, "Advisory record locking".

The kernel drops a process's locks when it ends, however it ends, and says the holder's pid: there is no pid
file to go stale. Two traps of this kind of lock, for callers: closing *any* descriptor of the file drops all
of the process's locks on it, and a forked child does not have them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

# struct flock on 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid (native alignment pads after l_whence).
_FLOCK = struct.Struct("@hhqqi4x")


def take(fd: int, byte: int) -> bool:
    """Take *byte* of the file for this process, exclusively; False when another process has it.

    *fd* is open for writing. Raises OSError (ENOLCK: the file system can't lock).
    """
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte, os.SEEK_SET)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def wait(fd: int, byte: int) -> None:
    """Take *byte* exclusively, sleeping in the kernel until its holder lets go or ends.

    A signal handler that raises ends the wait. Raises OSError (ENOLCK, EDEADLK).
    """
    fcntl.lockf(fd, fcntl.LOCK_EX, 1, byte, os.SEEK_SET)


def release(fd: int, byte: int) -> None:
    """Let go of *byte*."""
    fcntl.lockf(fd, fcntl.LOCK_UN, 1, byte, os.SEEK_SET)


def holder(fd: int, byte: int) -> int | None:
    """The pid of the *other* process that has *byte*; None when it is free or the caller's own.

    0 stands for a process that the caller's pid namespace can't name.
    """
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else max(pid, 0)
