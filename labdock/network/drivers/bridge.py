"""The bridge driver: a software switch in the sandbox, a veth pair to each container. Blocking; in Corner's thread."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from pathlib import Path

from labdock.network import ipam, links
from labdock.network.netlink import Netlink
from labdock.network.netns import Corner
from labdock.network.records import EndpointRecord, Network

#: As large as slirp4netns takes; between containers the kernel moves such segments whole.
MTU = 65520
_FORWARDING = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")


def ensure(corner: Corner, network: Network) -> bool:
    """Have the bridge, its addresses and forwarding; True when the bridge was not there. Raises OSError."""
    addresses = [
        (gateway, ipaddress.ip_network(subnet).prefixlen)
        for gateway, subnet in ((network.gateway, network.subnet), (network.gateway6, network.subnet6))
        if gateway
    ]
    mac = ipam.mac_of(ipaddress.ip_address(addresses[0][0]))
    if network.subnet6:
        with contextlib.suppress(FileNotFoundError):
            _write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "0")
    made = links.ensure_bridge(corner.home, network.link, addresses, network.mtu or MTU, mac)
    _write(_FORWARDING[0], "1")
    if network.subnet6:
        _write(_FORWARDING[1], "1")
    return made


def remove(corner: Corner, network: Network) -> None:
    """Remove the bridge. No error when it is gone."""
    links.delete(corner.home, network.link)


def join(corner: Corner, network: Network, endpoint: EndpointRecord, inside: Netlink, routes: tuple[str, ...]) -> None:
    """Give the namespace of the endpoint's container (*inside* talks to it) its link, addresses and default *routes*.

    Raises OSError; then nothing is left.
    """
    fd = os.open(corner.path(endpoint.container), os.O_RDONLY | os.O_CLOEXEC)
    try:
        joint = links.Joint(endpoint.interface, endpoint.mac, addresses_of(endpoint), routes, network.mtu or MTU)
        bridge = links.index_of(network.link)
        joint.make_pair(corner.home, inside, fd, endpoint.link, bridge, isolated=not network.icc)
    finally:
        os.close(fd)


def addresses_of(endpoint: EndpointRecord) -> tuple[tuple[str, int], ...]:
    """All of the endpoint's, with their prefix lengths."""
    pairs = ((endpoint.ip, endpoint.prefix), (endpoint.ip6, endpoint.prefix6))
    own = tuple((ip, prefix) for ip, prefix in pairs if ip)
    return own + tuple((ip, 64 if ":" in ip else 16) for ip in endpoint.link_local)


def _write(path: str, value: str) -> None:
    switch = Path(path)
    if switch.read_text(encoding="ascii").strip() != value:
        switch.write_text(value, encoding="ascii")
