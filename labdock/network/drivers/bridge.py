"""The bridge driver: a software switch in the sandbox, a veth pair to each container. Blocking; in Corner's thread."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from labdock.network import ipam, links
from labdock.network.netlink import Netlink
from labdock.network.netns import Corner
from labdock.network.records import EndpointRecord, Network

#: As large as slirp4netns takes; between containers the kernel moves such segments whole.
MTU = 65520


def ensure(corner: Corner, network: Network) -> bool:
    """Have the bridge, its address and forwarding; True when the bridge was not there. Raises OSError."""
    subnet = IPv4Network(network.subnet)
    gateway = IPv4Address(network.gateway)
    made = links.ensure_bridge(
        corner.home, network.link, network.gateway, subnet.prefixlen, network.mtu, ipam.mac_of(gateway)
    )
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    if forward.read_text(encoding="ascii").strip() != "1":
        forward.write_text("1", encoding="ascii")
    return made


def join(corner: Corner, network: Network, endpoint: EndpointRecord, inside: Netlink) -> None:
    """Give the namespace of the endpoint's container (*inside* talks to it) its link, address and default route.

    Raises OSError; then nothing is left.
    """
    fd = os.open(corner.path(endpoint.container), os.O_RDONLY | os.O_CLOEXEC)
    try:
        joint = links.Joint(
            endpoint.link, endpoint.interface, endpoint.mac, endpoint.ip, endpoint.prefix, endpoint.gateway, network.mtu
        )
        joint.make(corner.home, inside, fd, links.index_of(network.link))
    finally:
        os.close(fd)
