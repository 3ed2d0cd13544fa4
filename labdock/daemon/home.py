"""The two folders on the host side, and the locks in them that say who runs.

``run/lock``, byte STARTING: held while an engine is being started; who also wants to start waits for it.
``run/lock``, byte RUNNING: held by outer for its whole life. ``data/lock``, byte RUNNING: the same for the store.
The kernel frees them when outer ends and says who has them: nothing here can be stale.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from labdock.errors import Conflict, Forbidden, InvalidRequest, StorageFull, SystemFailure
from labdock.host.identity import is_roots
from labdock.schema.paths import Paths
from labdock.sys import locks

#: sun_path's room without its NUL (man 7 unix).
LONGEST_PATH = 107

RUNNING = 0
STARTING = 1

_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW

STORE_HINT = "choose another place with LABDOCK_DATA"


def prepare_folders(paths: Paths, uid: int) -> None:
    """Make the run and data folders, for their owner alone.

    Raises Forbidden (a run folder that somebody else made), InvalidRequest (its path is too long for a socket),
    StorageFull, SystemFailure.
    """
    if len(os.fsencode(paths.socket)) > LONGEST_PATH:
        raise InvalidRequest(
            f"the path {paths.socket} is longer than a socket's may be ({LONGEST_PATH} bytes)",
            hint="choose a shorter run folder with LABDOCK_RUN",
        )
    for folder, hint in ((paths.run, "choose another place with LABDOCK_RUN"), (paths.data, STORE_HINT)):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise translate(f"making the folder {folder}", error, hint) from error
    found = paths.run.lstat()
    # In /tmp anybody can make the folder first. Root hands it to the id that stands for containers' root.
    if not stat.S_ISDIR(found.st_mode) or not (found.st_uid == uid or (uid == 0 and is_roots(found.st_uid))):
        raise Forbidden(
            f"{paths.run} is not a folder of yours (owner: uid {found.st_uid})",
            hint="choose another place with LABDOCK_RUN",
        )
    if found.st_mode & 0o077:
        paths.run.chmod(0o700)


def translate(doing: str, error: OSError, hint: str | None = None) -> SystemFailure:
    """*error* as labdock's own: StorageFull when the disk or the quota is used up."""
    what = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    message = f"{doing}: {what}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(message, hint="make room there, or choose another place with LABDOCK_DATA")
    return SystemFailure(message, hint=hint)


def read_holder(paths: Paths) -> int | None:
    """Outer's pid as the kernel tells it; None when no engine runs here. (0: it is in another pid namespace.)"""
    return _ask_holder(paths.run / "lock", RUNNING)


def _ask_holder(path: Path, byte: int) -> int | None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return locks.holder(fd, byte)
    finally:
        os.close(fd)


class Tenure:
    """This process's hold of the two folders. Not inherited by forks: outer takes it for itself."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._run = -1
        self._data = -1

    def queue(self) -> int | None:
        """Wait for other starters to be done, then become the engine's holder.

        Returns None, or the pid of the engine that is running by then. Raises SystemFailure.
        """
        path = self._paths.run / "lock"
        while True:
            # An engine that ends removes its run folder, lock and all, also under those who wait for it.
            try:
                self._paths.run.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._run = os.open(path, _LOCK_FLAGS, 0o600)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise translate(f"opening {path}", error) from error
            try:
                locks.wait(self._run, STARTING)
            except OSError as error:
                raise translate(f"locking {path}", error, "choose another place with LABDOCK_RUN") from error
            if _is_same(self._run, path):
                break
            os.close(self._run)
        if locks.take(self._run, RUNNING):
            return None
        pid = locks.holder(self._run, RUNNING)
        locks.release(self._run, STARTING)
        return pid or 0

    def take_store(self) -> None:
        """Take the store. Raises Conflict naming who has it."""
        path = self._paths.data / "lock"
        try:
            self._data = os.open(path, _LOCK_FLAGS, 0o600)
            taken = locks.take(self._data, RUNNING)
        except OSError as error:
            raise translate(f"locking {path}", error, STORE_HINT) from error
        if not taken:
            pid = locks.holder(self._data, RUNNING)
            run = os.pread(self._data, 4096, 0).decode(errors="replace").strip() or "unknown"
            raise Conflict(
                f"the store {self._paths.data} is in use by another engine (pid {pid}, run folder {run})",
                hint=f"use that one, stop it with `LABDOCK_RUN={run} labdock engine stop`, or {STORE_HINT}",
            )
        try:
            os.ftruncate(self._data, 0)
            os.pwrite(self._data, f"{self._paths.run}\n".encode(), 0)
        except OSError as error:
            raise translate(f"writing {path}", error, STORE_HINT) from error

    def announce(self) -> None:
        """The engine answers: let those who wait go on."""
        locks.release(self._run, STARTING)

    def end(self) -> None:
        """Remove what is in the run folder and let go of both. The folder itself goes when nothing else is in it."""
        with contextlib.suppress(OSError):
            self._paths.box.rmdir()
        # The lock goes last: from then on a next engine may be at home here.
        for name in ("docker.sock", "status.json", "lock"):
            self._paths.run.joinpath(name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._paths.run.rmdir()
        if self._data >= 0:
            os.close(self._data)
        os.close(self._run)


def _is_same(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
