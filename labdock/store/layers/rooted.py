"""Folders below a root, found by dir fds: no name, link or ``..`` leads out of it. man 2 openat2."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections import deque

from labdock.sys import libc

_OPENAT2 = 437
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x02, 0x04, 0x08, 0x10
FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MOST_LINKS = 40
_RETRIES = 32


def open_folder(root: int, path: bytes, *, links: bool = True) -> int:
    """A new fd of the folder *path* below the folder fd *root*, as a process with that root would find it.

    ``links`` false: no symbolic link on the way is followed (ELOOP). Raises OSError.
    """
    if not path or path == b".":
        return os.open(b".", FLAGS, dir_fd=root)
    how = struct.pack("QQQ", FLAGS, 0, _NO_MAGICLINKS | (_IN_ROOT if links else _BENEATH | _NO_SYMLINKS))
    for _ in range(_RETRIES):
        try:
            return libc.syscall(
                _OPENAT2,
                ctypes.c_int(root),
                ctypes.c_char_p(path),
                ctypes.c_char_p(how),
                ctypes.c_size_t(len(how)),
                subject=os.fsdecode(path),
            )
        except OSError as error:
            if error.errno == errno.EAGAIN:
                # quirk: a rename or mount anywhere in the system while ".." is resolved (man 2 openat2, EAGAIN).
                continue
            if error.errno in (errno.ENOSYS, errno.EPERM):
                # Before Linux 5.6, or under a seccomp filter that does not know the call.
                break
            raise
    return walk_folder(root, path, links=links)


def walk_folder(root: int, path: bytes, *, links: bool = True) -> int:
    """As :func:`open_folder`, name by name, where openat2 is not to be had."""
    stack = [os.open(b".", FLAGS, dir_fd=root)]
    names = deque(path.split(b"/"))
    followed = 0
    try:
        while names:
            name = names.popleft()
            if name in (b"", b"."):
                continue
            if name == b"..":
                if len(stack) > 1:
                    os.close(stack.pop())
                continue
            try:
                stack.append(os.open(name, FLAGS | os.O_NOFOLLOW, dir_fd=stack[-1]))
                continue
            except OSError as error:
                # quirk: O_DIRECTORY|O_NOFOLLOW on a link is ENOTDIR, as on a file.
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
            target = _read_link(name, stack[-1])
            followed += 1
            if followed > _MOST_LINKS or not links:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))
            if target.startswith(b"/"):
                while len(stack) > 1:
                    os.close(stack.pop())
            names.extendleft(reversed(target.split(b"/")))
        return stack.pop()
    finally:
        for fd in stack:
            os.close(fd)


def _read_link(name: bytes, folder: int) -> bytes:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fsdecode(name)) from error
        raise


def remove_tree(folder: int, name: bytes) -> None:
    """Remove *name* in the folder fd *folder* and all below it; no link is followed, any depth is fine.

    Raises OSError; ESTALE when somebody moves folders of the tree meanwhile.
    """
    try:
        os.unlink(name, dir_fd=folder)
        return
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
    here = os.open(name, FLAGS | os.O_NOFOLLOW, dir_fd=folder)
    try:
        # Only one folder is open at a time: names and identities of those above are kept instead.
        trail = [(name, _identity(folder), _empty(here))]
        while True:
            entered, above, pending = trail[-1]
            if pending:
                child = pending.pop()
                next_fd = os.open(child, FLAGS | os.O_NOFOLLOW, dir_fd=here)
                trail.append((child, _identity(here), _empty(next_fd)))
                os.close(here)
                here = next_fd
                continue
            trail.pop()
            up = os.open(b"..", FLAGS, dir_fd=here) if trail else os.dup(folder)
            os.close(here)
            here = up
            if _identity(here) != above:
                raise OSError(errno.ESTALE, "the tree moved while it was removed", os.fsdecode(name))
            os.rmdir(entered, dir_fd=here)
            if not trail:
                return
    finally:
        os.close(here)


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _empty(fd: int) -> list[bytes]:
    """Unlink everything in *fd* but folders; gives the folders."""
    folders = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(os.fsencode(entry.name))
            else:
                os.unlink(entry.name, dir_fd=fd)
    return folders


def follow(root: int, path: bytes) -> bytes:
    """*path* as a process with the root fd *root* would go it: a path from the root without links, ``.`` or ``..``.

    What is not there is taken as it is written. Raises OSError (ELOOP, ENOTDIR).
    """
    found: list[bytes] = []
    names = deque(path.split(b"/"))
    followed = 0
    while names:
        name = names.popleft()
        if name in (b"", b"."):
            continue
        if name == b"..":
            del found[-1:]
            continue
        try:
            folder = open_folder(root, b"/".join(found), links=False)
        except FileNotFoundError:
            found.append(name)
            continue
        try:
            target = os.readlink(name, dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
            found.append(name)
            continue
        finally:
            os.close(folder)
        followed += 1
        if followed > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))
        if target.startswith(b"/"):
            found.clear()
        names.extendleft(reversed(target.split(b"/")))
    return b"/".join(found)
