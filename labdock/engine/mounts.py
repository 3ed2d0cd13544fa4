"""What a create request says of mounts: ``-v``, ``--mount``, ``--tmpfs``, ``--volumes-from``, VOLUME; checked. Pure.

The words of refusals are Docker's (moby: volume/mounts/linux_parser.go), as its rootless engine was seen to say them;
tests/system/test_mount_table.py has the table.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from labdock.engine import tmpfs
from labdock.engine.records import MountPoint
from labdock.errors import InvalidRequest
from labdock.schema.container import ContainerConfig, HostConfig, MountRequest
from labdock.schema.ids import new_id

_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
PROPAGATION = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})
#: The kinds of words after ``-v SOURCE:TARGET:``, at most one of each. "U" is labdock's (and podman's) own.
_KINDS: Mapping[str, frozenset[str]] = {
    "access": frozenset({"ro", "rw"}),
    "label": frozenset({"z", "Z"}),
    "copy": frozenset({"nocopy"}),
    "propagation": PROPAGATION,
    "consistency": frozenset({"consistent", "cached", "delegated"}),
    "owner": frozenset({"U"}),
}
#: Mount types that Docker knows and this engine can't have: type → why.
_REFUSED = {
    "npipe": "named pipes are Windows'",
    "cluster": "cluster volumes need a swarm",
    "image": "images can't be mounted yet: COPY --from=IMAGE takes files out of one",
}

#: Docker's socket: a bind of it gives the engine's own (Testcontainers, CI images).
DOCKER_SOCKETS = frozenset({"/var/run/docker.sock", "/run/docker.sock"})

MountsOf = Callable[[str], tuple[MountPoint, ...]]


def plan_mounts(
    host: HostConfig, config: ContainerConfig, inherited: Iterable[MountPoint] = ()
) -> tuple[MountPoint, ...]:
    """All mounts, outer targets first. *inherited*: see :func:`inherit`; everything else goes before it.

    Raises InvalidRequest.
    """
    found: dict[str, MountPoint] = {}
    driver = host.volume_driver or ""
    asked = [parse_bind(text, driver) for text in dict.fromkeys(host.binds or ())]
    asked += [parse_mount(mount) for mount in host.mounts or ()]
    for target, options in (host.tmpfs or {}).items():
        words = tmpfs.check(options)
        asked.append(MountPoint(type="tmpfs", source="", target=_target(target), options=words, hidden=True))
    for mount in asked:
        if mount.target in found:
            raise InvalidRequest(f"Duplicate mount point: {mount.target}")
        found[mount.target] = mount
    for mount in inherited:
        found.setdefault(mount.target, mount)
    for target in config.volumes or {}:
        at = _target(target)
        if at not in found:
            found[at] = _anonymous(at, driver)
    return tuple(sorted(found.values(), key=lambda mount: mount.target.count("/")))


def inherit(texts: Iterable[str], mounts_of: MountsOf) -> tuple[MountPoint, ...]:
    """The mounts of ``--volumes-from CONTAINER[:ro|rw]``, the last container's first.

    *mounts_of* gives a container's by its name or id (raises NoSuchContainer). Raises InvalidRequest.
    """
    found: dict[str, MountPoint] = {}
    for text in texts:
        name, _, mode = text.partition(":")
        if not name:
            raise InvalidRequest(f"invalid volumes-from specification: '{text}'")
        words = _words(mode)
        for mount in mounts_of(name):
            if mount.type not in ("volume", "bind"):
                continue
            read_only = mount.read_only if not {"ro", "rw"} & set(words) else "ro" in words or mount.read_only
            found[mount.target] = msgspec.structs.replace(mount, read_only=read_only, mode=mode or mount.mode)
    return tuple(found.values())


def parse_bind(text: str, driver: str = "") -> MountPoint:
    """``SOURCE:TARGET[:OPTIONS]`` or a bare ``TARGET`` (an anonymous volume)."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0] or (len(parts) > 1 and not parts[1]):
        raise InvalidRequest(f"invalid volume specification: '{text}'", hint="write SOURCE:TARGET[:ro]")
    source, mode = parts[0], parts[2] if len(parts) == 3 else ""
    words = _words(mode)
    kind = "bind" if source.startswith("/") and len(parts) > 1 else "volume"
    try:
        target = _target(parts[-1 if len(parts) == 1 else 1], kind)
        if kind == "bind" and "nocopy" in words:
            raise _refuse(kind, "field VolumeOptions must not be specified")
        if kind == "volume" and PROPAGATION & words.keys():
            raise _refuse(kind, "field BindOptions must not be specified")
    except InvalidRequest as error:
        raise InvalidRequest(f"invalid volume specification: '{text}': {error.message}", hint=error.hint) from error
    if len(parts) == 1:
        return _anonymous(target, driver)
    given: dict[str, Any] = {"target": target, "read_only": "ro" in words, "chown": "U" in words}
    if kind == "bind":
        propagation = next((word for word in words if word in PROPAGATION), "")
        return MountPoint(
            type="bind", source=posixpath.normpath(source), mode=mode, propagation=propagation or "rprivate", **given
        )
    check_volume_name(source)
    copy = "nocopy" not in words
    return MountPoint(type="volume", source="", volume=source, copy=copy, driver=driver, mode=mode or "z", **given)


