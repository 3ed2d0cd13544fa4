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


def become_root() -> None:
    """Take uid, gid 0 and no supplementary groups inside a fresh, mapped user namespace."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
