"""What a create request says of mounts: ``-v``, ``--mount``, ``--tmpfs``, VOLUME; parsed and checked. Pure."""

from __future__ import annotations

import posixpath
import re

from labdock.engine.records import MountPoint
from labdock.errors import InvalidRequest
from labdock.schema.container import ContainerConfig, HostConfig, MountRequest
from labdock.schema.ids import new_id

_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
_MODES = frozenset({"ro", "rw", "z", "Z", "nocopy", "private", "rprivate", "slave", "rslave", "shared", "rshared"})
_PROPAGATION = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})

#: Docker's socket: a bind of it gives the engine's own (Testcontainers, CI images).
DOCKER_SOCKETS = frozenset({"/var/run/docker.sock", "/run/docker.sock"})


def plan_mounts(host: HostConfig, config: ContainerConfig) -> tuple[MountPoint, ...]:
    """All mounts, outer targets first. A volume with source "" gets its folder later. Raises InvalidRequest."""
    found: dict[str, MountPoint] = {}
    for text in host.binds or ():
        _add(found, parse_bind(text))
    for mount in host.mounts or ():
        _add(found, parse_mount(mount))
    for target, options in (host.tmpfs or {}).items():
        words = tuple(word for word in options.split(",") if word)
        _add(found, MountPoint(type="tmpfs", source="", target=_target(target), options=words, mode=options))
    for target in config.volumes or {}:
        at = _target(target)
        if at not in found:
            found[at] = MountPoint(type="volume", source="", target=at, volume=new_id(), copy=True)
    return tuple(sorted(found.values(), key=lambda mount: mount.target.count("/") if mount.target != "/" else 0))


def parse_bind(text: str) -> MountPoint:
    """``SOURCE:TARGET[:OPTIONS]`` or a bare ``TARGET`` (an anonymous volume)."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0] or (len(parts) > 1 and not parts[1]):
        raise InvalidRequest(f"invalid volume specification: '{text}'", hint="write SOURCE:TARGET[:ro]")
    if len(parts) == 1:
        return MountPoint(type="volume", source="", target=_target(parts[0]), volume=new_id(), copy=True)
    words = [word for word in parts[2].split(",") if word] if len(parts) == 3 else []
    for word in words:
        if word not in _MODES:
            raise InvalidRequest(f"invalid mode: {word}", hint=f"known: {', '.join(sorted(_MODES))}")
    read_only = "ro" in words
    propagation = tuple(word for word in words if word in _PROPAGATION)
    source, target, mode = parts[0], _target(parts[1]), ",".join(words)
    if source.startswith("/"):
        return MountPoint(
            type="bind",
            source=posixpath.normpath(source),
            target=target,
            read_only=read_only,
            options=propagation,
            mode=mode,
        )
    check_volume_name(source)
    return MountPoint(
        type="volume",
        source="",
        target=target,
        volume=source,
        read_only=read_only,
        copy="nocopy" not in words,
        mode=mode,
    )


def parse_mount(request: MountRequest) -> MountPoint:
    """One ``--mount``."""
    target = _target(request.target)
    if request.type == "tmpfs":
        options = request.tmpfs_options or {}
        words = []
        if size := options.get("SizeBytes"):
            words.append(f"size={size}")
        if (mode := options.get("Mode")) and isinstance(mode, int):
            words.append(f"mode={mode:o}")
        return MountPoint(type="tmpfs", source="", target=target, options=tuple(words))
    if request.type == "bind":
        if not request.source.startswith("/"):
            raise InvalidRequest(
                f"invalid mount config for type \"bind\": invalid mount path: '{request.source}' "
                "mount path must be absolute"
            )
        propagation = (request.bind_options or {}).get("Propagation")
        return MountPoint(
            type="bind",
            source=posixpath.normpath(request.source),
            target=target,
            read_only=request.read_only,
            options=(propagation,) if isinstance(propagation, str) and propagation else (),
            mode="must-exist",
        )
    if request.type == "volume":
        if request.source:
            check_volume_name(request.source)
        return MountPoint(
            type="volume",
            source="",
            target=target,
            volume=request.source or new_id(),
            read_only=request.read_only,
            copy=not (request.volume_options or {}).get("NoCopy", False),
        )
    raise InvalidRequest(f"mount type unknown: '{request.type}'", hint="known: bind, volume, tmpfs")


def check_volume_name(name: str) -> None:
    """Raises InvalidRequest in Docker's words when *name* can't name a volume."""
    if not _VOLUME.match(name) or len(name) > 255:
        raise InvalidRequest(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            f'"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


def _target(path: str) -> str:
    if not path.startswith("/"):
        raise InvalidRequest(f"invalid mount path: '{path}' mount path must be absolute")
    at = posixpath.normpath("/" + path.lstrip("/"))
    if at == "/":
        raise InvalidRequest("invalid mount target: destination can't be '/'")
    return at


def _add(found: dict[str, MountPoint], mount: MountPoint) -> None:
    if mount.target in found:
        raise InvalidRequest(f"Duplicate mount point: {mount.target}")
    found[mount.target] = mount
