"""What keeps volumes: the ``local`` driver, and what every driver does. (Plugins: volume_plugins.py.)

The local driver's volumes are folders, ``volumes/NAME/_data``. Its options, as mount(8) has them: ``type=tmpfs`` is
mounted on that folder while a container uses it; ``o=bind`` stands for the folder ``device`` of the host.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from labdock.errors import InvalidRequest, SystemFailure, Unsupported
from labdock.sys import mounts

_KNOWN = frozenset({"type", "o", "device", "size"})
#: File systems over a network or on a device: the kernel mounts them for root of the host alone.
_WHY = (
    "only root of the host may mount it: have it mounted there and use "
    "-o type=none -o o=bind -o device=FOLDER, or a volume plugin"
)


class VolumeDriver(Protocol):
    """Where volumes are kept. *holder* is the id of the container that a mount is for.

    Everything raises LabdockError, within a time that the driver bounds.
    """

    name: str

    async def create(self, name: str, options: Mapping[str, str]) -> None:
        """Make the volume *name*; one of that name already may be given back."""

    async def remove(self, name: str) -> None: ...

    async def mount(self, name: str, holder: str) -> Path:
        """The volume's folder, as it is seen in the sandbox."""

    async def unmount(self, name: str, holder: str) -> None: ...

    async def describe(self, name: str) -> dict[str, Any]:
        """Of ``Mountpoint``, ``Status`` and ``CreatedAt`` what the driver knows."""


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Refuse options of the local driver that mean nothing or can't work. Raises InvalidRequest, Unsupported."""
    for key in options:
        if key not in _KNOWN:
            raise InvalidRequest(f'create {name}: invalid option: "{key}"', hint=f"known: {', '.join(sorted(_KNOWN))}")
    if "size" in options:
        raise InvalidRequest(
            f"create {name}: quota size requested but no quota support",
            hint="a volume in memory has a size: -o type=tmpfs -o device=tmpfs -o o=size=100m",
        )
    for key in ("device", "type"):
        if options and key not in options:
            raise InvalidRequest(f'create {name}: missing required option: "{key}"')
    if not options:
        return
    words = options.get("o", "").split(",")
    kind = options["type"]
    if is_bind(options):
        if not options["device"].startswith("/"):
            raise InvalidRequest(f"create {name}: the device of a bind is an absolute path, not {options['device']!r}")
        strange = sorted(set(words) - {"bind", "rbind", "ro", "rw", ""})
        if strange:
            raise Unsupported(f"create {name}: the mount options {', '.join(strange)} don't go with a bind")
    elif kind != "tmpfs":
        raise Unsupported(f"create {name}: a volume of type {kind!r} can't be had", hint=_WHY)


def is_bind(options: Mapping[str, str]) -> bool:
    """Whether *options* of the local driver mean a folder of the host."""
    return bool({"bind", "rbind"} & set(options.get("o", "").split(",")))


def is_read_only(options: Mapping[str, str]) -> bool:
    return "ro" in options.get("o", "").split(",")


def find_bind(name: str, data: Path, options: Mapping[str, str]) -> Path:
    """The host's folder that a bind volume stands for. Raises InvalidRequest, as mounting it fails with Docker."""
    device = Path(options["device"])
    if not device.exists():
        raise InvalidRequest(
            f"error while mounting volume '{data}': failed to mount local volume: "
            f"mount {device}:{data}, flags: 0x1000: no such file or directory",
            hint=f"the volume {name} stands for the folder {device} of the host",
        )
    return device


def mount_memory(data: Path, options: Mapping[str, str]) -> None:
    """Mount a tmpfs volume on its folder, when it is not there yet. Raises InvalidRequest."""
    if os.path.ismount(data):
        return
    words = tuple(word for word in options.get("o", "").split(",") if word)
    try:
        mounts.mount_options(options["device"], str(data), "tmpfs", words)
    except OSError as error:
        raise InvalidRequest(
            f"error while mounting volume '{data}': failed to mount local volume: mount {options['device']}:{data}, "
            f"data: {','.join(words)}: {(error.strerror or '').lower()}"
        ) from error


def unmount_memory(data: Path) -> None:
    """Take a tmpfs volume away, and all that is in it. Raises SystemFailure."""
    try:
        while os.path.ismount(data):
            mounts.unmount(str(data), mounts.MNT_DETACH)
    except OSError as error:
        raise SystemFailure(f"unmounting {data}: {error}") from error
