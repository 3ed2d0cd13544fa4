"""What a container finds in /etc/hosts, /etc/hostname and /etc/resolv.conf. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from labdock.errors import InvalidRequest

#: slirp4netns's DNS forwarder: it asks the host's resolver, also one on the host's loopback.
FORWARDER: Final = "10.0.2.3"
#: The host, as far as it can be reached from inside (its loopback only with --host-loopback).
HOST: Final = "10.0.2.2"
HOST_GATEWAY: Final = "host-gateway"
#: Where the name service is in every container that is in a network with names (network/dns/doors.py).
RESOLVER: Final = "127.0.0.11"
#: A bare name is asked for as it is first: the name service knows it, or nobody does. As Docker has it.
_BARE_FIRST: Final = "ndots:0"
#: glibc's own bounds (man 5 resolv.conf).
MOST_NAMESERVERS: Final = 3

_LOCAL: Final = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff00::\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
)


def change_lines(text: str, before: str, after: str) -> str:
    """*text*, which a program may have changed since it was *before*, with what makes *before* into *after*."""
    if text == before:
        return after
    old, new = before.splitlines(), after.splitlines()
    kept = [line for line in text.splitlines() if line not in old or line in new]
    return "\n".join((*kept, *(line for line in new if line not in old and line not in kept))) + "\n"


def hosts_file(
    hostname: str,
    addresses: Sequence[str] = (),
    *,
    domainname: str = "",
    extra: Iterable[str] = (),
    gateway: str = "",
) -> str:
    """/etc/hosts: localhost, then *extra* ("name:ip" or "name=ip"), then the container's own name.

    *addresses* are its own ("" are left out), *gateway* the way out of its network ("": an internal one).
    ``host-gateway`` as an ip means the host. Raises InvalidRequest.
    """
    lines = list(_LOCAL)
    for entry in extra:
        name, ip = split_extra_host(entry)
        if ip == HOST_GATEWAY and any(addresses) and not gateway:
            raise InvalidRequest(
                f"unable to derive the IP value for {HOST_GATEWAY}: the container's network has no way out",
                hint="use a network that is not internal",
            )
        lines.append(f"{HOST if ip == HOST_GATEWAY else ip}\t{name}")
    own = f"{hostname}.{domainname} {hostname}" if domainname else hostname
    lines += [f"{address}\t{own}" for address in addresses if address]
    return "\n".join(lines) + "\n"


def split_extra_host(entry: str) -> tuple[str, str]:
    """An --add-host value: (name, ip or "host-gateway"). Raises InvalidRequest in Docker's words."""
    for separator in ("=", ":"):
        name, found, ip = entry.partition(separator)
        if found:
            break
    ip = ip.strip()
    bare = ip.removeprefix("[").removesuffix("]")
    if not name or not ip:
        raise InvalidRequest(
            f'bad format for add-host: "{entry}"', hint="write it as name:ip, for example db:172.17.0.9"
        )
    if ip == HOST_GATEWAY:
        return name, ip
    try:
        ipaddress.ip_address(bare)
    except ValueError as error:
        raise InvalidRequest(f'invalid IP address in add-host: "{ip}"') from error
    return name, bare


def resolv_conf(
    nameservers: Sequence[str],
    search: Sequence[str] = (),
    *,
    servers: Sequence[str] = (),
    search_domains: Sequence[str] = (),
    options: Sequence[str] = (),
    named: bool = False,
) -> str:
    """/etc/resolv.conf: *nameservers* and *search* unless the container has its own *servers*, *search_domains*.

    *named*: the name service is asked, which asks *servers* for what it does not know. A search domain "." alone
    means none. Raises InvalidRequest for a server that is no address.
    """
    lines = []
    for server in servers:
        try:
            ipaddress.ip_address(server)
        except ValueError as error:
            raise InvalidRequest(f"invalid DNS server address: {server!r}") from error
    domains = [domain for domain in search_domains or search if domain != "."]
    if domains:
        lines.append(f"search {' '.join(domains)}")
    chosen = (RESOLVER,) if named else tuple(servers or nameservers)[:MOST_NAMESERVERS]
    lines += [f"nameserver {server}" for server in chosen]
    if named and not any(option.startswith("ndots:") for option in options):
        options = (*options, _BARE_FIRST)
    if options:
        lines.append(f"options {' '.join(options)}")
    return "\n".join(lines) + "\n"


def search_of(host: str) -> tuple[str, ...]:
    """The search domains in *host*, the text of the host's resolv.conf (the last line counts, as in glibc)."""
    found: tuple[str, ...] = ()
    for line in host.splitlines():
        words = line.split()
        if words and words[0] in ("search", "domain"):
            found = tuple(words[1:] if words[0] == "search" else words[1:2])
    return found


def nameservers_of(host: str) -> tuple[str, ...]:
    """The name servers in *host*, the text of the host's resolv.conf; what is no address is passed over."""
    found: list[str] = []
    for line in host.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            ipaddress.ip_address(words[1])
        except ValueError:
            continue
        found.append(words[1])
    return tuple(dict.fromkeys(found))[:MOST_NAMESERVERS]
