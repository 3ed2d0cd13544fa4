"""What a process says of itself to the kernel. man 2 prctl."""

from __future__ import annotations

import ctypes
import os

from labdock.sys import libc

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
#: asm/unistd.h; linux/keyctl.h.
_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
_KEYCTL_JOIN_SESSION_KEYRING = 1


def _prctl(option: int, value: object) -> None:
    libc.call("prctl", ctypes.c_int(option), value, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def set_name(name: str) -> None:
    """Set the thread's comm (at most 15 bytes are kept)."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]))


def die_with_parent(signal: int) -> None:
    """Ask for *signal* when the parent *thread* ends; cleared by a set-id exec and by fork."""
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal))


def set_dumpable(on: bool) -> None:
    """Own /proc/self files again after a change of ids (newuidmap's caller must own /proc/PID)."""
    _prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(int(on)))


def become_subreaper() -> None:
    _prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))


def set_no_new_privs() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))


def leave_keyring() -> int:
    """Begin a session keyring of its own, empty; its serial number. The one inherited may hold a login's keys.

    Raises OSError: ENOSYS and EPERM where there are none, EDQUOT when this user has too many. man 2 keyctl.
    """
    return libc.syscall(_SYS_KEYCTL, ctypes.c_int(_KEYCTL_JOIN_SESSION_KEYRING), None, subject="session keyring")
