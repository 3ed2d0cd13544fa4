"""Filling an empty volume with what the image has in its place: all of it or nothing, whatever is killed.

The content is copied aside, renamed once it is whole, and then moved in name by name. Nothing that somebody put into
the volume meanwhile is touched. What a kill left aside is finished or thrown away at the next start.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from labdock.errors import SystemFailure
from labdock.store.content import translate
from labdock.store.intents import fail_at
from labdock.store.layers.rooted import FLAGS, remove_tree
from labdock.store.snapshots import trees
from labdock.sys.beneath import open_beneath
from labdock.sys.renames import rename_free

#: Beside a volume's data: content that is being copied, and content that is whole.
PART, WHOLE = "_filling", "_filled"


def fill(data: Path, aside: Path, rootfs: Path, target: str) -> bool:
    """Copy the folder *target* of *rootfs* into the empty folder *data*, its own owner and mode included.

    *aside*: a folder on the same file system for what is not whole yet. False when there is nothing to do: the volume
    is not empty, or the image has no folder there. A link in the image is followed inside of the image. Blocks.
    Raises StorageFull, SystemFailure.
    """
    if not is_empty(data, aside):
        return False
    found = _open_folder(rootfs, target)
    if found < 0:
        return False
    try:
        trees.copy(Path(f"/proc/self/fd/{found}"), begin(aside))
        complete(data, aside)
    except OSError as error:
        give_up(aside)
        raise translate(error, f"filling a volume with the image's {target}") from error
    finally:
        os.close(found)
    return True


def is_empty(data: Path, aside: Path) -> bool:
    """Whether nobody put anything into *data*."""
    own = {PART, WHOLE} if aside == data else set()
    return all(name in own for name in os.listdir(data))


def begin(aside: Path) -> Path:
    """An empty folder beside the volume, for its content. Raises OSError."""
    give_up(aside)
    part = aside / PART
    part.mkdir()
    return part


def complete(data: Path, aside: Path) -> None:
    """What was begun is whole: it becomes the volume's content. Raises OSError."""
    os.rename(aside / PART, aside / WHOLE)
    fail_at("filled:volume")
    finish(data, aside)


def give_up(aside: Path) -> None:
    """Throw away what was begun. Raises OSError."""
    _empty(aside / PART)


def finish(data: Path, aside: Path) -> None:
    """Move content that is whole into *data*. At a start too: what is not whole goes. Raises OSError."""
    give_up(aside)
    whole = aside / WHOLE
    if not whole.is_dir():
        return
    for name in sorted(os.listdir(whole)):
        # What came into the volume meanwhile stays as it is.
        if not rename_free(whole / name, data / name):
            _empty(whole / name)
    look = os.stat(whole)
    os.chown(data, look.st_uid, look.st_gid)
    os.chmod(data, stat.S_IMODE(look.st_mode))
    os.utime(data, ns=(look.st_atime_ns, look.st_mtime_ns))
    os.rmdir(whole)


def _open_folder(rootfs: Path, target: str) -> int:
    """A folder fd of *target* in *rootfs*; -1 when there is none."""
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return open_beneath(root, target, FLAGS)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return -1
        raise SystemFailure(f"opening {target} of the image: {error}") from error
    finally:
        os.close(root)


def _empty(victim: Path) -> None:
    """Remove *victim* and all below it, if it is there."""
    if not victim.is_dir() or victim.is_symlink():
        victim.unlink(missing_ok=True)
        return
    above = os.open(victim.parent, FLAGS)
    try:
        remove_tree(above, os.fsencode(victim.name))
    finally:
        os.close(above)
