"""Links: the bridge, and what joins a container to a network. In the thread of netns.Corner only."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
from dataclasses import dataclass

from labdock.network import netlink
from labdock.network.netlink import Netlink

LOOPBACK = 1
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}\Z")


def is_name(text: str) -> bool:
    """Whether *text* may name a link: at most 15 characters that no shell, file name or packet rule trips over."""
    return _NAME.match(text) is not None


def raise_loopback(inside: Netlink) -> None:
    """Set ``lo`` up in a fresh namespace (the kernel gives it its addresses)."""
    inside.run(netlink.set_link(LOOPBACK, "lo", flags=netlink.UP))


def ensure_bridge(home: Netlink, name: str, addresses: list[tuple[str, int]], mtu: int, mac: str) -> bool:
    """Have the bridge *name* with its *addresses* (ip, prefix), up; True when it was not there.

    Touches nothing that is right.
    """
    index = home.links().get(name)
    made = index is None
    if index is None:
        fixed = netlink.attribute(netlink.ADDRESS, pack_mac(mac)) + netlink.number(netlink.MTU, mtu)
        home.run(
            netlink.new_link(name, netlink.text(netlink.IFNAME, name) + fixed + netlink.info("bridge"), netlink.UP)
        )
        index = home.links()[name]
    there = [] if made else home.addresses(index)
    missing = [(ip, prefix) for ip, prefix in addresses if f"{ip}/{prefix}" not in there]
    home.run(
        *(netlink.new_address(index, ip, prefix) for ip, prefix in missing), netlink.set_link(index, name, flags=1)
    )
    return made


def delete(home: Netlink, name: str) -> None:
    """Remove a link (a veth end: with the other). No error when there is none."""
    try:
        home.run(netlink.delete_link(name))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


@dataclass(frozen=True, slots=True)
class Joint:
    """A container's link: its ``inner`` name, ``mac`` ("" the kernel's), ``addresses`` (ip, prefix), ``routes``.

    ``routes`` are the gateways of the default routes that go by this link, at most one per family.
    """

    inner: str
    mac: str
    addresses: tuple[tuple[str, int], ...]
    routes: tuple[str, ...]
    mtu: int = 0

    def make_pair(
        self, home: Netlink, inside: Netlink, inside_fd: int, outer: str, bridge: int, *, isolated: bool = False
    ) -> None:
        """A veth pair, ``outer`` at the bridge with the index *bridge*, the other end inside; then addresses, routes.

        *isolated*: it reaches no other isolated port. Takes two sends, one more for an isolated one: the kernel is
        told everything of the pair at once. Raises OSError, with nothing left.
        """
        there = netlink.text(netlink.IFNAME, self.inner) + netlink.number(netlink.NET_NS_FD, inside_fd) + self._shape()
        here = (
            netlink.text(netlink.IFNAME, outer)
            + netlink.number(netlink.MTU, self.mtu)
            + netlink.number(netlink.MASTER, bridge)
            + netlink.info("veth", netlink.peer(there))
        )
        home.run(netlink.new_link(outer, here, netlink.UP))
        try:
            if isolated:
                home.run(netlink.isolate_port(index_of(outer), outer))
            self._settle(inside)
        except BaseException:
            with contextlib.suppress(OSError):
                delete(home, outer)
            raise

    def make_on(self, home: Netlink, inside: Netlink, inside_fd: int, kind: str, parent: int, data: bytes) -> None:
        """A link of *kind* (macvlan, ipvlan) on the link with the index *parent*, born inside; *data* is its own.

        Raises OSError, with nothing left.
        """
        told = (
            netlink.text(netlink.IFNAME, self.inner)
            + netlink.number(netlink.LINK, parent)
            + netlink.number(netlink.NET_NS_FD, inside_fd)
            + self._shape()
            + netlink.info(kind, data)
        )
        home.run(netlink.new_link(self.inner, told))
        try:
            self._settle(inside)
        except BaseException:
            with contextlib.suppress(OSError):
                delete(inside, self.inner)
            raise

    def _shape(self) -> bytes:
        found = netlink.attribute(netlink.ADDRESS, pack_mac(self.mac)) if self.mac else b""
        return found + (netlink.number(netlink.MTU, self.mtu) if self.mtu else b"")

    def _settle(self, inside: Netlink) -> None:
        index = inside.links()[self.inner]
        # quirk: a peer can't be born up (ENOTCONN): veth_open() wants both ends to know each other.
        inside.run(
            netlink.set_link(LOOPBACK, "lo", flags=netlink.UP),
            netlink.set_link(index, self.inner, flags=netlink.UP),
            *(netlink.new_address(index, ip, prefix) for ip, prefix in self.addresses),
            *(netlink.new_default_route(index, gateway) for gateway in self.routes),
        )


def route_by(inside: Netlink, name: str, gateway: str, version: int) -> None:
    """Have the default route of *version* go by the link *name* to *gateway*, whatever it was before."""
    index = inside.links()[name]
    if version == 4:
        inside.run(netlink.new_default_route(index, gateway, replace=True))
        return
    # quirk: replacing an IPv6 route that differs in its link adds one beside it; the old one goes first.
    for other in set(inside.links().values()) - {LOOPBACK}:
        drop_route(inside, other, 6)
    inside.run(netlink.new_default_route(index, gateway))


def drop_route(inside: Netlink, index: int, version: int) -> None:
    """Remove the default route by the link *index*, if there is one."""
    try:
        inside.run(netlink.delete_default_route(index, version))
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise


def index_of(name: str) -> int:
    """The index of a link at home. Raises OSError (ENODEV)."""
    try:
        return socket.if_nametoindex(name)
    except OSError as error:
        raise OSError(errno.ENODEV, f"link {name}: {os.strerror(errno.ENODEV)}") from error


def pack_mac(mac: str) -> bytes:
    """Six bytes. Raises ValueError."""
    packed = bytes.fromhex(mac.replace(":", "").replace("-", ""))
    if len(packed) != 6:
        raise ValueError(f"not a MAC address: {mac!r}")
    return packed
