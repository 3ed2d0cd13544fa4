"""Namespaces: leaving them (unshare), entering them (setns), and their id maps. man 7 namespaces."""

from __future__ import annotations

import ctypes
import os

from labdock.sys import libc

NEWCGROUP = 0x02000000
NEWIPC = 0x08000000
NEWNET = 0x40000000
NEWNS = 0x00020000
NEWPID = 0x20000000
NEWUSER = 0x10000000
NEWUTS = 0x04000000


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces of the kinds in *flags* (NEW*, or-ed)."""
    libc.call("unshare", ctypes.c_int(flags), subject="namespaces")


def setns(fd: int, kind: int = 0) -> None:
    """Enter the namespace behind *fd* (an nsfs file, or a pidfd with *kind* flags)."""
    libc.call("setns", ctypes.c_int(fd), ctypes.c_int(kind), subject=f"fd {fd}")


#: setgroups, setresgid, setresuid (asm/unistd.h).
_SYS_SET_IDS = {"x86_64": (116, 119, 117), "aarch64": (159, 149, 147)}[os.uname().machine]


def become_root() -> None:
    """Take uid, gid 0 and no supplementary groups inside a fresh, mapped user namespace.

    For a process that forks.fork_into made: only the calling thread changes.
    """
    # quirk: glibc's own wrappers make every thread it knows of follow (man 7 nptl), and wait for one that is just
    # being created. After a raw clone it still knows the parent's threads, which are not here: os.setgroups()
    # would never return.
    groups, gids, uids = _SYS_SET_IDS
    zero = ctypes.c_long(0)
    libc.syscall(groups, ctypes.c_size_t(0), None, subject="groups")
    libc.syscall(gids, zero, zero, zero, subject="gid 0")
    libc.syscall(uids, zero, zero, zero, subject="uid 0")
