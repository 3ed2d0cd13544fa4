"""Removing and copying a store: files in it belong to other ids of its user, and overlay's folders can't be entered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


def copy(source: Path, target: Path) -> None:
    """Make *target* a copy of the folder *source*, owners and overlay's marks too. May be called beside threads."""
    subprocess.run([sys.executable, "-m", "tests.stores", source, target], check=True, timeout=120)


def main() -> int:
    """``SOURCE TARGET``: the copying, in a process of its own, since making a sandbox forks."""
    command = ["cp", "-a", *sys.argv[1:]]
    if os.getuid() == 0:
        return subprocess.call(command)
    found = sandbox.spawn(own_maps(), lambda: subprocess.call(command))
    os.close(found.pidfd)
    _, status = os.waitpid(found.pid, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
