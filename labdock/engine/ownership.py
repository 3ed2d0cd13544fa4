"""Handing a folder over to a container's user (``-v …:U``): its files get that owner, on the disk.

Mounts whose ids are shifted by the kernel (mount_setattr(2), MOUNT_ATTR_IDMAP) need rights over the whole file system
that a user does not have; so the files themselves change hands. To the host they then belong to one of the user's
subordinate ids. Only what the user owns already, as one of the ids of the sandbox, can change hands.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from labdock.errors import InvalidRequest
from labdock.store.layers.rooted import FLAGS, open_folder

#: Folders that nobody means to hand over; the same with all of a user's home.
_NEVER = frozenset(
    "/ /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var".split()
)


def hand_over(source: Path, uid: int, gid: int) -> int:
    """Give *source* and all below it to *uid*:*gid* (ids of the sandbox); returns how many changed hands.

    Links are not followed, other file systems not entered. Blocks. Raises InvalidRequest: for a folder of the system
    or a whole home, before anything changed; for a file that can't change hands.
    """
    real = os.path.realpath(source)
    home = os.path.realpath(os.path.expanduser("~"))
    if real in _NEVER or real == home or home.startswith(real + "/"):
        raise InvalidRequest(f"{source} is too much to hand over to a container's user (the option U)")
    try:
        if not os.path.isdir(real):
            return _change(real, None, os.lstat(real), uid, gid)
        return _walk(real, uid, gid)
    except OSError as error:
        raise InvalidRequest(
            f"handing {source} over to {uid}:{gid} (the option U): {error.strerror}: {error.filename}",
            hint="what belongs to other users of the host can't change hands",
        ) from error


def _walk(folder: str, uid: int, gid: int) -> int:
    root = os.open(folder, FLAGS)
    changed = 0
    try:
        top = os.fstat(root)
        changed += _change(folder, None, top, uid, gid)
        pending = [b""]
        while pending:
            path = pending.pop()
            here = open_folder(root, path, links=False)
            try:
                for text in os.listdir(here):
                    name = os.fsencode(text)
                    found = os.stat(name, dir_fd=here, follow_symlinks=False)
                    if found.st_dev != top.st_dev:
                        continue
                    changed += _change(name, here, found, uid, gid)
                    if stat.S_ISDIR(found.st_mode):
                        pending.append(path + b"/" + name if path else name)
            finally:
                os.close(here)
    finally:
        os.close(root)
    return changed


def _change(name: str | bytes, folder: int | None, found: os.stat_result, uid: int, gid: int) -> int:
    if (found.st_uid, found.st_gid) == (uid, gid):
        return 0
    os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
    return 1
