"""Which subnet a network gets, and which address a container. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from labdock.errors import Conflict, Forbidden, InvalidRequest

Subnet = IPv4Network | IPv6Network
Ip = IPv4Address | IPv6Address

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
#: slirp4netns's own networks, which are the sandbox's way out.
SLIRP: Final = IPv4Network("10.0.2.0/24")
SLIRP6: Final = IPv6Network("fd00::/64")
#: Docker's words for a subnet that another network has (docker-py's and Compose's users search for them).
OVERLAP: Final = "invalid pool request: Pool overlaps with other one on this address space"


def subnets() -> Iterator[IPv4Network]:
    """The candidates, in Docker's order."""
    for base, prefix in POOLS:
        yield from base.subnets(new_prefix=prefix)


def choose_subnet(taken: Iterable[Subnet]) -> IPv4Network:
    """The first candidate that overlaps none of *taken*. Raises Conflict when there is none."""
    avoid = [*(other for other in taken if isinstance(other, IPv4Network)), SLIRP]
    for candidate in subnets():
        if not any(candidate.overlaps(other) for other in avoid):
            return candidate
    raise Conflict(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
        hint="remove networks that nobody uses, or name a subnet that collides with no route of this host",
    )


def choose_subnet6(id: str, taken: Iterable[Subnet]) -> IPv6Network:
    """A /64 of the unique local addresses (RFC 4193) that belongs to the network *id* (64 hex digits)."""
    avoid = [*(other for other in taken if isinstance(other, IPv6Network)), SLIRP6]
    for start in range(0, 48, 4):
        digits = id[start : start + 14]
        candidate = IPv6Network((int(f"fd{digits}".ljust(32, "0"), 16), 64))
        if not any(candidate.overlaps(other) for other in avoid):
            return candidate
    raise Conflict("could not find an available, non-overlapping IPv6 address pool to assign to the network")


def parse_subnet(text: str) -> Subnet:
    """A subnet that somebody asked for, in Docker's strictness: no host bits. Raises InvalidRequest."""
    try:
        loose = ipaddress.ip_network(text, strict=False)
        if "/" not in text:
            raise ValueError("no prefix length")
    except ValueError as error:
        raise InvalidRequest(f"invalid subnet {text}: invalid CIDR block notation", hint="as 172.30.0.0/16") from error
    if text.partition("/")[0] != str(loose.network_address) and ipaddress.ip_address(text.partition("/")[0]) in loose:
        address = ipaddress.ip_address(text.partition("/")[0])
        if address != loose.network_address:
            raise InvalidRequest(
                f"invalid subnet {text}: it should be {loose}", hint="a subnet's host bits are all zero"
            )
    if loose.prefixlen > loose.max_prefixlen - 1:
        raise InvalidRequest(f"invalid subnet {text}: it has no room for a container")
    return loose


def check_free(subnet: Subnet, taken: Iterable[Subnet]) -> None:
    """Raises Forbidden, in Docker's words, when *subnet* overlaps one of *taken*."""
    for other in taken:
        if subnet.version == other.version and subnet.overlaps(other):
            raise Forbidden(OVERLAP, hint=f"{subnet} and {other}, which another network has, share addresses")


def check_inside(subnet: Subnet, text: str, what: str) -> Ip:
    """An address of *subnet*. Raises InvalidRequest saying *what* it was for."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise InvalidRequest(f"invalid {what} {text}") from error
    if address not in subnet:
        raise InvalidRequest(f"invalid {what} {text}: parent subnet is {subnet}, it doesn't contain this address")
    return address


def gateway_of(subnet: IPv4Network | IPv6Network, range_: str = "") -> Ip:
    """The first host address, of *range_* where there is one."""
    part = ipaddress.ip_network(range_) if range_ else subnet
    return part[1] if part.network_address == subnet.network_address else part[0]


def choose_address(subnet: Subnet, used: Collection[Ip], rested: Collection[Ip], range_: str = "") -> Ip:
    """The lowest address of *subnet* (of its part *range_*) that is neither *used* nor *rested* (given back lately).

    *used* has the gateway and what else is reserved. The network and broadcast addresses are never given. When only
    rested ones are left, the one that comes first in *rested* is taken. Raises Conflict when all are used.
    """
    part = ipaddress.ip_network(range_) if range_ else subnet
    # Of IPv6 only the subnet-router anycast address is special, of IPv4 also the broadcast address.
    first = max(int(part.network_address), int(subnet.network_address) + 1)
    last = int(part.broadcast_address)
    if subnet.version == 4:
        last = min(last, int(subnet.broadcast_address) - 1)
    make = IPv4Address if subnet.version == 4 else IPv6Address
    # Among the first n+1 host addresses at least one is not among n unwanted ones.
    unwanted = {int(address) for address in used} | {int(address) for address in rested}
    for number in range(first, min(last, first + len(unwanted)) + 1):
        if number not in unwanted:
            return make(number)
    for address in rested:
        if address not in used and first <= int(address) <= last:
            return address
    raise Conflict(
        f"no available IPv{subnet.version} addresses on this network's address pool {part}:"
        f" all {last - first + 1} are in use",
        hint="stop containers on it",
    )


def check_address(subnet: Subnet, wanted: str, used: Collection[Ip]) -> Ip:
    """A fixed address that somebody asked for. Raises InvalidRequest (not of the subnet), Conflict (in use)."""
    try:
        address = ipaddress.ip_address(wanted)
        if address.version != subnet.version:
            raise ValueError(wanted)
    except ValueError as error:
        raise InvalidRequest(f"invalid IPv{subnet.version} address: {wanted!r}") from error
    ends = (subnet.network_address, *((subnet.broadcast_address,) if subnet.version == 4 else ()))
    if address not in subnet or address in ends:
        raise InvalidRequest(f"no configured subnet contains IP address {wanted}: the network is {subnet}")
    if address in used:
        raise Conflict(f"Address already in use: {wanted}", hint="the gateway or another container has it")
    return address


def mac_of(address: Ip) -> str:
    """The MAC address that goes with *address*, as Docker's: 02:42 and its (last) four bytes.

    The same address always has the same one, so no neighbour's table is ever wrong.
    """
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + address.packed[-4:])


def parse_all(texts: Sequence[str]) -> list[Subnet]:
    """The subnets among *texts*; "" is passed over."""
    return [ipaddress.ip_network(text, strict=False) for text in texts if text]


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
