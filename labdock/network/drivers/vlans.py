"""The macvlan and ipvlan drivers: links on a parent of the sandbox. Blocking; in Corner's thread.

The sandbox itself never reaches such containers by their parent, nor they the sandbox: the kernel keeps a parent
and what is on it apart, as it does for Docker's users. A network without a parent gets one that leads nowhere.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

from labdock.errors import InvalidRequest, Unsupported
from labdock.network import links, netlink
from labdock.network.drivers.bridge import addresses_of
from labdock.network.netlink import Netlink
from labdock.network.netns import Corner
from labdock.network.records import EndpointRecord, Network

MACVLAN_MODES: Final = {"bridge": 4, "private": 1, "vepa": 2, "passthru": 8}
IPVLAN_MODES: Final = {"l2": 0, "l3": 1, "l3s": 2}
_VLAN = re.compile(r"(.+)\.(\d{1,4})\Z")


def check_mode(driver: str, mode: str) -> str:
    """The mode's name, Docker's default for "". Raises InvalidRequest."""
    known = MACVLAN_MODES if driver == "macvlan" else IPVLAN_MODES
    found = mode or next(iter(known))
    if found not in known:
        raise InvalidRequest(
            f"requested {driver} mode '{mode}' is not valid, '{next(iter(known))}' mode is the {driver} driver default",
            hint="known: " + ", ".join(known),
        )
    return found


def ensure(corner: Corner, network: Network) -> bool:
    """Have the parent; True when it was made now. Raises InvalidRequest (no such parent), OSError."""
    there = corner.home.links()
    if network.link in there:
        return False
    vlan = _VLAN.match(network.link)
    if vlan is not None and vlan[1] in there and 0 < int(vlan[2]) < 4095:
        data = netlink.short_number(netlink.VLAN_MODE, int(vlan[2]))
        told = netlink.text(netlink.IFNAME, network.link) + netlink.number(netlink.LINK, there[vlan[1]])
        corner.home.run(netlink.new_link(network.link, told + netlink.info("vlan", data), netlink.UP))
    elif network.made_link:
        # Docker makes a dummy; not every kernel has that, and one end of a pair whose other end nobody has is one.
        other = netlink.text(netlink.IFNAME, f"{network.link[:14]}-")
        told = netlink.text(netlink.IFNAME, network.link) + netlink.info("veth", netlink.peer(other))
        corner.home.run(netlink.new_link(network.link, told, netlink.UP))
        index = corner.home.links()[f"{network.link[:14]}-"]
        corner.home.run(netlink.set_link(index, "the parent's end", flags=netlink.UP))
    else:
        raise InvalidRequest(
            f"invalid subinterface vlan name {network.link}, example formatting is eth0.10",
            hint="a parent is a link of the sandbox (labdock's own network namespace), of which there are "
            + ", ".join(sorted(there))
            + "; leave it out for a network of its own",
        )
    return True


def probe(corner: Corner, network: Network) -> None:
    """Raises Unsupported when this kernel knows no such links: not every one has ipvlan."""
    name = f"probe-{network.id[:8]}"
    told = netlink.text(netlink.IFNAME, name) + netlink.number(netlink.LINK, links.index_of(network.link))
    try:
        corner.home.run(netlink.new_link(name, told + netlink.info(network.driver, _mode(network))))
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise Unsupported(
                f"network {network.name}: this machine's kernel has no {network.driver} links",
                hint="drivers bridge and macvlan do without; an administrator can have the module loaded: modprobe "
                + network.driver,
            ) from error
        raise
    links.delete(corner.home, name)


def _mode(network: Network) -> bytes:
    if network.driver == "macvlan":
        return netlink.number(netlink.VLAN_MODE, MACVLAN_MODES[network.mode])
    return netlink.short_number(netlink.VLAN_MODE, IPVLAN_MODES[network.mode])


def remove(corner: Corner, network: Network) -> None:
    """Remove a parent that was made for the network. No error when it is gone."""
    if network.made_link:
        links.delete(corner.home, network.link)


def join(corner: Corner, network: Network, endpoint: EndpointRecord, inside: Netlink, routes: tuple[str, ...]) -> None:
    """As bridge.join."""
    fd = os.open(corner.path(endpoint.container), os.O_RDONLY | os.O_CLOEXEC)
    try:
        parent = links.index_of(network.link)
        # The parent's MTU, and for ipvlan its MAC, are the link's.
        joint = links.Joint(endpoint.interface, endpoint.mac, addresses_of(endpoint), routes, network.mtu)
        joint.make_on(corner.home, inside, fd, network.driver, parent, _mode(network))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise OSError(errno.EBUSY, f"{network.link} has links of another kind on it already") from error
        raise
    finally:
        os.close(fd)
