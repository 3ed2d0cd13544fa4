"""mount(2) and its family. man 2 mount, umount2, pivot_root; man 7 mount_namespaces."""

from __future__ import annotations

import ctypes

from labdock.sys import libc

RDONLY = 0x1
NOSUID = 0x2
NODEV = 0x4
NOEXEC = 0x8
REMOUNT = 0x20
BIND = 0x1000
MOVE = 0x2000
REC = 0x4000
UNBINDABLE = 0x20000
PRIVATE = 0x40000
SLAVE = 0x80000
SHARED = 0x100000
MNT_DETACH = 0x2

#: mount(8) option words that are flags; all other words are data for the file system.
FLAGS: dict[str, int] = {
    "ro": RDONLY,
    "rw": 0,
    "nosuid": NOSUID,
    "nodev": NODEV,
    "noexec": NOEXEC,
    "bind": BIND,
    "rbind": BIND | REC,
    "remount": REMOUNT,
    "private": PRIVATE,
    "rprivate": PRIVATE | REC,
    "slave": SLAVE,
    "rslave": SLAVE | REC,
    "shared": SHARED,
    "rshared": SHARED | REC,
}


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """mount(2); raises OSError naming *target*."""
    libc.call(
        "mount",
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
        subject=target,
    )


def mount_options(source: str, target: str, kind: str, options: tuple[str, ...]) -> None:
    """mount(2) with mount(8)'s option words; a read-only bind takes the second, remounting call it needs."""
    flags = 0
    data = []
    for word in options:
        if word in FLAGS:
            flags |= FLAGS[word]
        else:
            data.append(word)
    propagation = flags & (PRIVATE | SLAVE | SHARED | UNBINDABLE)
    flags &= ~propagation
    mount(source, target, None if flags & BIND else kind, flags, ",".join(data) or None)
    if flags & BIND and flags & ~(BIND | REC):
        # quirk: bind ignores every flag but REC on the first call (man 2 mount, "Creating a bind mount").
        mount("none", target, None, (flags & ~REC) | REMOUNT)
    if propagation:
        mount("none", target, None, propagation | (flags & REC))


def unmount(target: str, flags: int = 0) -> None:
    """umount2(2); raises OSError naming *target*."""
    libc.call("umount2", target.encode(), ctypes.c_int(flags), subject=target)