def parse_mount(request: MountRequest) -> MountPoint:
    """One ``--mount``. Raises InvalidRequest."""
    kind = request.type
    target = _target(request.target, kind)
    if kind == "bind":
        return _bind(request, target)
    if kind == "volume":
        return _volume(request, target)
    if kind == "tmpfs":
        _forbid(request, "bind_options")
        if request.source:
            raise _refuse(kind, "field Source must not be specified")
        words = tmpfs.convert(request.tmpfs_options or {}, request.read_only)
        return MountPoint(type="tmpfs", source="", target=target, options=words, read_only=request.read_only)
    hint = _REFUSED.get(kind, "known: bind, volume, tmpfs")
    raise InvalidRequest(f'invalid mount config for type "{kind}": mount type unknown', hint=hint)


def _bind(request: MountRequest, target: str) -> MountPoint:
    _forbid(request, "volume_options", "image_options")
    if not request.source:
        raise _refuse("bind", "field Source must not be empty")
    options = request.bind_options or {}
    propagation = options.get("Propagation") or "rprivate"
    if propagation not in PROPAGATION:
        raise _refuse("bind", f"invalid propagation mode: {propagation}")
    if not request.source.startswith("/"):
        raise _refuse("bind", f"invalid mount path: '{request.source}' mount path must be absolute")
    if options.get("ReadOnlyForceRecursive") and not request.read_only:
        raise _refuse("bind", "mode must be read-only for a recursively read-only mount")
    return MountPoint(
        type="bind",
        source=posixpath.normpath(request.source),
        target=target,
        read_only=request.read_only,
        propagation=str(propagation),
        must_exist=not options.get("CreateMountpoint"),
        recursion=_recursion(options),
    )


def _recursion(options: Mapping[str, Any]) -> str:
    if options.get("NonRecursive"):
        return "none"
    if options.get("ReadOnlyNonRecursive"):
        return "writable"
    return "force" if options.get("ReadOnlyForceRecursive") else ""


def _volume(request: MountRequest, target: str) -> MountPoint:
    _forbid(request, "bind_options", "image_options")
    options = request.volume_options or {}
    subpath = _subpath("volume", options)
    if subpath and not request.source:
        raise _refuse("volume", "must not set Subpath when using anonymous volumes")
    if request.read_only and not request.source:
        raise _refuse("volume", "must not set ReadOnly mode when using anonymous volumes")
    if request.source:
        check_volume_name(request.source)
    config = options.get("DriverConfig") or {}
    if not isinstance(config, dict):
        raise _refuse("volume", "DriverConfig is not an object")
    return MountPoint(
        type="volume",
        source="",
        target=target,
        volume=request.source or new_id(),
        read_only=request.read_only,
        # moby: a part of a volume is never filled.
        copy=not options.get("NoCopy") and not subpath,
        subpath=subpath,
        driver=str(config.get("Name") or ""),
        driver_options=_texts(config.get("Options")),
        labels=_texts(options.get("Labels")),
        anonymous=not request.source,
        mode="z" if request.source else "",
    )


def _texts(value: object) -> dict[str, str]:
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, dict) else {}


def _subpath(kind: str, options: Mapping[str, Any] | None) -> str:
    """The ``Subpath`` of *options*, which is inside of what it is a part of."""
    path = (options or {}).get("Subpath") or ""
    if not isinstance(path, str) or path.startswith("/") or posixpath.normpath(path or ".").split("/")[0] == "..":
        raise _refuse(kind, "subpath must be a relative path within the volume")
    return posixpath.normpath(path) if path else ""


def _forbid(request: MountRequest, *fields: str) -> None:
    for field in fields:
        if getattr(request, field) is not None:
            name = "".join(part.title() for part in field.split("_"))
            raise _refuse(request.type, f"field {name} must not be specified")


def _refuse(kind: str, why: str) -> InvalidRequest:
    return InvalidRequest(f'invalid mount config for type "{kind}": {why}')


def _anonymous(target: str, driver: str) -> MountPoint:
    return MountPoint(
        type="volume", source="", target=target, volume=new_id(), copy=True, driver=driver, anonymous=True
    )


def _words(mode: str) -> dict[str, str]:
    """The words of *mode*, each with its kind. Raises InvalidRequest in Docker's words."""
    found: dict[str, str] = {}
    for word in mode.split(",") if mode else ():
        kind = next((kind for kind, words in _KINDS.items() if word in words), None)
        if kind is None or kind in found.values():
            known = sorted(word for words in _KINDS.values() for word in words)
            raise InvalidRequest(f"invalid mode: {mode}", hint=f"known, one of a kind: {', '.join(known)}")
        found[word] = kind
    return found


def check_volume_name(name: str) -> None:
    """Raises InvalidRequest in Docker's words when *name* can't name a volume."""
    if len(name) == 1:
        raise InvalidRequest(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not _VOLUME.match(name) or len(name) > 255:
        raise InvalidRequest(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            f'"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


def _target(path: str, kind: str = "volume") -> str:
    if not path:
        raise _refuse(kind, "field Target must not be empty")
    if not path.startswith("/"):
        raise _refuse(kind, f"invalid mount path: '{path}' mount path must be absolute")
    at = posixpath.normpath("/" + path.lstrip("/"))
    if at == "/":
        raise _refuse(kind, "invalid specification: destination can't be '/'")
    return at


def warn(mounts: Iterable[MountPoint]) -> tuple[str, ...]:
    """What was asked for and is ignored, in words for ``Warnings``."""
    found = []
    for mount in mounts:
        if {"z", "Z"} & set(mount.mode.split(",")) and (mount.type == "bind" or mount.mode != "z"):
            found.append(
                f"{mount.target}: SELinux labels (z, Z) can't be changed by an engine without root. Option ignored."
            )
    return tuple(found)
