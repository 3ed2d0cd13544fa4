"""The folder in which a kernel and its front end meet: their sockets, their secret, and a lock that says who lives.

``RUN/k/XXXXXXXX`` holds ``s-1`` … ``s-5`` (the sockets, of the kernel's making), ``kernel.json`` (its connection file),
``start.py`` (what starts it) and ``alive``, which the launcher keeps locked as long as it lives. The kernel waits for
that lock: when its launcher ends, however it ends, the kernel has it and ends too. What was left all the same (a kernel
that was stopped, an engine that was away) the next start finds by the same lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from labdock.errors import InvalidRequest, LabdockError, NoSuchContainer, SystemFailure
from labdock.schema.paths import locate

if TYPE_CHECKING:
    from labdock.client import Client

#: A container's label: the name of its folder.
LABEL = "labdock.kernel"
#: sun_path holds 108 bytes with its NUL (man 7 unix).
LONGEST = 107
SOCKETS = "s"
LOCK = "alive"
#: Where a launcher may listen for the kernel's word that its sockets are there.
READY = "ready"
#: Seconds after which a folder that was begun and not finished is nobody's.
STALE = 600


class Place:
    """A kernel's folder, held locked by this process until :meth:`close`."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def sockets(self) -> str:
        """What jupyter_client calls the ``ip`` of an ipc connection: the sockets are this, a dash and a number."""
        return str(self.folder / SOCKETS)

    def write(self, name: str, data: bytes) -> Path:
        """A file in the folder, in the place of one with its name; for its owner and the kernel's user only."""
        path = self.folder / name
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        # The folder above is closed to others: the kernel's user need not be its owner.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as out:
            os.fchmod(out.fileno(), 0o644)
            out.write(data)
        return path

    def clear_sockets(self) -> None:
        """Remove the sockets of a kernel that has ended: the next one makes them anew."""
        for path in self.folder.glob(f"{SOCKETS}-*"):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def close(self) -> None:
        """Remove the folder and let go of the lock; a kernel that still lives ends."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def root(environment: Mapping[str, str]) -> Path:
    """Where kernels' folders are. Raises InvalidRequest when sockets in there would have too long names."""
    found = locate(environment, os.getuid()).run.absolute() / "k"
    longest = len(os.fsencode(found)) + len("/XXXXXXXX/") + len(READY)
    if longest > LONGEST:
        raise InvalidRequest(
            f"the path {found} is too long for a kernel's sockets ({longest} bytes, {LONGEST} fit)",
            hint="set LABDOCK_RUN to a shorter folder for both Jupyter and the engine",
        )
    return found


def make(environment: Mapping[str, str], *, others: bool) -> Place:
    """A new folder. *others*: the kernel's user is not this one. Raises InvalidRequest, SystemFailure."""
    parent = root(environment)
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = secrets.token_hex(4)
        begun = parent / f".{name}"
        begun.mkdir(mode=0o700)
        lock = os.open(begun / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if others:
            # The folder above lets nobody else in.
            begun.chmod(0o777)
        begun.rename(parent / name)
    except OSError as error:
        raise SystemFailure(f"cannot make a folder for a kernel in {parent}: {error.strerror}") from error
    return Place(parent / name, lock)


def is_alive(folder: Path) -> bool:
    """Whether somebody holds *folder*'s lock."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _abandoned(parent: Path) -> Iterator[Path]:
    try:
        found = sorted(parent.iterdir())
    except FileNotFoundError:
        return
    for folder in found:
        with contextlib.suppress(OSError):
            if folder.name.startswith("."):
                if time.time() - folder.stat().st_mtime > STALE:
                    yield folder
            elif not is_alive(folder):
                yield folder


def sweep(environment: Mapping[str, str], client: Client) -> int:
    """Remove containers and folders of kernels whose launchers have ended; how many. Raises EngineUnreachable."""
    parent = root(environment)
    # Containers first: as long as one has a folder, what it was can be told.
    listed = client.containers.list(all=True, filters={"label": [LABEL]})
    count = 0
    for container in listed:
        name = container.labels.get(LABEL, "")
        if name and "/" not in name and is_alive(parent / name):
            continue
        try:
            client.containers.remove(container.id, force=True, volumes=True)
            count += 1
        except NoSuchContainer:
            continue
        except LabdockError:
            # Somebody else removes it at this moment, or the next sweep does.
            continue
    for folder in _abandoned(parent):
        shutil.rmtree(folder, ignore_errors=True)
        count += 1
    return count
