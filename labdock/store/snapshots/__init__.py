"""Snapshots: file trees stacked on each other. Mounts are data: a driver says what to mount, others mount it.

An *active* snapshot is written to through its mounts; *commit* freezes it under a name, usually a chain id;
a *view* is a read-only look at a committed one. Names follow containerd's snapshotter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from labdock.errors import Conflict, HostUnfit, Unsupported

#: Every driver, the best first. host/inside.py has them as well, to choose one.
DRIVERS = ("overlay", "fuse-overlayfs", "copy", "flat")


class Kind(StrEnum):
    ACTIVE = "active"
    VIEW = "view"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount(8): *options* are its words. ``type`` "bind" has the tree itself as its source, "link" too,
    and is no mount at all: a symbolic link in the place of the target."""

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
    view, mounts and remove, and prepare of a driver that is ``quick``: they take well under 20 ms.
    Raises NotFound for an unknown key, Conflict for a taken one, SystemFailure or StorageFull from the disk.
    A kill between any two calls, or inside one, leaves a state in which ``recover`` finds no half-made
    snapshot: it exists or it does not.
    """

    name: str
    #: Whether prepare takes well under 20 ms whatever the parent holds; else it belongs into a worker thread.
    quick: bool

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
    """The driver *name*, one of :data:`DRIVERS`, over its folder ``root/name``.

    *tools* has the absolute path of ``fuse-overlayfs`` where that driver is asked for.
    Raises Unsupported for a name that there is no driver for, HostUnfit for a missing program, Conflict where another
    driver keeps snapshots in *root*: one store has one driver.
    """
    if name in DRIVERS:
        refuse_mixture(name, root)
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
    if name == "flat":
        from labdock.store.snapshots.flat import FlatSnapshotter

        return FlatSnapshotter(root)
    raise Unsupported(f"there is no snapshot driver {name!r}", hint=f"there are {', '.join(DRIVERS)}")


def refuse_mixture(name: str, root: Path) -> None:
    """Raises Conflict when a driver other than *name* keeps snapshots below *root*; one that keeps none is removed."""
    from labdock.store.layers.rooted import FLAGS, remove_tree
    from labdock.store.snapshots.ledger import Ledger

    for other in DRIVERS:
        if other == name or not (root / other / "ledger.db").exists():
            continue
        ledger = Ledger(root / other / "ledger.db")
        count = len(ledger.all())
        ledger.close()
        if count:
            raise Conflict(
                f"the store {root.parent} was made with the storage driver {other} ({count} snapshots), and {name} "
                "was asked for",
                hint=f"leave the driver out or ask for {other}; for {name}, take another store (LABDOCK_DATA), and "
                "bring the images over with `docker save` and `docker load`",
            )
        above = os.open(root, FLAGS)
        try:
            remove_tree(above, other.encode())
        finally:
            os.close(above)
