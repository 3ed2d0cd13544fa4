"""Removing a store: files in it may belong to other ids of its user, and overlay's own folders can't be entered."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from labdock.host import sandbox
from labdock.host.ids import IdMaps, map_ids, read_ranges


def own_maps() -> IdMaps:
    """The id maps that this user's sandbox has here."""
    uid, gid = os.getuid(), os.getgid()
    return IdMaps(
        map_ids(uid, read_ranges(Path("/etc/subuid"), uid)), map_ids(gid, read_ranges(Path("/etc/subgid"), gid))
    )


def remove(folder: Path) -> None:
    """Remove *folder* and all in it, as root of a sandbox; as root, just so."""
    if os.getuid() != 0:

        def empty() -> int:
            for entry in folder.iterdir():
                if entry.is_dir():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
            return 0

        found = sandbox.spawn(own_maps(), empty)
        os.close(found.pidfd)
        _, status = os.waitpid(found.pid, 0)
        assert status == 0, f"emptying {folder}: status {status}"
    shutil.rmtree(folder)
