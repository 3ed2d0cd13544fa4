"""EXPOSE's ports, as BuildKit reads them: ``[ip:][host:]port[-port][/protocol]``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

_NUMBER = re.compile(r"[0-9]{1,9}\Z")
PROTOCOLS = ("tcp", "udp", "sctp")


@dataclass(frozen=True, slots=True)
class Exposed:
    """Ports *first* to *last*. ``protocol`` as written ("tcp" when it was not); ``mapped``: an IP or a host port
    was given, which EXPOSE has no use for."""

    first: int
    last: int
    protocol: str
    mapped: bool = False

    def names(self) -> tuple[str, ...]:
        """As an image's config has them: ``80/tcp``."""
        return tuple(f"{port}/{self.protocol.lower()}" for port in range(self.first, self.last + 1))


def read_port(text: str) -> Exposed:
    """*text* as ports. Raises ValueError in BuildKit's words."""
    address, host, container = _split(text)
    container, _, protocol = container.partition("/")
    if not container:
        raise ValueError(f'invalid port: "{text}": no port specified')
    if protocol and protocol.lower() not in PROTOCOLS:
        raise ValueError(f'invalid port: "{text}": invalid proto: {protocol}')
    if address:
        _check_address(address)
    ports = _read_range(container)
    if ports is None:
        raise ValueError(f"invalid containerPort: {container}")
    if host:
        hosts = _read_range(host)
        if hosts is None:
            raise ValueError(f"invalid hostPort: {host}")
        if ports[1] - ports[0] not in (0, hosts[1] - hosts[0]):
            raise ValueError(f"invalid ranges specified for container and host Ports: {container} and {host}")
    return Exposed(*ports, protocol or "tcp", bool(address or host))


def _split(text: str) -> tuple[str, str, str]:
    parts = text.rsplit(":", 2)
    return (*[""] * (3 - len(parts)), *parts)  # type: ignore[return-value]


def _check_address(text: str) -> None:
    try:
        ip_address(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    except ValueError:
        raise ValueError(f"invalid IP address: {text}") from None


def _read_range(text: str) -> tuple[int, int] | None:
    first, dash, last = text.partition("-")
    if not _NUMBER.match(first) or (dash and not _NUMBER.match(last)):
        return None
    found = int(first), int(last or first)
    return found if found[0] <= found[1] <= 65535 else None
