"""Links: the bridge, and the veth pair that joins a container to it. In the thread of netns.Corner only."""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from labdock.network import netlink
from labdock.network.netlink import Netlink

LOOPBACK = 1


def raise_loopback(inside: Netlink) -> None:
    """Set ``lo`` up in a fresh namespace (the kernel gives it its addresses)."""
    inside.run(netlink.set_link(LOOPBACK, "lo", flags=netlink.UP))


def ensure_bridge(home: Netlink, name: str, ip: str, prefix: int, mtu: int, mac: str) -> bool:
    """Have the bridge *name* with its address, up; True when it was not there. Touches nothing that is right."""
    index = home.links().get(name)
    made = index is None
    if index is None:
        fixed = netlink.attribute(netlink.ADDRESS, pack_mac(mac)) + netlink.number(netlink.MTU, mtu)
        home.run(
            netlink.new_link(name, netlink.text(netlink.IFNAME, name) + fixed + netlink.info("bridge"), netlink.UP)
        )
        index = home.links()[name]
    if f"{ip}/{prefix}" not in home.addresses(index):
        home.run(netlink.new_address(index, ip, prefix))
    home.run(netlink.set_link(index, name, flags=netlink.UP))
    return made


def delete(home: Netlink, name: str) -> None:
    """Remove a link (a veth end: with the other). No error when there is none."""
    try:
        home.run(netlink.delete_link(name))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


class Joint:
    """A container's link to a bridge: ``outer`` end at the bridge, ``inner`` name in the namespace."""

    __slots__ = ("gateway", "inner", "ip", "mac", "mtu", "outer", "prefix")

    def __init__(self, outer: str, inner: str, mac: str, ip: str, prefix: int, gateway: str, mtu: int) -> None:
        self.outer = outer
        self.inner = inner
        self.mac = mac
        self.ip = ip
        self.prefix = prefix
        self.gateway = gateway
        self.mtu = mtu

    def make(self, home: Netlink, inside: Netlink, inside_fd: int, bridge: int) -> None:
        """Make the pair, both ends up, the inner one in the namespace behind *inside_fd*; then address and route.

        *bridge* is the bridge's index. Takes two sends: the kernel is told everything of the pair at once.
        Raises OSError, with nothing left.
        """
        there = (
            netlink.text(netlink.IFNAME, self.inner)
            + netlink.attribute(netlink.ADDRESS, pack_mac(self.mac))
            + netlink.number(netlink.MTU, self.mtu)
            + netlink.number(netlink.NET_NS_FD, inside_fd)
        )
        here = (
            netlink.text(netlink.IFNAME, self.outer)
            + netlink.number(netlink.MTU, self.mtu)
            + netlink.number(netlink.MASTER, bridge)
            + netlink.info("veth", netlink.peer(there))
        )
        home.run(netlink.new_link(self.outer, here, netlink.UP))
        try:
            index = inside.links()[self.inner]
            # quirk: a peer can't be born up (ENOTCONN): veth_open() wants both ends to know each other.
            messages = [
                netlink.set_link(LOOPBACK, "lo", flags=netlink.UP),
                netlink.set_link(index, self.inner, flags=netlink.UP),
                netlink.new_address(index, self.ip, self.prefix),
            ]
            if self.gateway:
                messages.append(netlink.new_default_route(index, self.gateway))
            inside.run(*messages)
        except BaseException:
            with contextlib.suppress(OSError):
                delete(home, self.outer)
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
