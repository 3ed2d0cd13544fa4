"""From what was asked for with -p and -P to host addresses to try, and back to what inspect shows. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from labdock.errors import InvalidRequest
from labdock.network import Address
from labdock.schema.container import PortBinding

#: Every IPv4 address of the host.
ANY_IPV4: Final = "0.0.0.0"  # noqa: S104 - what publishing without an address means


@dataclass(frozen=True, slots=True)
class Wish:
    """A container port and the host addresses that would do, in the order to try them."""

    key: str
    port: int
    proto: str
    hosts: tuple[Address, ...]


def parse_port(key: str) -> tuple[int, str]:
    """ "80/tcp" or "80" → (80, "tcp"). Raises InvalidRequest."""
    number, _, proto = key.partition("/")
    proto = proto.lower() or "tcp"
    if not number.isascii() or not number.isdecimal() or not 0 < int(number) < 65536:
        raise InvalidRequest(
            f"invalid port specification: {key!r}", hint="a container port is 1 to 65535, as in 80/tcp"
        )
    if proto not in ("tcp", "udp", "sctp"):
        raise InvalidRequest(f"invalid proto: {proto}")
    return int(number), proto


def parse_host_port(text: str) -> tuple[int, int]:
    """ "" or "0" → (0, 0): any; "8080" → (8080, 8080); "8000-8010" → (8000, 8010). Raises InvalidRequest."""
    first, dash, last = (text or "0").partition("-")
    bounds = (first, last if dash else first)
    if not all(b.isascii() and b.isdecimal() and int(b) < 65536 for b in bounds) or int(bounds[0]) > int(bounds[1]):
        raise InvalidRequest(
            f"invalid hostPort: {text}", hint="a host port is 1 to 65535, 0 for any, or a range first-last"
        )
    return int(bounds[0]), int(bounds[1])


def plan(
    bindings: Mapping[str, Sequence[PortBinding] | None],
    exposed: Iterable[str] = (),
    publish_all: bool = False,
    default_host: str = "",
) -> list[Wish]:
    """Everything to publish: *bindings*, and with *publish_all* every *exposed* port that has none.

    An entry of *bindings* without a binding means any host port, a binding without an address *default_host*.
    Raises InvalidRequest.
    """
    asked: dict[str, Sequence[PortBinding]] = {key: found or (PortBinding(),) for key, found in bindings.items()}
    if publish_all:
        for key in sorted(exposed, key=parse_port):
            port, proto = parse_port(key)
            asked.setdefault(f"{port}/{proto}", (PortBinding(),))
    wishes = []
    for key, found in asked.items():
        port, proto = parse_port(key)
        for binding in found:
            first, last = parse_host_port(binding.host_port or "")
            ip = _parse_host_ip(binding.host_ip or default_host)
            hosts = tuple(Address(ip, number, proto) for number in range(first, last + 1))
            wishes.append(Wish(f"{port}/{proto}", port, proto, hosts))
    return wishes


def show(host: Address) -> tuple[PortBinding, ...]:
    """What inspect says of a held address: "" is IPv4's and IPv6's any."""
    ips = (ANY_IPV4, "::") if host.ip == "" else (host.ip,)
    return tuple(PortBinding(host_ip=ip, host_port=str(host.port)) for ip in ips)


def _parse_host_ip(text: str) -> str:
    bare = text.strip().removeprefix("[").removesuffix("]")
    if not bare:
        return ""
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError as error:
        raise InvalidRequest(f"invalid IP address: {text}") from error
