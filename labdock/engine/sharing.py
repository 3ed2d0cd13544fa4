"""Which namespaces a container has of its own, shares with another container, or with the sandbox."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord
from labdock.errors import Conflict, InvalidRequest
from labdock.schema.container import HostConfig
from labdock.sys import mounts

SHARED = "container:"
#: /dev/shm of a container that asks for no other size, in bytes.
SHM_SIZE = 64 << 20

#: HostConfig member → how Docker calls the mode, the words it knows, whether it may be another container's.
_MODES: dict[str, tuple[str, frozenset[str], bool]] = {
    "ipc_mode": ("IPC", frozenset({"", "private", "shareable", "host", "none"}), True),
    "pid_mode": ("PID", frozenset({"", "private", "host"}), True),
    "uts_mode": ("UTS", frozenset({"", "private", "host"}), False),
    "userns_mode": ("user namespace", frozenset({"", "host"}), False),
    "cgroupns_mode": ("cgroup namespace", frozenset({"", "private", "host"}), False),
}

#: The sysctls that belong to a namespace (moby's opts.ValidateSysctl, runc's validator): name → the mode's member.
_IPC_SYSCTLS = frozenset(
    ("kernel." + name)
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)


#: The parts of a name: they become a path below /proc/sys.
_SYSCTL = re.compile(r"[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_:@-]+)+\Z")


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Each "private", "host" or the path of a namespace. ``shm``: a folder to mount at /dev/shm ("": its own one)."""

    pid: str
    ipc: str
    uts: str
    cgroup: str
    shm: str = ""
    shm_size: int = SHM_SIZE


def check_modes(host: HostConfig) -> None:
    """Raises InvalidRequest, in Docker's words, for modes and sysctls that can't be."""
    for member, (name, words, shareable) in _MODES.items():
        mode = getattr(host, member) or ""
        if mode in words or (shareable and mode.startswith(SHARED) and len(mode) > len(SHARED)):
            continue
        raise InvalidRequest(f"invalid {name} mode: {mode}")
    for name in host.sysctls or {}:
        _check_sysctl(name, host)


def _check_sysctl(name: str, host: HostConfig) -> None:
    if not _SYSCTL.match(name):
        raise InvalidRequest(f"invalid sysctl name: {name!r}", hint="such as net.ipv4.ip_forward")
    normal = name.replace("/", ".")
    if normal.startswith("net."):
        if host.network_mode == "host":
            raise InvalidRequest(f"sysctl '{name}' not allowed in host network namespace")
        return
    if normal in _IPC_SYSCTLS or normal.startswith("fs.mqueue."):
        if host.ipc_mode == "host":
            raise InvalidRequest(f"sysctl '{name}' not allowed in host ipc namespace")
        return
    if normal in ("kernel.domainname", "kernel.hostname") and host.uts_mode != "host":
        return
    raise InvalidRequest(f"sysctl {name} is not in a separate kernel namespace", hint="net.* and the IPC ones are")


def find_namespaces(
    record: ContainerRecord, find: Callable[[str], ContainerRecord], shm_of: Callable[[str], Path]
) -> Namespaces:
    """What *record* has now. *find* gives the container that a mode names, *shm_of* the folder of its /dev/shm.

    Raises Conflict for a container that does not run or does not share, NoSuchContainer.
    """
    host = record.host
    pid, ipc = host.pid_mode or "private", host.ipc_mode or "private"
    shm, size = "", host.shm_size or SHM_SIZE
    if pid.startswith(SHARED):
        pid = f"/proc/{_running(find(pid.removeprefix(SHARED)), 'PID').state.pid}/ns/pid"
    if ipc.startswith(SHARED):
        donor = _running(find(ipc.removeprefix(SHARED)), "IPC")
        if donor.host.ipc_mode != "shareable":
            raise Conflict(
                f"cannot join IPC namespace of container {donor.id}: "
                "non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
            )
        ipc, shm = f"/proc/{donor.state.pid}/ns/ipc", str(shm_of(donor.id))
    elif ipc == "shareable":
        ipc, shm = "private", str(shm_of(record.id))
    elif ipc == "none":
        ipc, size = "private", 0
    return Namespaces(pid, ipc, host.uts_mode or "private", host.cgroupns_mode or "private", shm, size)


def _running(donor: ContainerRecord, kind: str) -> ContainerRecord:
    if donor.state.status != Status.RUNNING:
        raise Conflict(f"cannot join {kind} namespace of container {donor.id}: container {donor.id} is not running")
    return donor


def make_shm(folder: Path, size: int) -> None:
    """A /dev/shm that others may share, at *folder* in the sandbox. Nothing happens when it is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.path.ismount(folder):
        flags = mounts.NOSUID | mounts.NODEV | mounts.NOEXEC
        mounts.mount("shm", str(folder), "tmpfs", flags, f"mode=1777,size={size}")


def drop_shm(folder: Path) -> None:
    """Take it away again; containers that still have it keep it."""
    if os.path.ismount(folder):
        mounts.unmount(str(folder), mounts.MNT_DETACH)
    if folder.exists():
        folder.rmdir()
