"""Devices: nodes of the sandbox's /dev, which are the host's, bound into a container.

No node can be made by who is not root of the machine, but one that is there, and that this user may open, can be
bound. The permissions of a mapping (rwm) would need a device controller, so they are not kept.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from labdock.errors import InvalidRequest, SystemFailure
from labdock.runtime.spec import SpecMount
from labdock.schema.container import HostConfig

#: Every container has these of its own.
_OWN = frozenset({"console", "full", "null", "ptmx", "random", "tty", "urandom", "zero"})
#: Folders of /dev that hold no devices, or another instance's.
_PASSED = frozenset({"mqueue", "pts", "shm"})
#: More nodes than this are not handed to a privileged container: each is a mount.
_MOST = 128
_OPTIONS = ("bind", "rw", "rprivate")


def bind_devices(host: HostConfig) -> tuple[SpecMount, ...]:
    """The mounts for ``Devices``, and for a privileged container every device that this user may open.

    Raises SystemFailure in Docker's words for a device that is not there or is none.
    """
    found: dict[str, SpecMount] = {}
    if host.privileged:
        for path in _openable("/dev"):
            found[path] = SpecMount(path, path, "bind", _OPTIONS)
    for device in host.devices or ():
        source, target = device.path_on_host, device.path_in_container or device.path_on_host
        for path in _nodes(source):
            at = target + path.removeprefix(source)
            found[at] = SpecMount(at, path, "bind", _OPTIONS)
    return tuple(found.values())


def check_devices(host: HostConfig) -> None:
    """Raises InvalidRequest for paths that can't be any."""
    for device in host.devices or ():
        for path in (device.path_on_host, device.path_in_container or device.path_on_host):
            if not path.startswith("/") or "\0" in path:
                raise InvalidRequest(f"invalid device path: {path!r}", hint="write --device /dev/NAME[:/dev/NAME]")


def _nodes(path: str) -> Iterator[str]:
    """*path* when it is a device, the devices below it when it is a folder of /dev."""
    opening = f'error gathering device information while adding custom device "{path}": '
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise SystemFailure(opening + (error.strerror or "").lower()) from error
    if stat.S_ISDIR(mode) and os.path.realpath(path).startswith("/dev/"):
        yield from _openable(path)
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        yield path
    else:
        raise SystemFailure(f"{opening}not a device node")


def _openable(folder: str) -> list[str]:
    found: list[str] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _PASSED)
        for name in sorted(names):
            path = os.path.join(place, name)
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                continue
            own = place == "/dev" and name in _OWN
            if (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and not own and os.access(path, os.R_OK):
                found.append(path)
    return found[:_MOST]
