"""What a container's mounts are made of when it starts: paths of the sandbox, checked and pinned.

The sandbox sees the host's files where the host has them; what is mounted there later appears as far as the host's
mounts are shared (man 7 mount_namespaces).
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from labdock.engine import ownership
from labdock.engine.mounts import DOCKER_SOCKETS
from labdock.engine.records import ContainerRecord, MountPoint
from labdock.engine.volumes import Volumes
from labdock.errors import InvalidRequest
from labdock.runtime.spec import SpecMount
from labdock.schema.paths import Paths
from labdock.sys import mounts
from labdock.sys.beneath import open_beneath

#: What may be mounted in a container's /proc, as runc has it (libcontainer/rootfs_linux.go).
_IN_PROC = frozenset(
    "cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo net/dev sys/kernel/ns_last_pid sys/crypto".split()
)
_OCTAL = re.compile(r"\\([0-7]{3})")
#: The id that files of unmapped users appear to have (man 7 user_namespaces).
_NOBODY = 65534
#: As path_resolution(7).
_MOST_LINKS = 40


class Sources:
    """The sources of mounts. What it pins (parts of volumes) lies below ``box/pins/CONTAINER``."""

    def __init__(self, paths: Paths, volumes: Volumes) -> None:
        self._paths = paths
        self._volumes = volumes
        self._pins = paths.box / "pins"

    def check(self, record: ContainerRecord) -> None:
        """Refuse at creation what can't be mounted. Raises InvalidRequest in Docker's words."""
        for mount in record.mounts:
            _check_target(mount)
            if mount.type != "bind" or mount.source in DOCKER_SOCKETS:
                continue
            if mount.must_exist and not os.path.lexists(mount.source):
                raise InvalidRequest(
                    f'invalid mount config for type "bind": bind source path does not exist: {mount.source}',
                    hint="-v makes a missing folder, --mount does not",
                )
            _check_propagation(mount)

    @staticmethod
    def warn(record: ContainerRecord) -> tuple[str, ...]:
        """What the id map means for the owners of *record*'s binds, where it bites."""
        user = (record.config.user or "").partition(":")[0]
        return tuple(text for m in record.mounts if m.type == "bind" and (text := _warn_of_owner(m, user)))

    async def prepare(self, record: ContainerRecord, rootfs: Path, uid: int, gid: int) -> tuple[SpecMount, ...]:
        """The mounts of *record*, which runs as *uid*:*gid* in *rootfs*."""
        found = []
        for number, mount in enumerate(record.mounts):
            if mount.type == "tmpfs":
                continue
            source = await self._find(mount, record.id, number)
            if mount.chown:
                await asyncio.to_thread(ownership.hand_over, source, uid, gid)
            target = follow(rootfs, mount.target)
            found.append(SpecMount(target, str(source), "bind", _options(mount, folder=source.is_dir())))
        return tuple(found)

    async def _find(self, mount: MountPoint, container: str, number: int) -> Path:
        if mount.type == "bind":
            return Path(self._bind_source(mount))
        await self._volumes.ensure(mount)
        place = await self._volumes.acquire(mount.volume, container)
        return self._pin(place, mount.subpath, container, number) if mount.subpath else place

    def _bind_source(self, mount: MountPoint) -> str:
        if mount.source in DOCKER_SOCKETS or mount.source == str(self._paths.socket):
            return str(self._paths.socket)
        if os.path.lexists(mount.source):
            return mount.source
        if mount.must_exist:
            raise InvalidRequest(
                f'invalid mount config for type "bind": bind source path does not exist: {mount.source}',
                hint="it was there when the container was created",
            )
        try:
            # Docker makes a missing folder for -v.
            os.makedirs(mount.source)
        except OSError as error:
            why = (error.strerror or "").lower()
            raise InvalidRequest(
                f"error while creating mount source path '{mount.source}': mkdir {error.filename}: {why}",
                hint="make the folder yourself, or choose one that you may write to",
            ) from error
        return mount.source

    def _pin(self, place: Path, subpath: str, container: str, number: int) -> Path:
        """*subpath* of the volume at *place*, bound to a place of its own: no link in the volume leads out of it."""
        root = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = open_beneath(root, subpath, os.O_PATH)
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise InvalidRequest(
                f"cannot access path {place}/{subpath}: lstat {place}/{subpath}: {why}",
                hint="a volume-subpath must be there before it is mounted",
            ) from error
        finally:
            os.close(root)
        pin = self._pins / container / str(number)
        pin.parent.mkdir(parents=True, exist_ok=True)
        try:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                pin.mkdir(exist_ok=True)
            else:
                pin.touch()
            mounts.mount(f"/proc/self/fd/{fd}", str(pin), None, mounts.BIND | mounts.REC)
        finally:
            os.close(fd)
        return pin

    def unpin(self, container: str) -> None:
        """Take away what was pinned for *container*; no error when nothing is."""
        folder = self._pins / container
        if folder.is_dir():
            for pin in folder.iterdir():
                while os.path.ismount(pin):
                    mounts.unmount(str(pin), mounts.MNT_DETACH)
                pin.rmdir() if pin.is_dir() else pin.unlink()
            folder.rmdir()

    @staticmethod
    def propagation(record: ContainerRecord) -> str:
        """What the container's root must be for its binds to see mounts that come later ("": nothing)."""
        asked = {mount.propagation for mount in record.mounts}
        return "rslave" if asked & {"slave", "rslave", "shared", "rshared"} else ""


