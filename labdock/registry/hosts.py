"""Names of registries: where Docker Hub really is, what is this machine itself, how an address is taken apart. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from labdock.errors import SystemFailure

#: What references call Docker Hub, and where its parts are (moby/registry/config.go).
HUB = "docker.io"
HUB_REGISTRY = "registry-1.docker.io"
HUB_INDEX = "index.docker.io"
#: How ``~/.docker/config.json`` and ``X-Registry-Auth`` call Docker Hub.
HUB_SERVER = "https://index.docker.io/v1/"

_HUB_NAMES = frozenset((HUB, HUB_INDEX, HUB_REGISTRY, "hub.docker.com"))


def locate(host: str) -> str:
    """The ``name[:port]`` to connect to for the *host* of a reference."""
    return HUB_REGISTRY if host in _HUB_NAMES else host


def normalize(server: str) -> str:
    """The host of a reference that *server* means: as config files name it, with or without scheme and path."""
    bare = server.strip().partition("://")[2] or server.strip()
    host = bare.partition("/")[0].lower()
    return HUB if not host or host in _HUB_NAMES else host


def split(host: str, default: int) -> tuple[str, int]:
    """Name (brackets of an IPv6 address taken off) and port; *default* when there is none. Raises ValueError."""
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        name, _, port = host.partition(":")
    number = int(port) if port else default
    if not name or not 0 < number < 65536:
        raise ValueError(f"not a host: {host!r}")
    return name, number


def has_port(host: str) -> bool:
    return split(host, 1) == split(host, 2)


def parse_url(url: str) -> SplitResult:
    """An absolute http or https URL that somebody else wrote, in parts. Raises SystemFailure."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SystemFailure(f"{url[:200]!r} is not the address of a registry")
    return parts


def join_url(base: str, location: str) -> str:
    """*location* as it is meant at *base*, with what must not be in a URL quoted. Raises SystemFailure."""
    try:
        target = urljoin(base, quote(location.strip(), safe="%/:?#[]@!$&'()*+,;=~"))
    except ValueError as error:
        raise SystemFailure(f"{location[:200]!r} is not an address") from error
    parse_url(target)
    return target


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host in lower case, port. Raises SystemFailure."""
    parts = parse_url(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def is_loopback(host: str) -> bool:
    """Whether *host* (``name[:port]``) is this machine."""
    try:
        name, _ = split(host, 1)
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def matches(host: str, listed: Iterable[str]) -> bool:
    """Whether *host* is in *listed*: ``name``, ``name:port`` or, as Docker has it, a network ``10.0.0.0/8``."""
    try:
        name, _ = split(host, 1)
    except ValueError:
        return False
    for entry in listed:
        if entry in (host, name):
            return True
        if "/" in entry:
            try:
                if ipaddress.ip_address(name) in ipaddress.ip_network(entry, strict=False):
                    return True
            except ValueError:
                continue
    return False
