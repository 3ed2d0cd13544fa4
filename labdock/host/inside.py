"""Settling a fresh sandbox, by its root and pid 1: each step is a Probe, for the Plan or for ``doctor``."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labdock.host.plan import Probe
from labdock.sys import filesystems, links, mounts
from labdock.sys.cgroups import Group

_QUIET = mounts.NOSUID | mounts.NODEV | mounts.NOEXEC
CGROUPS = Path("/sys/fs/cgroup")
#: The engine's group with all that serves it, and the one that holds a group for each container.
ENGINE, CONTAINERS = "engine", "containers"


@dataclass(frozen=True, slots=True)
class Inside:
    """What the sandbox itself allows; the fields are the Plan's."""

    snapshotter: str
    proc: str
    cgroups: str
    controllers: tuple[str, ...]
    probes: tuple[Probe, ...]


#: The storage drivers, the best first (store.snapshots has them).
DRIVERS = ("overlay", "fuse-overlayfs", "copy", "flat")


def settle(
    data: Path, fuse_overlayfs: str | None, networked: bool, driver: str = "", own_group: bool = False
) -> Inside:
    """Make the sandbox a place to run containers in, and say what could not be had.

    Mounts become slaves of the host's, /proc and cgroup2 fresh, ``lo`` up, addresses forwarded, and overlay is tried
    on the file system of *data* (a folder). ``networked``: the sandbox has a network namespace of its own. *driver*:
    the storage driver that was asked for; "" for the store's own, or the best. *own_group*: the root of its cgroups
    was made for it alone.
    """
    # Slaves: what the host mounts later appears in the sandbox too; nothing goes the other way.
    mounts.mount("none", "/", None, mounts.REC | mounts.SLAVE)
    proc = _try_proc()
    cgroup, kind, controllers = _try_cgroups(own_group)
    snapshotter, storage = choose_driver(data, fuse_overlayfs, driver)
    probes = [proc, cgroup, *storage]
    if networked:
        probes.append(_try_network())
    return Inside(snapshotter, "fresh" if proc.ok else "bind", kind, controllers, tuple(probes))


def choose_driver(data: Path, fuse_overlayfs: str | None, driver: str) -> tuple[str, list[Probe]]:
    """The storage driver and what was tried for it: *driver*, else what made the store in *data*, else the best."""
    made = [name for name in DRIVERS if (data / "snapshots" / name / "ledger.db").exists()]
    wanted = driver or (made[0] if made else "")
    overlay = try_overlay(data)
    if wanted == "overlay" or (not wanted and overlay.ok):
        return "overlay", [overlay]
    if wanted in ("copy", "flat"):
        return wanted, [overlay]
    fuse = try_fuse_overlay(data, fuse_overlayfs)
    if wanted == "fuse-overlayfs" or (not wanted and fuse.ok):
        return "fuse-overlayfs", [overlay, fuse]
    return wanted or "copy", [overlay, fuse]


def _refused(name: str, error: OSError, cost: str, lift: str, who: str) -> Probe:
    code = errno.errorcode.get(error.errno or 0, "")
    return Probe(name, False, code, f"{error.strerror}: {error.filename}", cost, lift, who)


def _try_proc() -> Probe:
    try:
        mounts.mount("proc", "/proc", "proc", _QUIET)
    except OSError as error:
        # man 7 user_namespaces: a fresh procfs needs an outer one with nothing mounted over parts of it.
        return _refused(
            "fresh /proc",
            error,
            "containers see the processes outside",
            "unmask the outer container's /proc (docker: --security-opt systempaths=unconfined; a pod: procMount: "
            "Unmasked with hostUsers: false)",
            "whoever starts the outer container",
        )
    return Probe("fresh /proc", True, detail="mounted")


def _try_cgroups(own: bool) -> tuple[Probe, str, tuple[str, ...]]:
    # quirk: in a user namespace, unmounting an inherited mount is refused (EINVAL); mounting over it is not.
    try:
        _mount_cgroups()
    except OSError as error:
        # EBUSY: the tree is there already, and the folder in between was refused.
        if error.errno != errno.EBUSY or filesystems.kind_of(CGROUPS) != "cgroup2":
            refused = _refused(
                "cgroup2",
                error,
                "no limits on memory, cpu or processes, no pause",
                "boot with systemd.unified_cgroup_hierarchy=1, or let the outer container have its cgroup namespace",
                "an administrator",
            )
            return refused, "none", ()
    root = Group(CGROUPS)
    if not own:
        return Probe("cgroup2", True, detail="mounted; no part of it is the sandbox's own"), "v2", ()
    try:
        controllers = divide(root)
    except OSError as error:
        why = f"{error.strerror}: {error.filename or CGROUPS}"
        return Probe("cgroup2", True, detail=f"mounted; its own group could not be divided ({why})"), "v2", ()
    return (
        Probe("cgroup2", True, detail=f"own group; controllers: {' '.join(controllers) or 'none'}"),
        "own",
        controllers,
    )


