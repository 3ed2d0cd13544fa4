"""Endpoints: who is in which network, with what addresses; remembered in the database, told to whoever listens.

The resolver and others register with :meth:`Endpoints.watch` and hear of every endpoint that comes, changes its
names, or goes. Callbacks run in the event loop, at once, and must neither block nor raise.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from labdock.errors import Conflict, Forbidden, InvalidRequest
from labdock.network import ipam, links
from labdock.network.ipam import Ip
from labdock.network.records import Database, EndpointRecord, Network
from labdock.schema.ids import new_id

#: An address rests this long (seconds) before somebody else gets it: the switch then knows where its MAC went.
REST: Final = 2.0
#: How many containers' last addresses are kept, so that they get them again.
FORMER: Final = 4096
#: A DriverOpts member that names the interface inside.
IFNAME: Final = "com.docker.network.endpoint.ifname"
PREFIX: Final = "com.docker.network.container_iface_prefix"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a container asks of its place in ``network`` (name or id). "" is "any", as is an empty tuple."""

    network: str
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    link_local: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    driver_opts: dict[str, str] = field(default_factory=dict)
    priority: int = 0
    interface: str = ""


class Watcher(Protocol):
    """Who wants to know. ``joined`` comes again for the same endpoint id when its names have changed."""

    def joined(self, network: Network, endpoint: EndpointRecord) -> None: ...
    def left(self, network: Network, endpoint: EndpointRecord) -> None: ...


