"""Snapshots: file trees stacked on each other. Mounts are data: a driver says what to mount, others mount it.

An *active* snapshot is written to through its mounts; *commit* freezes it under a name, usually a chain id;
a *view* is a read-only look at a committed one. Names follow containerd's snapshotter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from labdock.errors import HostUnfit, Unsupported


class Kind(StrEnum):
    ACTIVE = "active"
    VIEW = "view"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount(8): *options* are its words. ``type`` "bind" has the tree itself as its source."""

    type: str
    source: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    key: str
    parent: str | None
    kind: Kind


@dataclass(frozen=True, slots=True)
class Usage:
    """What a snapshot itself holds (not its parents): bytes on disk, inodes."""

    size: int
    inodes: int


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer blob that was written: its own digest and size, and the diff id (digest of the plain tar)."""

    media_type: str
    digest: str
    size: int
    diff_id: str


class Snapshotter(Protocol):
    """Every driver keeps these promises (tests/conformance/test_snapshots.py holds them to it).

    Keys are any text up to 255 bytes. All methods block and are called off the event loop, except
    prepare, view, mounts and remove, which take well under 20 ms on the drivers of rung R0.
    Raises NotFound for an unknown key, Conflict for a taken one, SystemFailure or StorageFull from the disk.
    A kill between any two calls, or inside one, leaves a state in which ``recover`` finds no half-made
    snapshot: it exists or it does not.
    """

    name: str

    def prepare(self, key: str, parent: str | None) -> tuple[Mount, ...]:
        """Make active snapshot *key* on the committed *parent* (None: empty) and say how to mount it."""

    def view(self, key: str, parent: str) -> tuple[Mount, ...]:
        """Make a read-only snapshot *key* of the committed *parent*."""

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """How to mount the active snapshot or view *key*, again."""

    def commit(self, name: str, key: str) -> None:
        """Freeze active *key* as committed *name*; *key* is gone. Conflict when *name* is there already."""

    def remove(self, key: str) -> None:
        """Remove *key*, fast: the bytes may be freed later. Conflict when another snapshot stands on it."""

    def stat(self, key: str) -> SnapshotInfo:
        """What *key* is."""

    def walk(self) -> Iterator[SnapshotInfo]:
        """All snapshots, parents before children."""

    def usage(self, key: str) -> Usage:
        """What *key* itself holds."""

    def changes(self, key: str) -> Path:
        """The folder with what *key* itself changed, in overlay's terms (0/0 devices are whiteouts, the
        xattr ``user.overlay.opaque`` = y marks opaque folders)."""

    def diff(self, key: str, out: BinaryIO) -> str:
        """Write *key*'s changes against its parent as an OCI layer tar (AUFS whiteouts) to *out*.

        Entries are sorted, the same tree gives the same bytes. Returns the tar's digest (the diff id).
        """

    def apply(self, key: str, layer: BinaryIO, *, known: str | None = None) -> str:
        """Unpack an OCI layer tar (plain) into active *key*, as hostile input. Returns the diff id.

        *known*: the diff id, when these very bytes were hashed just before; they are not hashed again then.

        Raises Corrupt for a tar that can't be taken, with the entry's name.
        """

    def recover(self) -> None:
        """At start: remove what a killed process left half-made, and finish removals."""

    def has(self, key: str) -> bool:
        """Whether there is a snapshot *key*."""

    def close(self) -> None:
        """Give up the driver's files; mounts that were made of it stay."""


def open_snapshotter(name: str, root: Path, tools: Mapping[str, str]) -> Snapshotter:
    """The driver *name* ("overlay", "fuse-overlayfs", "copy") over its folder ``root/name``.

    *tools* has the absolute path of ``fuse-overlayfs`` where that driver is asked for.
    Raises Unsupported for a name that there is no driver for, HostUnfit for a missing program.
    """
    if name == "overlay":
        from labdock.store.snapshots.overlay import OverlaySnapshotter

        return OverlaySnapshotter(root)
    if name == "fuse-overlayfs":
        from labdock.store.snapshots.overlay import FuseOverlaySnapshotter

        if not tools.get(name):
            raise HostUnfit(
                "the snapshot driver fuse-overlayfs needs the program of that name",
                hint="an administrator can install it: apt-get install fuse-overlayfs",
            )
        return FuseOverlaySnapshotter(root, tools[name])
    if name == "copy":
        from labdock.store.snapshots.copying import CopySnapshotter

        return CopySnapshotter(root)
    raise Unsupported(f"there is no snapshot driver {name!r}")
