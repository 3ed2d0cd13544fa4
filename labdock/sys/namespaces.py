"""Namespaces: leaving them (unshare), entering them (setns), and their id maps. man 7 namespaces."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from labdock.sys import libc, mounts

T = TypeVar("T")

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


def in_own_mounts(work: Callable[[], T]) -> T:
    """Run *work* in a thread with a mount namespace of its own, a copy of ours that neither gives nor takes mounts.

    All that it mounts is gone when the thread is, unless it opened the namespace (``/proc/thread-self/ns/mnt``):
    then once that is closed. Raises what *work* raises.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            unshare(NEWNS)
            mounts.mount("none", "/", None, mounts.REC | mounts.PRIVATE)
            results.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="labdock-mounts")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
