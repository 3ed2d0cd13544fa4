"""fork(2) into new namespaces: clone(2) with CLONE_NEW* flags, and Python's own fork hooks kept."""

from __future__ import annotations

import ctypes
import os
import signal

# PyDLL keeps the GIL over the call, as os.fork() does: the child must come back holding it.
_python = ctypes.PyDLL(None, use_errno=True)
_SYS_CLONE = {"x86_64": 56, "aarch64": 220}[os.uname().machine]


def fork_into(flags: int) -> int:
    """As os.fork(), with the child in new namespaces of the kinds in *flags* (namespaces.NEW*, or-ed).

    With NEWPID the child is pid 1 of its namespace and still the caller's own child, which unshare(2)
    followed by fork(2) can't give without a process in between. Single-threaded callers only.
    Raises OSError (EPERM, ENOSPC when user namespaces are switched off or used up).
    """
    _python.PyOS_BeforeFork()
    zero = ctypes.c_ulong(0)
    pid: int = _python.syscall(
        ctypes.c_long(_SYS_CLONE), ctypes.c_ulong(flags | signal.SIGCHLD), zero, zero, zero, zero
    )
    if pid == 0:
        _python.PyOS_AfterFork_Child()
        return 0
    code = ctypes.get_errno()
    _python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(code, f"clone: {os.strerror(code)}", "namespaces")
    return pid
