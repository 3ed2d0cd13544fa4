"""What of the outside containers can reach through this host, and what of the host's ports they may have. By trying."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from labdock.host.plan import Probe

_PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_RESOLV = Path("/etc/resolv.conf")


def probe_reach(uid: int, *, ports: Path = _PORTS, resolv: Path = _RESOLV) -> tuple[Probe, ...]:
    """Ping, name servers, low ports, IPv6. Raises nothing."""
    return _probe_ping(), _probe_names(resolv), _probe_ports(uid, ports), _probe_ipv6()


def _probe_ping() -> Probe:
    """slirp4netns sends a container's echo requests by an unprivileged ICMP socket (man 7 icmp)."""
    name = "ping outside"
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMP).close()
    except OSError as error:
        return Probe(
            name,
            False,
            errno.errorcode.get(error.errno or 0, ""),
            "this user's groups are not in net.ipv4.ping_group_range",
            "containers can't ping beyond this machine; TCP, UDP and names work, and so does ping between containers",
            'sudo sysctl net.ipv4.ping_group_range="0 2147483647"',
            "an administrator",
        )
    return Probe(name, True, detail="echo requests are sent for containers")


def _probe_names(resolv: Path) -> Probe:
    name = "names outside"
    try:
        words = [line.split() for line in resolv.read_text(errors="replace").splitlines()]
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "")
        return Probe(name, True, code, f"{resolv}: {error.strerror}", *_NOBODY)
    servers = [entry[1] for entry in words if len(entry) > 1 and entry[0] == "nameserver"]
    if not servers:
        return Probe(name, True, "", f"{resolv} names no server", *_NOBODY)
    return Probe(name, True, detail=f"asked of {', '.join(servers[:3])}, as {resolv} says at the moment")


_NOBODY = ("only 127.0.0.1 is asked for names outside", "name a server in /etc/resolv.conf", "an administrator")


def _probe_ports(uid: int, ports: Path) -> Probe:
    name = "low ports"
    try:
        lowest = int(ports.read_text(encoding="ascii"))
    except (OSError, ValueError):
        lowest = 1024
    if uid == 0 or lowest <= 1:
        return Probe(name, True, detail="every port can be published")
    return Probe(
        name,
        True,
        detail=f"net.ipv4.ip_unprivileged_port_start is {lowest}",
        cost=f"host ports below {lowest} can't be published",
        lift="sudo sysctl net.ipv4.ip_unprivileged_port_start=80",
        who="an administrator",
    )


def _probe_ipv6() -> Probe:
    return Probe(
        "IPv6 outside",
        True,
        detail="IPv6 between containers and on published ports",
        cost="containers reach the outside by IPv4 only: the way out has no IPv6",
    )
