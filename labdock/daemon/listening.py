"""Sockets on the host's addresses, and why one can't be had."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Iterable

from labdock.daemon.holders import find_holder
from labdock.errors import Conflict, Forbidden, InvalidRequest, LabdockError, SystemFailure
from labdock.network import Address, Published

_BACKLOG = 1024
#: Publishing without an address means all of the host's.
ANY = "0.0.0.0"  # noqa: S104


def listen(host: Address) -> list[socket.socket]:
    """Sockets at *host* (listening, for TCP): one, or IPv4's and (where the host has it) IPv6's for "".

    Raises OSError.
    """
    if host.ip:
        return [_bind(host.ip, host.port, host.proto)]
    # Port 0: the port that IPv4 gave may be taken in IPv6.
    attempts = 1 if host.port else 8
    for attempt in range(attempts):
        first = _bind(ANY, host.port, host.proto)
        try:
            return [first, _bind("::", first.getsockname()[1], host.proto)]
        except OSError as error:
            if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT):
                return [first]
            first.close()
            if error.errno != errno.EADDRINUSE or attempt + 1 == attempts:
                raise
    raise AssertionError("unreachable")


def _bind(ip: str, port: int, proto: str) -> socket.socket:
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(ip.strip("[]")).version == 6 else socket.AF_INET
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error)) from error
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    found = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if proto == "tcp":
            # Only skips TIME_WAIT; a port that somebody listens on stays refused.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # What is accepted inherits these.
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind((ip.strip("[]"), port))
        if proto == "tcp":
            found.listen(_BACKLOG)
    except BaseException:
        found.close()
        raise
    return found


async def explain(error: OSError, host: Address, ours: Iterable[Published]) -> LabdockError:
    """Why *host* can't be had, in Docker's words; *ours* are the ports that containers have."""
    where = f"{host.ip or ANY}:{host.port}"
    if error.errno == errno.EADDRINUSE:
        holder = next((p for p in ours if (p.host.port, p.host.proto) == (host.port, host.proto)), None)
        if holder is not None:
            hint = f"container {holder.owner[:12]} holds it: stop that one, or publish another host port"
        else:
            # A look at every process of this user's.
            program = await asyncio.to_thread(find_holder, host.port, host.proto)
            hint = f"{program or 'a program on this host, not a container,'} holds it; host port 0 takes any free one"
        return Conflict(f"Bind for {where} failed: port is already allocated", hint=hint)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Forbidden(
            f"Bind for {where} failed: permission denied",
            hint=f"this user may not listen on ports below {_lowest_port()}: publish a higher one, or an"
            f" administrator can allow it: sysctl net.ipv4.ip_unprivileged_port_start={host.port}",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return InvalidRequest(
            f"Bind for {where} failed: cannot assign requested address",
            hint=f"{host.ip} is not an address of this host; leave it out to listen on all of them",
        )
    if isinstance(error, socket.gaierror) or error.errno == errno.EINVAL:
        return InvalidRequest(f"invalid host address to publish on: {host.ip!r}")
    return SystemFailure(f"Bind for {where} failed: {error.strerror}")


def _lowest_port() -> str:
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as source:
            return source.read().strip()
    except OSError:
        return "1024"