def follow(rootfs: Path, target: str) -> str:
    """*target* without the links in it that lead nowhere yet, as they are understood inside of *rootfs*.

    quirk: crun refuses a target whose link dangles, where runc makes what it points to.
    """
    rest, links = target.split("/")[::-1], 0
    done: list[str] = []
    while rest:
        name = rest.pop()
        if name in ("", "."):
            continue
        if name == "..":
            done = done[:-1]
            continue
        try:
            link = os.readlink(rootfs.joinpath(*done, name))
        except OSError:
            done.append(name)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise InvalidRequest(f"mounting on {target}: too many levels of symbolic links")
        if link.startswith("/"):
            done = []
        rest += link.split("/")[::-1]
    return "/" + "/".join(done)


def _options(mount: MountPoint, *, folder: bool) -> tuple[str, ...]:
    words = ["bind" if mount.recursion == "none" else "rbind", "ro" if mount.read_only else "rw"]
    if folder and mount.read_only and mount.recursion in ("", "force"):
        # Docker since 25: read-only goes for what is mounted below, too.
        # quirk: crun opens what is to be read-only below as a folder; below a file there is nothing.
        words.append("rro")
    words.append(mount.propagation or "rprivate")
    return tuple(words)


def _check_target(mount: MountPoint) -> None:
    """As runc: nothing over /proc, nor in it but what is known to be harmless."""
    if mount.target != "/proc" and not mount.target.startswith("/proc/"):
        return
    inside = mount.target.removeprefix("/proc").removeprefix("/")
    if inside in _IN_PROC:
        return
    why = "is inside /proc" if inside else "is not of type proc"
    raise InvalidRequest(
        f'error mounting "{mount.source}" to rootfs at "{mount.target}": "{mount.target}" cannot be mounted because '
        f"it {why}"
    )


def _check_propagation(mount: MountPoint) -> None:
    """Refuse what the source's own mount does not give, in Docker's words (moby: daemon/oci_linux.go)."""
    shared = mount.propagation in ("shared", "rshared")
    if not shared and mount.propagation not in ("slave", "rslave"):
        return
    point, optional = _mount_of(mount.source, Path("/proc/self/mountinfo").read_text().splitlines())
    if any(word.startswith("shared:") for word in optional) or (not shared and optional):
        return
    kind = "a shared mount" if shared else "a shared or slave mount"
    raise InvalidRequest(
        f"path {mount.source} is mounted on {point} but it is not {kind}",
        hint="what a container mounts can't get out of the engine's own mount namespace" if shared else None,
    )


def _mount_of(path: str, lines: Iterable[str]) -> tuple[str, list[str]]:
    """The mount point that *path* lies on, and its optional fields (man 5 proc, mountinfo)."""
    real = os.path.realpath(path)
    best: tuple[str, list[str]] = ("/", [])
    for line in lines:
        fields = line.split()
        point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):
            best = point, [word for word in fields[6 : fields.index("-")] if word.startswith(("shared:", "master:"))]
    return best


def _warn_of_owner(mount: MountPoint, user: str) -> str:
    try:
        found = os.stat(mount.source)
    except OSError:
        return ""
    if mount.source in DOCKER_SOCKETS:
        return ""
    if found.st_uid == _NOBODY:
        if found.st_mode & (0o004 if mount.read_only else 0o002):
            return ""
        return (
            f"{mount.source} belongs to a user of the host who has no id in the sandbox: in the container its owner "
            f"is nobody ({_NOBODY}), and nobody there may do more than any user of this machine."
        )
    if mount.read_only or mount.chown or user in ("", "0", "root") or found.st_uid != 0 or found.st_mode & 0o002:
        return ""
    return (
        f"{mount.source} is yours, and in the container you are root: the container's user {user} can't write there. "
        f"Run as root, open the folder to others, or hand it over with -v {mount.source}:{mount.target}:U"
    )
