"""The networks: which there are, and who is in them; set up in the kernel, remembered in the database."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from types import ModuleType
from typing import Final

from labdock.errors import Conflict, Forbidden, NoSuchNetwork, SystemFailure, Unsupported
from labdock.network import Endpoint, HostNetwork, Outside, ipam, links, names, planning, ports, rules
from labdock.network.dns.members import Registrar
from labdock.network.dns.service import HOST_NAMES, NameService
from labdock.network.drivers import bridge, vlans
from labdock.network.endpoints import Endpoints, Wanted, choose_gateway
from labdock.network.netlink import Netlink
from labdock.network.netns import Corner
from labdock.network.publishing import Publishing
from labdock.network.records import Database, EndpointRecord, Network
from labdock.schema.ids import new_id
from labdock.schema.network import NetworkCreate

BRIDGE: Final = "labdock0"
#: Links that networks make, by the names that are nobody else's.
_OURS: Final = re.compile(r"(br|dm)-[0-9a-f]{12}\Z")
_DRIVERS: Final[dict[str, ModuleType]] = {"bridge": bridge, "macvlan": vlans, "ipvlan": vlans}

log = logging.getLogger(__name__)


class Networks:
    """All networks of the engine. *netns_folder* lies on the sandbox's tmpfs; *nft* is nft(8)'s path.

    The kernel's work happens in a thread of its own (netns.Corner); methods never block the loop.
    *nameservers* are what containers ask when they have no ``--dns`` of their own. *host_loopback*: the host's
    loopback can be reached from inside, so the host has a name there.
    """

    def __init__(
        self,
        db: Database,
        outside: Outside,
        *,
        netns_folder: Path,
        nft: str,
        nameservers: Sequence[str] = (names.FORWARDER,),
        host_loopback: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._networks = db.records("networks", Network)
        self._outside = outside
        self._corner = Corner(netns_folder)
        self._nft = nft
        self._host = HostNetwork()
        self._known: dict[str, Network] = {}
        #: Networks in the kernel that are no record yet: nobody else may take their subnets.
        self._planned: dict[str, Network] = {}
        self.members = Endpoints(db, lambda id: self._known.get(id), clock)
        self.publishing = Publishing(outside)
        self.publish = self.publishing.publish
        self.unpublish = self.publishing.unpublish
        self.nameservers = tuple(nameservers)
        self.host_loopback = host_loopback

    @property
    def search(self) -> tuple[str, ...]:
        """The host's DNS search domains, which containers get too."""
        return self._host.search

    @property
    def corner(self) -> Corner:
        """The thread that may enter containers' namespaces."""
        return self._corner

    async def start(self) -> None:
        """Have the default networks: their records, and in the kernel what is missing of them and of the others.

        Raises SystemFailure (the kernel or nft refuses), Conflict (no free subnet).
        """
        self._host = await self._outside.host()
        self._known = {network.id: network for network in self._networks.all()}
        self.members.load()
        fixed = dict.fromkeys(HOST_NAMES, names.HOST) if self.host_loopback else {}
        self.names = NameService(self._corner, self._outside, fixed)
        self.members.watch(Registrar(self.names))
        await self.publishing.load()
        try:
            await self._corner.run(self._have_all)
        except OSError as error:
            raise SystemFailure(f"setting up the networks: {error}") from error

    async def close(self) -> None:
        """End the thread. Everything in the kernel stays, and outer keeps the name service's sockets."""
        await self.names.close()
        await self._corner.close()

    # -- networks

    def list(self) -> tuple[Network, ...]:
        """All networks, bridge, host and none first."""
        first = ("bridge", "host", "none")
        by_age = sorted(self._known.values(), key=lambda network: network.created)
        return tuple(sorted(by_age, key=lambda n: first.index(n.name) if n.name in first else len(first)))

    def find(self, id: str) -> Network | None:
        """The network with the whole *id*."""
        return self._known.get(id)

    def inspect(self, ref: str) -> Network:
        """The network with the name, id or unambiguous id prefix *ref*. Raises NoSuchNetwork, Conflict."""
        wanted = "bridge" if ref == "default" else ref
        for network in self._known.values():
            if wanted in (network.name, network.id):
                return network
        found = [network for network in self._known.values() if ref and network.id.startswith(ref)]
        if len(found) > 1:
            raise Conflict(f"network {ref} is ambiguous ({len(found)} matches found based on ID prefix)")
        if not found:
            raise NoSuchNetwork(ref)
        return found[0]

    def endpoints(self, ref: str) -> tuple[EndpointRecord, ...]:
        """Who is in the network *ref* now. Raises NoSuchNetwork."""
        return self.members.members(self.inspect(ref).id)

    async def plan(self, request: NetworkCreate) -> Network:
        """The network that *request* asks for; its name and subnets are its own until :meth:`give_up`.

        Raises Conflict (the name, the bridge's name, no free subnet) and what planning.plan raises.
        """
        self._host = await self._outside.host()
        others = [*self._known.values(), *self._planned.values()]
        if any(network.name == request.name for network in others) and request.name not in planning.PREDEFINED:
            raise Conflict(
                f"network with name {request.name} already exists", hint="remove that one, or choose another name"
            )
        taken = ipam.parse_all([text for other in others for text in (other.subnet, other.subnet6)])
        network = planning.plan(request, taken, self._routes())
        shared = [other for other in others if other.link == network.link and network.link]
        if network.driver == "bridge" and (shared or _is_link(network.link)):
            raise Conflict(f"bridge {network.link} exists already", hint="choose another name for the bridge")
        if any(other.driver != network.driver for other in shared):
            raise Conflict(f"{network.link} is in use by network {shared[0].name}, whose driver is {shared[0].driver}")
        self._planned[network.id] = network
        return network

    async def build(self, network: Network) -> None:
        """Make *network* in the kernel. Raises SystemFailure, InvalidRequest, with nothing left of it."""
        try:
            await self._corner.run(lambda: self._build(network))
        except OSError as error:
            raise SystemFailure(f"making network {network.name}: {error}") from error

    def remember(self, network: Network) -> None:
        """The network is there: write it down, in the caller's transaction if any."""
        self._networks.put(network.id, network, network.name)
        self._known[network.id] = network
        self._planned.pop(network.id, None)

    def give_up(self, network: Network) -> None:
        """It will not be: others may have its name and subnets."""
        self._planned.pop(network.id, None)

    def check_removable(self, network: Network, names_of: Callable[[str], str]) -> None:
        """Raises Forbidden for a predefined network, and for one that containers are in (named by *names_of*)."""
        if network.name in planning.PREDEFINED:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        inside = self.members.members(network.id)
        if inside:
            who = ", ".join(f'name:"{names_of(record.container)}" id:"{record.id[:12]}"' for record in inside)
            raise Forbidden(
                f"error while removing network: network {network.name} has active endpoints ({who})",
                hint="disconnect or stop those containers first",
            )

    def forget(self, id: str) -> None:
        """Strike the network from the records, in the caller's transaction if any."""
        self._networks.delete(id)
        self._known.pop(id, None)

    async def demolish(self, network: Network) -> None:
        """Take *network* out of the kernel; no error for what is gone. Raises SystemFailure."""
        try:
            await self._corner.run(lambda: self._demolish(network))
        except OSError as error:
            raise SystemFailure(f"removing network {network.name}: {error}") from error

    # -- a container's namespace and its places in networks

    def path(self, container: str) -> str:
        """Where the container's network namespace is, or would be."""
        return str(self._corner.path(container))

    async def create_sandbox(self, container: str) -> str:
        """Make the container's network namespace, with ``lo`` up; gives its path. Raises Conflict, SystemFailure."""
        await self.enter(container, ())
        return self.path(container)

    async def remove_sandbox(self, container: str) -> None:
        """Let go of the namespace; it and its links end with its last process. No error when there is none."""
        await self._corner.run(lambda: self._corner.remove(container))

    async def enter(self, container: str, wanted: Sequence[Wanted]) -> tuple[Endpoint, ...]:
        """Make the container's namespace and its place in every network of *wanted*: links, addresses, default routes.

        All or nothing, in one go of the thread. Raises as :meth:`join`, and Conflict when it has a namespace.
        """
        return await self._place(container, wanted, fresh=True)

    async def join(self, container: str, wanted: Wanted) -> Endpoint:
        """Put the container (its namespace exists, programs may run in it) into one more network.

        In the network "none" there is nothing to do. Raises NoSuchNetwork, Forbidden (in it already), Conflict (no
        address left, address in use), InvalidRequest, SystemFailure.
        """
        return (await self._place(container, (wanted,), fresh=False))[0]

    async def connect(
        self, container: str, network: str, *, mac: str | None = None, ip: str | None = None, interface: str = ""
    ) -> Endpoint:
        """:meth:`join` with a few words."""
        return await self.join(container, Wanted(network, ip=ip or "", mac=mac or "", interface=interface))

    async def _place(self, container: str, wanted: Sequence[Wanted], *, fresh: bool) -> tuple[Endpoint, ...]:
        records: list[EndpointRecord] = []
        found: list[Endpoint] = []
        try:
            stale = self.members.take_stale(container) if wanted else ()
            with self._db.transaction():
                for one in wanted:
                    network = self.inspect(one.network)
                    if network.driver == "null" or (network.driver == "host" and fresh):
                        found.append(Endpoint(network.name, network.id, new_id(), "", 0, "", ""))
                        continue
                    if network.driver == "host":
                        raise Unsupported(f"a container can't join the network {network.name!r} beside others")
                    records.append(self.members.allocate(network, container, one))
                    found.append(show(records[-1]))
            now = self.members.of(container)
            await self._corner.run(lambda: self._join_all(container, records, now, fresh=fresh, stale=stale))
        except BaseException as error:
            for record in records:
                self.members.forget(record)
            if isinstance(error, FileExistsError) and fresh:
                raise Conflict(f"container {container[:12]} has a network namespace already") from error
            if isinstance(error, OSError):
                where = ", ".join(record.network for record in records)
                what = f"connecting {container[:12]} to network {where}" if where else "making its network namespace"
                raise SystemFailure(f"{what}: {error}") from error
            raise
        for record in records:
            self.members.announce(record)
        try:
            await self.names.open(container)
        except BaseException:
            for record in records:
                self.members.forget(record)
            raise
        return tuple(found)

    async def leave(self, container: str, network_id: str) -> None:
        """Take a running container out of one network: its link goes, another gateway takes over.

        No error when it is not in there. Raises SystemFailure.
        """
        record = next((one for one in self.members.of(container) if one.network_id == network_id), None)
        if record is None:
            return
        self.members.forget(record)
        others = self.members.of(container)
        try:
            await self._corner.run(lambda: self._part(record, others))
        except OSError as error:
            raise SystemFailure(f"disconnecting {container[:12]} from network {record.network}: {error}") from error

    async def disconnect(self, container: str) -> None:
        """Give the container's addresses back. Its links go with its namespace (:meth:`remove_sandbox`)."""
        for record in self.members.of(container):
            self.members.forget(record)

    def way_in(self, container: str) -> tuple[Endpoint, str] | None:
        """The endpoint that the container's published ports lead to, and the host address of its network's ports.

        That is its gateway's, of a bridge, as in Docker; None when it has none (or only internal ones).
        """
        bridged = tuple(r for r in self.members.of(container) if r.link)
        record = choose_gateway(bridged) or choose_gateway(bridged, 6)
        if record is None:
            return None
        network = self._known[record.network_id]
        return show(record), network.options.get("com.docker.network.bridge.host_binding_ipv4", "")

    # -- after a restart

    async def restore(self, live: Iterable[str]) -> None:
        """Keep what the *live* containers have, as the kernel has it; take away what others left behind."""
        alive = set(live)
        for record in self.members.all():
            if record.container not in alive:
                self.members.forget(record)
        await self.publishing.keep(alive)
        wanted = {record.container for record in self.members.all()}
        missing = await self._corner.run(lambda: self._sweep(alive, wanted))
        for container in sorted(missing):
            log.warning("container %s runs, and its network namespace is gone", container[:12])
        await self.names.restore(alive - missing)

    # -- below: in the corner's thread

    def _have_all(self) -> None:
        for name, driver in (("host", "host"), ("none", "null")):
            if not any(network.name == name for network in self._known.values()):
                self.remember(Network(id=new_id(), name=name, driver=driver, created=time.time_ns()))
        links.raise_loopback(self._corner.home)
        default = next((network for network in self._known.values() if network.name == "bridge"), None)
        there = self._corner.home.links()
        if default is None or (BRIDGE not in there and self._collides(default)):
            default = self._plan_default(default)
            self.remember(default)
        wanted = {network.link for network in self._known.values()}
        for name in there:
            if _OURS.match(name) and name not in wanted:
                links.delete(self._corner.home, name)
        for network in self._known.values():
            driver_ = _DRIVERS.get(network.driver)
            if driver_ is None:
                continue
            try:
                driver_.ensure(self._corner, network)
            except Exception as error:
                if network is default:
                    raise
                # The way out may come up later than the engine; joining looks again.
                log.warning("network %s: %s", network.name, error)
        script = rules.repairs(rules.listed(self._nft), self._known.values())
        if script:
            rules.run(self._nft, script)

    def _collides(self, network: Network) -> bool:
        """Whether the host has a route into the subnet by now (a laptop that moved)."""
        return any(IPv4Network(network.subnet).overlaps(route) for route in self._routes())

    def _routes(self) -> tuple[IPv4Network, ...]:
        return tuple(IPv4Network(route, strict=False) for route in self._host.routes)

    def _plan_default(self, before: Network | None) -> Network:
        others = ipam.parse_all([network.subnet for network in self._known.values() if network is not before])
        subnet = ipam.choose_subnet([*self._routes(), *others])
        options = {
            "com.docker.network.bridge.default_bridge": "true",
            "com.docker.network.bridge.enable_icc": "true",
            "com.docker.network.bridge.enable_ip_masquerade": "true",
            "com.docker.network.bridge.host_binding_ipv4": ports.ANY_IPV4,
            "com.docker.network.bridge.name": BRIDGE,
            "com.docker.network.driver.mtu": str(bridge.MTU),
        }
        return Network(
            id=before.id if before else new_id(),
            name="bridge",
            driver="bridge",
            created=before.created if before else time.time_ns(),
            subnet=str(subnet),
            gateway=str(ipam.gateway_of(subnet)),
            link=BRIDGE,
            mtu=bridge.MTU,
            options=options,
        )

    def _build(self, network: Network) -> None:
        driver = _DRIVERS[network.driver]
        driver.ensure(self._corner, network)
        try:
            if network.driver == "bridge":
                rules.run(self._nft, rules.added(network))
            else:
                vlans.probe(self._corner, network)
        except BaseException:
            with contextlib.suppress(OSError):
                driver.remove(self._corner, network)
            raise

    def _demolish(self, network: Network) -> None:
        if network.driver == "bridge" and rules.chain_of(network) in rules.listed(self._nft):
            rules.run(self._nft, rules.removed(network))
        _DRIVERS[network.driver].remove(self._corner, network)

    def _join_all(
        self,
        container: str,
        records: Sequence[EndpointRecord],
        now: tuple[EndpointRecord, ...],
        *,
        fresh: bool,
        stale: Sequence[str],
    ) -> None:
        """*now*: all its endpoints, *records* among them."""
        for name in stale:
            links.delete(self._corner.home, name)
        prepare = _allow_ipv6 if any(record.ip6 for record in records) else None
        before = tuple(record for record in now if record not in records)
        inside = self._corner.create(container, prepare) if fresh else self._corner.enter(container, prepare)
        with inside:
            if fresh and not records:
                links.raise_loopback(inside)
            try:
                for record in records:
                    self._join(record, inside, now if fresh else ())
                if not fresh:
                    _route(inside, before, now)
            except BaseException:
                for record in records:
                    with contextlib.suppress(OSError):
                        self._remove_link(record, inside)
                if fresh:
                    self._corner.remove(container)
                else:
                    with contextlib.suppress(OSError):
                        _route(inside, (), before)
                raise

    def _join(self, record: EndpointRecord, inside: Netlink, among: tuple[EndpointRecord, ...]) -> None:
        network = self._known[record.network_id]
        if network.driver != "bridge":
            vlans.ensure(self._corner, network)
        routes = []
        for version in (4, 6):
            if among and choose_gateway(among, version) == record:
                routes.append(gateway_of(record, version))
        _DRIVERS[network.driver].join(self._corner, network, record, inside, tuple(routes))

    def _part(self, record: EndpointRecord, others: tuple[EndpointRecord, ...]) -> None:
        with self._corner.enter(record.container) as inside:
            self._remove_link(record, inside)
            _route(inside, (record, *others), others)

    def _remove_link(self, record: EndpointRecord, inside: Netlink) -> None:
        if record.link:
            links.delete(self._corner.home, record.link)
        else:
            links.delete(inside, record.interface)

    def _sweep(self, alive: set[str], wanted: set[str]) -> set[str]:
        """Remove the namespaces of the dead; gives the live containers whose own is not there."""
        for name in self._corner.names() - alive:
            self._corner.remove(name)
        return {container for container in wanted if not self._corner.is_mounted(container)}


def _route(inside: Netlink, before: tuple[EndpointRecord, ...], now: tuple[EndpointRecord, ...]) -> None:
    """Have the default routes go by the gateway of *now*, where that is another than *before*."""
    for version in (4, 6):
        chosen = choose_gateway(now, version)
        if chosen is not None and chosen != choose_gateway(before, version):
            links.route_by(inside, chosen.interface, gateway_of(chosen, version), version)


def gateway_of(record: EndpointRecord, version: int) -> str:
    return record.gateway if version == 4 else record.gateway6


def show(record: EndpointRecord) -> Endpoint:
    return Endpoint(
        network=record.network,
        network_id=record.network_id,
        endpoint_id=record.id,
        ip=record.ip,
        prefix=record.prefix,
        gateway=record.gateway,
        mac=record.mac,
        interface=record.interface,
        ip6=record.ip6,
        prefix6=record.prefix6,
        gateway6=record.gateway6,
        dns_names=record.dns_names,
    )


def _allow_ipv6() -> None:
    """In a container's namespace: undo a host's default of no IPv6."""
    for name in ("all", "default"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("0", encoding="ascii")


def _is_link(name: str) -> bool:
    try:
        links.index_of(name)
    except OSError:
        return False
    return True
