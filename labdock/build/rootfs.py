"""Folders in an image's tree that is being written: found and made below its root, and whose names own them. Blocking.

Nobody else writes to the tree meanwhile; still, nothing in it (a link made by a RUN step, say) leads out of it.
"""

from __future__ import annotations

import errno
import os
import stat

from labdock.errors import InvalidRequest
from labdock.store.layers.rooted import FLAGS, open_folder

Owner = tuple[int, int]
_MOST_LINKS = 40
_LONGEST_DATABASE = 4 << 20


def make_folder(root: int, path: bytes, owner: Owner = (0, 0), depth: int = 0) -> int:
    """An fd of the folder *path* below the folder fd *root*; what is missing is made, 0755 and *owner*'s.

    Raises NotADirectoryError, OSError.
    """
    try:
        return open_folder(root, path)
    except FileNotFoundError:
        if depth > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path)) from None
    parent, _, name = path.rstrip(b"/").rpartition(b"/")
    above = make_folder(root, parent, owner, depth)
    try:
        try:
            os.mkdir(name, 0o755, dir_fd=above)
        except FileExistsError:
            # A link to what is not there: what it points to is made.
            target = os.readlink(name, dir_fd=above)
            found = target if target.startswith(b"/") else parent + b"/" + target
            return make_folder(root, found, owner, depth + 1)
        os.chown(name, *owner, dir_fd=above, follow_symlinks=False)
        os.chmod(name, 0o755, dir_fd=above)
        return os.open(name, FLAGS | os.O_NOFOLLOW, dir_fd=above)
    finally:
        os.close(above)


def is_folder(root: int, path: bytes) -> bool:
    """Whether *path* leads to a folder."""
    try:
        os.close(open_folder(root, path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def locate_file(root: int, path: bytes) -> tuple[int, bytes]:
    """Where a file written to *path* goes: an fd of its folder (made when missing) and its name.

    A symbolic link at the end of *path* is followed. Raises OSError.
    """
    for _ in range(_MOST_LINKS):
        parent, _, name = path.rpartition(b"/")
        folder = make_folder(root, parent)
        try:
            target = os.readlink(name, dir_fd=folder)
        except FileNotFoundError:
            return folder, name
        except OSError as error:
            if error.errno != errno.EINVAL:
                os.close(folder)
                raise
            return folder, name
        os.close(folder)
        path = target if target.startswith(b"/") else parent + b"/" + target
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))


def read_database(root: int, name: str) -> list[list[str]]:
    """The fields of ``/etc/NAME`` (passwd, group); empty when there is none."""
    try:
        folder = open_folder(root, b"etc")
    except OSError:
        return []
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return []
    finally:
        os.close(folder)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        text = file.read(_LONGEST_DATABASE).decode("utf-8", "replace")
    return [line.split(":") for line in text.splitlines() if line and not line.startswith("#")]


def find_owner(root: int, text: str) -> Owner:
    """The ids of ``USER[:GROUP]`` by the tree's own passwd and group files; a group that is not given is the
    number or the name that the user has. Raises InvalidRequest."""
    user, colon, group = text.partition(":")
    group = group if colon else user
    return _find_id(root, user, "passwd"), _find_id(root, group, "group")


def _find_id(root: int, text: str, database: str) -> int:
    if text.isascii() and text.isdigit():
        number = int(text[:11])
        if number >= 2**32 - 1:
            raise InvalidRequest(f"invalid id {text}: it is larger than 4294967294")
        return number
    for fields in read_database(root, database):
        if fields[0] == text and len(fields) > 2 and fields[2].isascii() and fields[2].isdigit():
            return int(fields[2])
    kind = "user" if database == "passwd" else "group"
    raise InvalidRequest(
        f"unable to convert uid/gid chown string to host mapping: can't find {kind} {text!r} in /etc/{database}",
        hint=f"make the {kind} in a RUN step before, or give its number",
    )


def find_user(root: int, text: str) -> Owner:
    """The ids that a process of USER *text* has: without a group, passwd's (0 for a number that is not there).

    Raises InvalidRequest.
    """
    user, colon, group = text.partition(":")
    uid = _find_id(root, user, "passwd")
    if colon:
        return uid, _find_id(root, group, "group")
    for fields in read_database(root, "passwd"):
        if len(fields) > 3 and (fields[0] == user or fields[2] == str(uid)) and fields[3].isdigit():
            return uid, int(fields[3])
    return uid, 0