def _mount_cgroups() -> None:
    try:
        mounts.mount("cgroup2", str(CGROUPS), "cgroup2", _QUIET)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # quirk: where the outside has cgroup2 at this very place, a mount of the same file system right above it is
        # refused, though its root is another one (do_add_mount in the kernel's fs/namespace.c compares superblocks).
        mounts.mount("labdock", str(CGROUPS), "tmpfs", _QUIET, "mode=0755,size=4k")
        mounts.mount("cgroup2", str(CGROUPS), "cgroup2", _QUIET)


def divide(root: Group) -> tuple[str, ...]:
    """Make the engine's group and the containers' below *root*; the controllers that a container's group has.

    No group but a leaf may hold processes, so those in *root* go to the engine's. Raises OSError.
    """
    engine, containers = root.child(ENGINE), root.child(CONTAINERS)
    for group in (engine, containers):
        group.folder.mkdir(exist_ok=True)
    root.gather(engine)
    return containers.enable(root.enable(root.read("cgroup.controllers").split()))


def try_overlay(data: Path) -> Probe:
    """Mount an overlay with its upper layer on *data*'s file system, and delete a file through it."""
    kind = filesystems.kind_of(data)
    cost = "a container's root costs a copy of its image"
    try:
        with _scratch(data) as folders:
            _overlay_round(*folders)
    except OSError as error:
        on_network = kind in filesystems.NETWORKED
        lift = f"put the store on a local disk: LABDOCK_DATA=… (now {data}, {kind})"
        return _refused("overlay", error, cost, lift, "you" if on_network or kind == "overlay" else "an administrator")
    return Probe("overlay", True, detail=f"works on {data} ({kind})")


def _overlay_round(lower: Path, upper: Path, work: Path, merged: Path) -> None:
    (lower / "file").touch()
    options = f"lowerdir={lower},upperdir={upper},workdir={work},userxattr"
    mounts.mount("overlay", str(merged), "overlay", 0, options)
    try:
        (merged / "file").unlink()
    finally:
        mounts.unmount(str(merged), mounts.MNT_DETACH)
    if not stat.S_ISCHR((upper / "file").lstat().st_mode):
        raise OSError(errno.EOPNOTSUPP, "a deleted file leaves no whiteout", str(upper))


def try_fuse_overlay(data: Path, program: str | None) -> Probe:
    """The same with fuse-overlayfs(1), where the kernel's overlay is refused."""
    name, cost = "fuse-overlayfs", "a container's root costs a copy of its image"
    if program is None:
        return Probe(
            name, False, "", "not found on PATH", cost, "sudo apt-get install fuse-overlayfs", "an administrator"
        )
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
        with _scratch(data) as (lower, upper, work, merged):
            options = f"lowerdir={lower},upperdir={upper},workdir={work}"
            command = [program, "-o", options, str(merged)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
            if done.returncode != 0:
                raise OSError(errno.EIO, done.stderr.strip() or f"status {done.returncode}", program)
            mounts.unmount(str(merged), mounts.MNT_DETACH)
    except (OSError, subprocess.TimeoutExpired) as error:
        if isinstance(error, OSError):
            return _refused(name, error, cost, "make /dev/fuse usable: chmod 0666 /dev/fuse", "an administrator")
        return Probe(name, False, "ETIMEDOUT", str(error), cost, "see what fuse-overlayfs says", "you")
    return Probe(name, True, detail=f"works on {data}")


@contextlib.contextmanager
def _scratch(data: Path) -> Iterator[tuple[Path, Path, Path, Path]]:
    """Folders lower, upper, work and merged below *data*, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=".probe-", dir=data))
    parts = (folder / "lower", folder / "upper", folder / "work", folder / "merged")
    try:
        for part in parts:
            part.mkdir()
        yield parts
    finally:
        shutil.rmtree(folder)


def _try_network() -> Probe:
    try:
        links.bring_up("lo")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    except OSError as error:
        return _refused("network", error, "containers can't reach each other", "unmask /proc/sys", "an administrator")
    return Probe("network", True, detail="own network namespace, forwarding")
