"""Networks: addresses, links, rules, published ports. In the engine process, in the sandbox's namespaces."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Address:
    """A host or container address: ``ip`` textual ("" = all), ``port`` 0 = any, ``proto`` tcp or udp."""

    ip: str
    port: int
    proto: str = "tcp"


@dataclass(frozen=True, slots=True)
class Published:
    """A port that outer holds: clients of ``host`` reach ``target`` inside the sandbox. ``owner``: container id."""

    owner: str
    host: Address
    target: Address


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """What the host's own network looks like: its ``routes`` ("ip/prefix", to avoid), DNS ``search`` domains and
    ``nameservers`` (textual addresses)."""

    routes: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()


class Outside(Protocol):
    """What the engine asks of outer, over the channel. (A test has its own.)"""

    async def publish(self, owner: str, host: Address, target: Address) -> Published:
        """Listen on *host*. Raises Conflict ("port is already allocated"), Forbidden (low port), InvalidRequest."""

    async def unpublish(self, owner: str) -> None:
        """Close all that *owner* published; its connections end."""

    async def retarget(self, owner: str, ip: str) -> None:
        """Clients of all that *owner* published reach the address *ip* from now on; connections that exist go on."""

    async def published(self) -> tuple[Published, ...]:
        """What is held now, for the engine that comes back after a crash."""

    async def host(self) -> HostNetwork:
        """The host's network as it is now; the sandbox can't see it."""

    async def dial(self, host: str, port: int) -> socket.socket:
        """A connected, non-blocking TCP socket to *host*:*port*, resolved and reached in the host's network.

        Raises SystemFailure (no such host) and Unavailable (refused, unreachable, no answer in time).
        """

    async def dial_udp(self, ip: str, port: int) -> socket.socket:
        """A non-blocking UDP socket of the host's network, connected to *ip*:*port*. Raises Unavailable."""

    def keep(self, owner: str, sockets: Sequence[socket.socket]) -> None:
        """Keep copies of *sockets* for the next engine, in the place of what *owner* had kept."""

    def let_go(self, owner: str) -> None:
        """Close the copies that *owner* has. No error when there are none."""

    async def kept(self) -> dict[str, list[socket.socket]]:
        """Copies, non-blocking, of what is kept, by owner."""

    async def dial_agent(self, path: str) -> socket.socket:
        """A connected, non-blocking socket to the one at *path*, absolute, on the host: an ssh agent's.

        Raises InvalidRequest, Unavailable.
        """

    async def look(self, path: str) -> tuple[int, int] | None:
        """(st_dev, st_ino) of *path* as the host sees it; None when it can't be told."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A container's place in a network; what records.EndpointRecord says of it, for those who show it.

    In the networks host and none it has an id and nothing else.
    """

    network: str
    network_id: str
    endpoint_id: str
    ip: str
    prefix: int
    gateway: str
    mac: str
    interface: str = "eth0"
    ip6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    dns_names: tuple[str, ...] = ()
