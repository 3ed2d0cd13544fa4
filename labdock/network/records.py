"""What the network room remembers, and the store it needs for that."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import msgspec

T = TypeVar("T")


class Network(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network. ``driver``: bridge, macvlan, ipvlan, host, or null (the network "none"). ``created``: ns.

    ``subnet`` ("ip/prefix") and ``gateway`` are "" where the driver has none, ``subnet6`` and ``gateway6`` where it
    has no IPv6. ``range`` and ``range6`` are the part that containers' addresses come from ("": all of it),
    ``reserved`` the addresses never given, by name. ``link`` is the bridge's name, or that of the parent of a macvlan
    or ipvlan; ``made_link``: the parent was made for this network. ``mode``: macvlan's and ipvlan's own. ``ipam``: as
    it was asked for (``Driver``, ``Options``, ``Config``); ``configured``: with a subnet of the user's.
    """

    id: str
    name: str
    driver: str
    created: int
    subnet: str = ""
    gateway: str = ""
    range: str = ""
    subnet6: str = ""
    gateway6: str = ""
    range6: str = ""
    reserved: dict[str, str] = msgspec.field(default_factory=dict)
    link: str = ""
    made_link: bool = False
    mode: str = ""
    mtu: int = 0
    internal: bool = False
    attachable: bool = False
    icc: bool = True
    masquerade: bool = True
    configured: bool = False
    ipam: dict[str, Any] = msgspec.field(default_factory=dict)
    options: dict[str, str] = msgspec.field(default_factory=dict)
    labels: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def has_names(self) -> bool:
        """Whether containers find each other by name in it: in all but the default network, host and none."""
        return self.driver in ("bridge", "macvlan", "ipvlan") and self.name != "bridge"


class EndpointRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A container's place in a network, for as long as it runs (or is connected).

    ``link`` is the bridge's side of its veth pair ("" for macvlan and ipvlan), ``interface`` the name inside.
    ``ip``/``ip6`` are "" where the network has no such addresses, ``gateway``/``gateway6`` where there is no way out.
    ``aliases``: other names asked for; ``dns_names``: all names in this network, its own first; ``links``:
    "CONTAINER:ALIAS", names only for this container. ``link_local``: further addresses of the interface.
    ``priority``: of its gateway among the container's networks.
    """

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
    ip6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    aliases: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    link_local: tuple[str, ...] = ()
    driver_opts: dict[str, str] = msgspec.field(default_factory=dict)
    priority: int = 0


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
