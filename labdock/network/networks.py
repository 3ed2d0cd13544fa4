"""The networks: which there are, and who is in them; set up in the kernel, remembered in the database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from labdock.errors import Conflict, Forbidden, NoSuchNetwork, SystemFailure, Unsupported
from labdock.network import Endpoint, HostNetwork, Outside, ipam, links, names, planning, ports
from labdock.network.dns.members import Registrar
from labdock.network.dns.service import HOST_NAMES, NameService
from labdock.network.drivers import bridge
from labdock.network.endpoints import Endpoints, Wanted, choose_gateway
from labdock.network.kernel import Kernel
from labdock.network.netns import Corner
from labdock.network.publishing import Publishing
from labdock.network.records import Database, EndpointRecord, Network
from labdock.schema.ids import new_id
from labdock.schema.network import NetworkCreate

BRIDGE: Final = "labdock0"

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
        self._kernel = Kernel(self._corner, nft)
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
            self._have_defaults()
            known, default = tuple(self._known.values()), self.inspect("bridge").id
            await self._corner.run(lambda: self._kernel.have(known, default))
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
            await self._corner.run(lambda: self._kernel.build(network))
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
            await self._corner.run(lambda: self._kernel.demolish(network))
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
            theirs = {record.network_id: self._known[record.network_id] for record in now}
            await self._corner.run(lambda: self._kernel.join(container, records, now, theirs, fresh=fresh, stale=stale))
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
                if fresh:
                    self.members.forget(record)
                else:
                    await self.leave(container, record.network_id)
            raise
        if fresh:
            self._corner.refill()
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
            await self._corner.run(lambda: self._kernel.part(record, others))
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
        missing = await self._corner.run(lambda: self._kernel.sweep(alive, wanted))
        for container in sorted(missing):
            log.warning("container %s runs, and its network namespace is gone", container[:12])
        await self.names.restore(alive - missing)

    # -- below

    def _have_defaults(self) -> None:
        """Have the records of the networks that are always there. Raises Conflict (no free subnet)."""
        for name, driver in (("host", "host"), ("none", "null")):
            if not any(network.name == name for network in self._known.values()):
                self.remember(Network(id=new_id(), name=name, driver=driver, created=time.time_ns()))
        default = next((network for network in self._known.values() if network.name == "bridge"), None)
        if default is None or (not _is_link(BRIDGE) and self._collides(default)):
            default = self._plan_default(default)
            self.remember(default)

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


def _is_link(name: str) -> bool:
    try:
        links.index_of(name)
    except OSError:
        return False
    return True
