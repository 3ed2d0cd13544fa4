"""What the network room remembers, and the store it needs for that."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

import msgspec

T = TypeVar("T")


class Network(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network. ``driver``: bridge, host or null (the network "none"). ``created``: ns since the epoch.

    ``subnet`` ("ip/prefix") and ``gateway`` are "" where the driver has none; ``link`` is the bridge's name.
    """

    id: str
    name: str
    driver: str
    created: int
    subnet: str = ""
    gateway: str = ""
    link: str = ""
    mtu: int = 0
    internal: bool = False
    options: dict[str, str] = msgspec.field(default_factory=dict)
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class EndpointRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A container's address in a network. ``link`` is the bridge's side of its veth pair."""

    id: str
    container: str
    network: str
    network_id: str
    ip: str
    prefix: int
    gateway: str
    mac: str
    interface: str
    link: str


class Collection(Protocol[T]):
    """Records of one kind by id; the store room's Records."""

    def put(self, id: str, value: T, name: str | None = None) -> None: ...
    def get(self, id: str) -> T | None: ...
    def delete(self, id: str) -> bool: ...
    def all(self) -> list[T]: ...


class Database(Protocol):
    """The store room's Database."""

    def transaction(self) -> AbstractContextManager[None]: ...
    def records(self, kind: str, type: type[T]) -> Collection[T]: ...
