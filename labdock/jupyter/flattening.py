"""The engine's answers made flat (see :mod:`labdock.jupyter.shapes`). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from labdock.jupyter.shapes import Container, Image, Mount, Network, Port, Volume

Wire = dict[str, Any]

#: Compose's own labels (docs.docker.com/reference/compose-file, "project name").
PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
BUILTIN = frozenset(("bridge", "host", "none"))
ALIVE = frozenset(("running", "paused"))


def read_seconds(text: object) -> float:
    """Seconds since the epoch of a time in RFC 3339; 0 for Docker's year one, for nothing and for nonsense."""
    if isinstance(text, int | float):
        return float(text)
    if not isinstance(text, str) or not text or text.startswith("0001-"):
        return 0.0
    try:
        return msgspec.convert(text, datetime).timestamp()
    except (msgspec.ValidationError, OverflowError, ValueError):
        return 0.0


def flatten_container(found: Wire, status: str = "") -> Container:
    """From ``GET /containers/ID/json``; *status* is the list's word for it."""
    state = found.get("State") or {}
    config = found.get("Config") or {}
    labels = config.get("Labels") or {}
    settings = found.get("NetworkSettings") or {}
    words = [found.get("Path") or "", *(found.get("Args") or ())]
    name = str(state.get("Status") or "created")
    return Container(
        id=str(found["Id"]),
        name=str(found.get("Name") or "").lstrip("/"),
        image=str(config.get("Image") or ""),
        image_id=str(found.get("Image") or ""),
        command=" ".join(word for word in words if word)[:1000],
        state=name,
        health=str((state.get("Health") or {}).get("Status") or "none"),
        status=status,
        exit_code=int(state.get("ExitCode") or 0),
        created=read_seconds(found.get("Created")),
        started=read_seconds(state.get("StartedAt")),
        finished=read_seconds(state.get("FinishedAt")),
        ports=tuple(_ports(str(found["Id"]), config, settings, name in ALIVE)),
        labels={str(key): str(value) for key, value in labels.items()},
        project=labels.get(PROJECT, msgspec.UNSET),
        service=labels.get(SERVICE, msgspec.UNSET),
        networks=tuple(sorted(settings.get("Networks") or ())),
        mounts=tuple(_mount(each) for each in found.get("Mounts") or ()),
    )


def flatten_summary(found: Wire) -> Container:
    """From an entry of ``GET /containers/json?labdock=1``: the same as from the container's own JSON."""
    more = found["Labdock"]
    whole = {
        **more,
        "Id": found["Id"],
        "Image": found.get("ImageID"),
        "Mounts": found.get("Mounts"),
        "Config": {**more["Config"], "Labels": found.get("Labels")},
        "NetworkSettings": {**more["NetworkSettings"], **found["NetworkSettings"]},
    }
    return flatten_container(whole, str(found.get("Status") or ""))


def _ports(id: str, config: Wire, settings: Wire, alive: bool) -> Iterable[Port]:
    published: Mapping[str, Any] = settings.get("Ports") or {}
    seen: set[tuple[int, str, int]] = set()
    for word in sorted({*published, *(config.get("ExposedPorts") or ())}, key=_port_order):
        number, kind = _port_order(word)
        url = f"labdock/port/{id}/{number}/" if alive and kind == "tcp" else ""
        bindings = published.get(word) or [{}]
        for binding in bindings:
            public = int(binding.get("HostPort") or 0)
            # IPv4's and IPv6's bindings of one port are one to a reader.
            if (number, kind, public) not in seen:
                seen.add((number, kind, public))
                yield Port(private=number, type=kind, public=public, ip=str(binding.get("HostIp") or ""), url=url)


def _port_order(word: str) -> tuple[int, str]:
    number, _, kind = word.partition("/")
    return (int(number) if number.isascii() and number.isdecimal() else 0, kind or "tcp")


def _mount(found: Wire) -> Mount:
    return Mount(
        type=str(found.get("Type") or "bind"),
        source=str(found.get("Name") or found.get("Source") or ""),
        target=str(found.get("Destination") or ""),
        rw=bool(found.get("RW", True)),
    )


def flatten_image(found: Wire, containers: int) -> Image:
    """From ``GET /images/json``."""
    tags = tuple(tag for tag in found.get("RepoTags") or () if tag != "<none>:<none>")
    digests = tuple(digest for digest in found.get("RepoDigests") or () if not digest.startswith("<none>"))
    return Image(
        id=str(found["Id"]),
        tags=tags,
        digests=digests,
        created=read_seconds(found.get("Created")),
        size=int(found.get("Size") or 0),
        containers=containers,
        dangling=not tags,
    )


def flatten_network(found: Wire, containers: tuple[str, ...]) -> Network:
    """From ``GET /networks``."""
    name = str(found.get("Name") or "")
    configs = (found.get("IPAM") or {}).get("Config") or ()
    return Network(
        id=str(found["Id"]),
        name=name,
        driver=str(found.get("Driver") or ""),
        scope=str(found.get("Scope") or ""),
        internal=bool(found.get("Internal")),
        subnets=tuple(str(each["Subnet"]) for each in configs if each.get("Subnet")),
        containers=containers,
        builtin=name in BUILTIN,
    )


def flatten_volume(found: Wire, used_by: tuple[str, ...]) -> Volume:
    """From ``GET /volumes``."""
    return Volume(
        name=str(found["Name"]),
        driver=str(found.get("Driver") or ""),
        created=read_seconds(found.get("CreatedAt")),
        mountpoint=str(found.get("Mountpoint") or ""),
        labels={str(key): str(value) for key, value in (found.get("Labels") or {}).items()},
        used_by=used_by,
    )
