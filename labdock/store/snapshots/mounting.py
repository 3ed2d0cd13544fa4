"""Mounting what a snapshot driver said. Runs as root of the sandbox."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from labdock.errors import LabdockError, StorageFull, SystemFailure
from labdock.store.snapshots import Mount
from labdock.sys import mounts, namespaces

_CLONE_FS = 0x200
#: mount(2) takes one page of data with its NUL.
_MOST_DATA = 4095
_OCTAL = re.compile(rb"\\([0-7]{3})")
_COLON = re.compile(r"(?<!\\):")


def mount_all(wanted: Sequence[Mount], target: Path | str) -> None:
    """Mount *wanted* on the folder *target*, one on the other. Raises SystemFailure; then none is mounted."""
    done = 0
    try:
        for item in wanted:
            _mount(item, str(target))
            done += 1
    except (OSError, LabdockError) as error:
        for _ in range(done):
            _take_away(target, mounts.MNT_DETACH)
        if isinstance(error, LabdockError):
            raise
        raise SystemFailure(f"mounting {item.type} on {target}: {error}") from error


def unmount(target: Path | str, *, lazy: bool = False) -> None:
    """Unmount the topmost mount on *target*; *lazy*: even while something there is in use. Raises SystemFailure."""
    try:
        _take_away(target, mounts.MNT_DETACH if lazy else 0)
    except OSError as error:
        raise SystemFailure(f"unmounting {target}: {error}") from error


def unmount_below(folder: Path) -> None:
    """Unmount all that is mounted below *folder*, left there by a process that was killed. Raises OSError."""
    inside = str(folder.absolute()) + "/"
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    points = [_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), line.split(b" ")[4]) for line in lines]
    for point in sorted((os.fsdecode(point) for point in points), reverse=True):
        if point.startswith(inside):
            mounts.unmount(point, mounts.MNT_DETACH)


def open_mounted(wanted: Sequence[Mount], target: Path) -> int:
    """A folder fd of the tree that *wanted* shows, with nothing left mounted: closing the fd ends it.

    *target* is an empty folder, needed for a moment.
    """
    mount_all(wanted, target)
    try:
        return os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        _take_away(target, mounts.MNT_DETACH)


def is_mounted(target: Path | str) -> bool:
    """Whether something is there that :func:`unmount` takes away: a mount, or a link that stands for one."""
    return os.path.islink(target) or os.path.ismount(target)


def _take_away(target: Path | str, flags: int) -> None:
    if os.path.islink(target):
        os.unlink(target)
        os.mkdir(target)
    else:
        mounts.unmount(str(target), flags)


def read_only(wanted: Sequence[Mount]) -> tuple[Mount, ...]:
    """*wanted*, an active snapshot's, to be looked at only: what is written to it otherwise may or may not be seen."""
    found = []
    for item in wanted:
        options = list(item.options)
        words = dict(option.partition("=")[::2] for option in options)
        if upper := words.get("upperdir"):
            options = [
                f"lowerdir={upper}:{words['lowerdir']}" if option.startswith("lowerdir=") else option
                for option in options
                if not option.startswith(("upperdir=", "workdir="))
            ]
        found.append(Mount(item.type, item.source, (*(option for option in options if option != "rw"), "ro")))
    return tuple(found)


def _mount(item: Mount, target: str) -> None:
    if item.type == "link":
        os.rmdir(target)
        os.symlink(item.source, target)
    elif item.type == "fuse-overlayfs":
        _run_fuse(item, target)
    elif item.type == "overlay" and len(",".join(item.options)) > _MOST_DATA:
        _mount_relative(item, target)
    else:
        mounts.mount_options(item.source, target, item.type, item.options)


def _mount_relative(item: Mount, target: str) -> None:
    """Mount with paths relative to the folder that holds them all, so that many layers fit into one page."""
    folder, options = _relate(item.options)
    if len(",".join(options)) > _MOST_DATA:
        raise SystemFailure(f"mounting on {target}: the layers are more than one mount takes")
    failures: list[OSError] = []

    def run() -> None:
        # The working directory belongs to the process unless a thread takes its own: this one ends right after.
        try:
            namespaces.unshare(_CLONE_FS)
            os.chdir(folder)
            mounts.mount_options(item.source, target, item.type, options)
        except OSError as error:
            failures.append(error)

    target = os.path.abspath(target)
    thread = threading.Thread(target=run, name="labdock-mount")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _relate(options: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The folder that holds all layers of overlay's *options*, and the options with paths relative to it."""
    words = dict(option.partition("=")[::2] for option in options)
    paths = {name: _COLON.split(words[name]) for name in ("lowerdir", "upperdir", "workdir") if name in words}
    base = os.path.commonpath([path for several in paths.values() for path in several])
    for name, several in paths.items():
        words[name] = ":".join(path[len(base) + 1 :] for path in several)
    related = tuple(f"{name}={value}" if value else name for name, value in words.items())
    return re.sub(r"\\(.)", r"\1", base), related


def _run_fuse(item: Mount, target: str) -> None:
    """*item*'s source is the program; it serves the mount until that is unmounted."""
    # quirk: the program knows no escapes in paths, so it is started where the layers are.
    folder, options = _relate(item.options)
    command = [item.source, "-o", ",".join(options), os.path.abspath(target)]
    # quirk: the program goes on in the background with the stderr it was given; a pipe would never end.
    with tempfile.TemporaryFile() as said:
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False, timeout=30, cwd=folder
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SystemFailure(f"mounting with {item.source}: {error}") from error
        said.seek(0)
        text = said.read(4096).decode(errors="replace").strip()
    if done.returncode != 0:
        kind = StorageFull if "No space left" in text else SystemFailure
        raise kind(f"mounting with {item.source}: {text or f'exit status {done.returncode}'}")
