"""Groups of the cgroup v2 file system: files and folders, no policy. man 7 cgroups; the kernel's cgroup-v2.rst."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

#: The file whose numbers are the processes of a group; a number that is written there moves that process.
PROCESSES = "cgroup.procs"


@dataclass(frozen=True, slots=True)
class Group:
    """One group, by its folder; nothing is known of it but what the files say at the moment."""

    folder: Path

    def child(self, name: str) -> Group:
        return Group(self.folder / name)

    @property
    def exists(self) -> bool:
        return self.folder.is_dir()

    @property
    def writable(self) -> bool:
        """Whether groups may be made below it and processes be moved among them."""
        files = (self.folder, self.folder / PROCESSES, self.folder / "cgroup.subtree_control")
        return all(os.access(path, os.W_OK) for path in files)

    def read(self, name: str) -> str:
        """The text of the file *name*, without its last newline; "" when there is none (any more)."""
        try:
            with open(self.folder / name, "rb") as source:
                return source.read().decode("ascii", "replace").strip()
        except OSError:
            return ""

    def write(self, name: str, text: str) -> None:
        """One write(2) of *text* to the file *name*. Raises OSError."""
        fd = os.open(self.folder / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)

    def numbers(self, name: str) -> dict[str, int]:
        """The ``key value`` lines of the file *name*."""
        return read_numbers(self.read(name))

    def processes(self) -> list[int]:
        """Those directly in it. 0 stands for one that our pid namespace does not have."""
        return [int(word) for word in self.read(PROCESSES).split() if word.isdecimal()]

    def enable(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """Hand controllers on to the groups below; those that they have now. One that is refused is left out.

        There may be no process in this group itself (EBUSY), unless it is the root of all.
        """
        for name in wanted:
            with contextlib.suppress(OSError):
                self.write("cgroup.subtree_control", f"+{name}")
        return tuple(self.read("cgroup.subtree_control").split())

    def gather(self, into: Group) -> None:
        """Move all its processes *into* another group, those too that are made meanwhile. Raises OSError."""
        for _ in range(64):
            found = self.processes()
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    into.write(PROCESSES, str(pid))
            if not found:
                return

    def remove(self) -> None:
        """It and all below it; what still has processes stays, and nothing is said."""
        for below, _, _ in os.walk(self.folder, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(below)


def read_numbers(text: str) -> dict[str, int]:
    """``key value`` lines as numbers."""
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if value.isdecimal():
            found[key] = int(value)
    return found


def locate(mounts: str, membership: str) -> Group | None:
    """The group of a process, from its /proc files mountinfo and cgroup; None where cgroup v2 is not mounted."""
    path = next((line[3:] for line in membership.splitlines() if line.startswith("0::")), None)
    if path is None:
        return None
    for line in mounts.splitlines():
        fields, _, kind = line.partition(" - ")
        words = fields.split()
        if kind.split()[:1] == ["cgroup2"] and len(words) > 4:
            # What is mounted may be a part of the tree; one outside of it is not seen.
            below = os.path.relpath(path, words[3])
            if not below.startswith(".."):
                return Group(Path(os.path.normpath(Path(words[4]) / below)))
    return None


def read_devices(text: str) -> Mapping[tuple[int, int], dict[str, int]]:
    """``MAJOR:MINOR key=value …`` lines (io.stat): (major, minor) → numbers."""
    found: dict[tuple[int, int], dict[str, int]] = {}
    for line in text.splitlines():
        device, *words = line.split()
        major, _, minor = device.partition(":")
        if major.isdecimal() and minor.isdecimal():
            pairs = (word.partition("=") for word in words)
            found[int(major), int(minor)] = {key: int(value) for key, _, value in pairs if value.isdecimal()}
    return found
