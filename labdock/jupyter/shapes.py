"""What browsers are told: the engine's objects made flat, small and in plain words. Times are seconds, 0: never."""

from __future__ import annotations

from typing import Any

import msgspec


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all: immutable, compared by value."""


class Finding(Shape, frozen=True, kw_only=True, omit_defaults=True):
    """``level``: problem or note."""

    level: str
    text: str
    hint: str = ""


class Engine(Shape, frozen=True, kw_only=True, omit_defaults=True):
    """``state``: running, stopped, starting or unavailable (then ``message`` and ``hint`` say why and what to do)."""

    state: str
    version: str = ""
    message: str = ""
    hint: str = ""
    findings: tuple[Finding, ...] = ()
    terminals: bool | None = None
    ports: bool | None = None


class Port(Shape, frozen=True, kw_only=True, omit_defaults=True):
    """``url``: where a browser finds it through this server; relative to the server's base URL."""

    private: int
    type: str
    public: int = 0
    ip: str = ""
    url: str = ""


class Mount(Shape, frozen=True, kw_only=True):
    type: str
    source: str
    target: str
    rw: bool


class Container(Shape, frozen=True, kw_only=True):
    """``status``: Docker's words at the time of the last change; ages are better made of the times."""

    id: str
    name: str
    image: str
    image_id: str
    command: str
    state: str
    health: str
    status: str
    exit_code: int
    created: float
    started: float
    finished: float
    ports: tuple[Port, ...]
    labels: dict[str, str]
    project: str | msgspec.UnsetType = msgspec.UNSET
    service: str | msgspec.UnsetType = msgspec.UNSET
    networks: tuple[str, ...]
    mounts: tuple[Mount, ...]


class Image(Shape, frozen=True, kw_only=True):
    """``containers``: how many are made of it, running or not."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    created: float
    size: int
    containers: int
    dangling: bool


class Network(Shape, frozen=True, kw_only=True):
    """``containers``: the ids of those in it, running or not."""

    id: str
    name: str
    driver: str
    scope: str
    internal: bool
    subnets: tuple[str, ...]
    containers: tuple[str, ...]
    builtin: bool


class Volume(Shape, frozen=True, kw_only=True):
    name: str
    driver: str
    created: float
    mountpoint: str
    labels: dict[str, str]
    used_by: tuple[str, ...]


class State(Shape, frozen=True, kw_only=True):
    engine: Engine
    containers: tuple[Container, ...]
    images: tuple[Image, ...]
    networks: tuple[Network, ...]
    volumes: tuple[Volume, ...]


class Failure(Shape, frozen=True, kw_only=True, omit_defaults=True):
    message: str
    hint: str = ""


def encode(value: Any) -> bytes:
    """JSON. Text that is no Unicode (names of files) loses its odd bytes."""
    return msgspec.json.encode(value)