class Endpoints:
    """All endpoints of the engine. *network_of* gives a network by its id, None when it is gone."""

    def __init__(
        self,
        db: Database,
        network_of: Callable[[str], Network | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._records = db.records("endpoints", EndpointRecord)
        self._network_of = network_of
        self._clock = clock
        self._known: dict[str, EndpointRecord] = {}
        self._watchers: list[Watcher] = []
        #: Addresses given back lately: (network id, address) → when, the link that had it, the container.
        self._resting: dict[tuple[str, Ip], tuple[float, str, str]] = {}
        #: (container, network id) → its addresses when it was last in there.
        self._former: OrderedDict[tuple[str, str], tuple[str, str]] = OrderedDict()

    def load(self) -> None:
        """Read what the engine before this one remembered."""
        self._known = {record.id: record for record in self._records.all()}

    def watch(self, watcher: Watcher) -> None:
        """Tell *watcher* of every endpoint there is, then of every change."""
        self._watchers.append(watcher)
        for record in tuple(self._known.values()):
            self._tell(watcher, "joined", record)

    # -- looking

    def all(self) -> tuple[EndpointRecord, ...]:
        return tuple(self._known.values())

    def of(self, container: str) -> tuple[EndpointRecord, ...]:
        """The container's, in the order of its interfaces."""
        return tuple(record for record in self._known.values() if record.container == container)

    def members(self, network_id: str) -> tuple[EndpointRecord, ...]:
        return tuple(record for record in self._known.values() if record.network_id == network_id)

    # -- coming and going

    def allocate(self, network: Network, container: str, wanted: Wanted) -> EndpointRecord:
        """A new endpoint's record, written down. Nobody is told before :meth:`announce`.

        Raises Forbidden (in it already), Conflict (no address left, address in use), InvalidRequest.
        """
        members = self.members(network.id)
        if any(record.container == container for record in members):
            name = wanted.dns_names[0] if wanted.dns_names else container[:12]
            raise Forbidden(f"endpoint with name {name} already exists in network {network.name}")
        former = self._former.get((container, network.id), ("", ""))
        ip = self._choose(network, members, container, 4, wanted.ip, former[0])
        ip6 = self._choose(network, members, container, 6, wanted.ip6, former[1])
        first = ip or ip6
        if wanted.mac:
            check_mac(wanted.mac)
        mac = wanted.mac.lower() or (ipam.mac_of(first) if first is not None else "")
        id = new_id()
        closed = network.internal or network.made_link
        record = EndpointRecord(
            id=id,
            container=container,
            network=network.name,
            network_id=network.id,
            ip=str(ip or ""),
            prefix=int(network.subnet.partition("/")[2]) if ip else 0,
            gateway="" if closed or not ip else network.gateway,
            # ipvlan shares its parent's.
            mac="" if network.driver == "ipvlan" else mac,
            interface=self._interface(network, container, wanted),
            link=f"ve{id[:11]}" if network.driver == "bridge" else "",
            ip6=str(ip6 or ""),
            prefix6=int(network.subnet6.partition("/")[2]) if ip6 else 0,
            gateway6="" if closed or not ip6 else network.gateway6,
            aliases=wanted.aliases,
            dns_names=wanted.dns_names if network.has_names else (),
            links=wanted.links,
            link_local=wanted.link_local,
            driver_opts=wanted.driver_opts,
            priority=wanted.priority,
        )
        self._records.put(id, record)
        self._known[id] = record
        return record

    def take_stale(self, container: str) -> tuple[str, ...]:
        """Links that the container had lately and whose addresses it may have again: remove them first."""
        found = tuple({link for _, link, owner in self._resting.values() if owner == container and link})
        for key in [key for key, (_, _, owner) in self._resting.items() if owner == container]:
            del self._resting[key]
        return found

    def announce(self, record: EndpointRecord) -> None:
        """Its kernel side is there: tell the watchers."""
        for watcher in self._watchers:
            self._tell(watcher, "joined", record)

    def rename(self, container: str, before: str, after: str) -> None:
        """The container's name has changed: so do its names in its networks."""
        for record in self.of(container):
            if before in record.dns_names:
                names = tuple(dict.fromkeys(after if name == before else name for name in record.dns_names))
                changed = msgspec.structs.replace(record, dns_names=names)
                self._records.put(changed.id, changed)
                self._known[changed.id] = changed
                self.announce(changed)

    def forget(self, record: EndpointRecord) -> None:
        """Give the addresses back and tell the watchers. No error when it is gone."""
        if self._known.pop(record.id, None) is None:
            return
        self._records.delete(record.id)
        for ip in filter(None, (record.ip, record.ip6)):
            key = record.network_id, ipaddress.ip_address(ip)
            self._resting[key] = (self._clock(), record.link, record.container)
        self._former[record.container, record.network_id] = (record.ip, record.ip6)
        self._former.move_to_end((record.container, record.network_id))
        while len(self._former) > FORMER:
            self._former.popitem(last=False)
        for watcher in self._watchers:
            self._tell(watcher, "left", record)

    # -- below

    def _tell(self, watcher: Watcher, what: str, record: EndpointRecord) -> None:
        network = self._network_of(record.network_id)
        if network is None:
            return
        try:
            getattr(watcher, what)(network, record)
        except Exception:
            log.exception("telling %s that %s %s", watcher, record.container[:12], what)

    def _choose(
        self,
        network: Network,
        members: tuple[EndpointRecord, ...],
        container: str,
        version: int,
        fixed: str,
        former: str,
    ) -> Ip | None:
        text = network.subnet if version == 4 else network.subnet6
        if not text:
            if fixed:
                raise InvalidRequest(
                    f"no configured subnet contains IP address {fixed}: {network.name} has none for it"
                )
            return None
        subnet = ipaddress.ip_network(text)
        used = {ipaddress.ip_address(ip) for record in members for ip in (record.ip, record.ip6) if ip}
        used |= {ipaddress.ip_address(ip) for ip in network.reserved.values()}
        used |= {ipaddress.ip_address(ip) for ip in (network.gateway, network.gateway6) if ip}
        if fixed:
            return ipam.check_address(subnet, fixed, used)
        resting = self._rested(network.id, container)
        if former:
            address = ipaddress.ip_address(former)
            if address in subnet and address not in used and address not in resting:
                return address
        return ipam.choose_address(subnet, used, resting, network.range if version == 4 else network.range6)

    def _rested(self, network_id: str, container: str) -> tuple[Ip, ...]:
        """Addresses that must rest still, the oldest first: given back a moment ago, or their link is still there."""
        now = self._clock()
        for key, (since, link, _) in list(self._resting.items()):
            if now - since >= REST and not _is_link(link):
                del self._resting[key]
        return tuple(
            address
            for (network, address), (_, _, owner) in self._resting.items()
            if network == network_id and owner != container
        )

    def _interface(self, network: Network, container: str, wanted: Wanted) -> str:
        taken = {record.interface for record in self.of(container)}
        asked = wanted.interface or wanted.driver_opts.get(IFNAME, "")
        if asked:
            if not links.is_name(asked) or asked == "lo":
                raise InvalidRequest(f"invalid interface name {asked!r}", hint="at most 15 letters, digits, . _ -")
            if asked in taken:
                raise Conflict(f"the container has an interface {asked} already")
            return asked
        prefix = network.options.get(PREFIX, "eth")
        return next(name for number in range(len(taken) + 1) if (name := f"{prefix}{number}") not in taken)


def choose_gateway(records: tuple[EndpointRecord, ...], version: int = 4) -> EndpointRecord | None:
    """Whose gateway the default route goes by: the highest priority, then the first name, as Docker has it."""
    able = [record for record in records if (record.gateway if version == 4 else record.gateway6)]
    return min(able, key=lambda record: (-record.priority, record.network), default=None)


def check_mac(mac: str) -> None:
    """Raises InvalidRequest."""
    try:
        packed = links.pack_mac(mac)
    except ValueError as error:
        raise InvalidRequest(f"invalid MAC address: {mac!r}") from error
    if packed[0] & 1:
        raise InvalidRequest(f"invalid MAC address: {mac!r} is a group's", hint="the first byte must be even")


def _is_link(name: str) -> bool:
    if not name:
        return False
    try:
        links.index_of(name)
    except OSError:
        return False
    return True
