"""Which subnet a network gets, and which address a container. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from labdock.errors import Conflict, InvalidRequest

#: Docker's default address pools: (base, prefix length of one network).
POOLS: Final = (
    (IPv4Network("172.17.0.0/16"), 16),
    (IPv4Network("172.18.0.0/16"), 16),
    (IPv4Network("172.19.0.0/16"), 16),
    (IPv4Network("172.20.0.0/14"), 16),
    (IPv4Network("172.24.0.0/14"), 16),
    (IPv4Network("172.28.0.0/14"), 16),
    (IPv4Network("192.168.0.0/16"), 20),
)
#: slirp4netns's own network, which is the sandbox's way out.
SLIRP: Final = IPv4Network("10.0.2.0/24")


def subnets() -> Iterator[IPv4Network]:
    """The candidates, in Docker's order."""
    for base, prefix in POOLS:
        yield from base.subnets(new_prefix=prefix)


def choose_subnet(taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first candidate that overlaps none of *taken*. Raises Conflict when there is none."""
    avoid = [*taken, SLIRP]
    for candidate in subnets():
        if not any(candidate.overlaps(other) for other in avoid):
            return candidate
    raise Conflict(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
        hint="remove networks that nobody uses, or name a subnet that collides with no route of this host",
    )


def gateway_of(subnet: IPv4Network) -> IPv4Address:
    """The first host address."""
    return subnet[1]


def choose_address(subnet: IPv4Network, used: Collection[IPv4Address], rested: Collection[IPv4Address]) -> IPv4Address:
    """The lowest address of *subnet* that is neither *used* nor *rested* (given back a moment ago).

    The network, gateway and broadcast addresses are never given. When only rested ones are left, the one that
    comes first in *rested* is taken. Raises Conflict when all are used.
    """
    # Among the first n+1 host addresses at least one is not among n unwanted ones.
    first = int(subnet[2])
    last = int(subnet.broadcast_address) - 1
    unwanted = {int(address) for address in used} | {int(address) for address in rested}
    for number in range(first, min(last, first + len(unwanted)) + 1):
        if number not in unwanted:
            return IPv4Address(number)
    for address in rested:
        if address not in used and first <= int(address) <= last:
            return address
    raise Conflict(
        f"no available IPv4 addresses on this network's address pool {subnet}: all {last - first + 1} are in use",
        hint="stop containers on it",
    )


def check_address(subnet: IPv4Network, wanted: str, used: Collection[IPv4Address]) -> IPv4Address:
    """A fixed address that somebody asked for. Raises InvalidRequest (not of the subnet), Conflict (in use)."""
    try:
        address = IPv4Address(wanted)
    except ValueError as error:
        raise InvalidRequest(f"invalid IPv4 address: {wanted!r}") from error
    if address not in subnet or address in (subnet.network_address, subnet.broadcast_address):
        raise InvalidRequest(f"no configured subnet contains IP address {wanted}: the network is {subnet}")
    if address == gateway_of(subnet) or address in used:
        raise Conflict(f"Address already in use: {wanted}")
    return address


def mac_of(address: IPv4Address) -> str:
    """The MAC address that goes with *address*, as Docker's: 02:42 and its four bytes.

    The same address always has the same one, so no neighbour's table is ever wrong.
    """
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + address.packed)


def parse_routes(table: str) -> tuple[str, ...]:
    """The destinations in *table*, the text of /proc/net/route, as "ip/prefix"; default routes left out."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8:
            continue
        # Both are in the machine's own byte order, printed as one hexadecimal number.
        destination = int(fields[1], 16).to_bytes(4, "little")
        mask = int(fields[7], 16).to_bytes(4, "little")
        prefix = int.from_bytes(mask, "big").bit_count()
        if prefix:
            found.append(f"{ipaddress.IPv4Address(destination)}/{prefix}")
    return tuple(dict.fromkeys(found))
