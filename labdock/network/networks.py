"""The networks: who is in which, with what address; set up in the kernel, remembered in the database."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final

from labdock.errors import Conflict, InvalidRequest, LabdockError, NoSuchNetwork, SystemFailure, Unsupported
from labdock.network import Address, Endpoint, HostNetwork, Outside, Published, ipam, links, names, ports, rules
from labdock.network.drivers import bridge
from labdock.network.netns import Corner
from labdock.network.records import Database, EndpointRecord, Network
from labdock.schema.container import PortBinding
from labdock.schema.ids import new_id

BRIDGE: Final = "labdock0"
#: An address rests this long (seconds) before somebody else gets it: the switch then knows where its MAC went.
REST: Final = 2.0

log = logging.getLogger(__name__)


class Networks:
    """All networks of the engine. *netns_folder* lies on the sandbox's tmpfs; *nft* is nft(8)'s path.

    The kernel's work happens in a thread of its own (netns.Corner); methods never block the loop.
    *nameservers* are what containers ask when they have no ``--dns`` of their own.
    """

    def __init__(
        self,
        db: Database,
        outside: Outside,
        *,
        netns_folder: Path,
        nft: str,
        nameservers: Sequence[str] = (names.FORWARDER,),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._networks = db.records("networks", Network)
        self._records = db.records("endpoints", EndpointRecord)
        self._outside = outside
        self._corner = Corner(netns_folder)
        self._nft = nft
        self._clock = clock
        self._host = HostNetwork()
        self._known: dict[str, Network] = {}
        self._endpoints: dict[str, EndpointRecord] = {}
        #: Addresses given back lately: (network id, address) → when, and the link that had it.
        self._resting: dict[tuple[str, IPv4Address], tuple[float, str]] = {}
        #: Containers that have published something.
        self._owners: set[str] = set()
        self.nameservers = tuple(nameservers)

    @property
    def search(self) -> tuple[str, ...]:
        """The host's DNS search domains, which containers get too."""
        return self._host.search

    async def start(self) -> None:
        """Have the default networks: their records, and in the kernel what is missing of them.

        Raises SystemFailure (the kernel or nft refuses), Conflict (no free subnet).
        """
        self._host = await self._outside.host()
        self._known = {network.id: network for network in self._networks.all()}
        self._endpoints = {endpoint.id: endpoint for endpoint in self._records.all()}
        self._owners = {held.owner for held in await self._outside.published()}
        try:
            await self._corner.run(self._have_default)
        except OSError as error:
            raise SystemFailure(f"setting up the default network: {error}") from error

    async def close(self) -> None:
        """End the thread. Everything in the kernel stays."""
        await self._corner.close()

    # -- networks

    def list(self) -> tuple[Network, ...]:
        """All networks, bridge, host and none first."""
        first = ("bridge", "host", "none")
        by_age = sorted(self._known.values(), key=lambda network: network.created)
        return tuple(sorted(by_age, key=lambda n: first.index(n.name) if n.name in first else len(first)))

    def inspect(self, ref: str) -> Network:
        """The network with the name, id or unambiguous id prefix *ref*. Raises NoSuchNetwork, Conflict."""
        wanted = "bridge" if ref == "default" else ref
        for network in self._known.values():
            if wanted in (network.name, network.id):
                return network
        found = [network for network in self._known.values() if ref and network.id.startswith(ref)]
        if len(found) > 1:
            raise Conflict(f"network {ref} is ambiguous ({len(found)} matches found on name)")
        if not found:
            raise NoSuchNetwork(ref)
        return found[0]

    def endpoints(self, ref: str) -> tuple[EndpointRecord, ...]:
        """Who is in the network *ref* now. Raises NoSuchNetwork."""
        network = self.inspect(ref)
        return tuple(endpoint for endpoint in self._endpoints.values() if endpoint.network_id == network.id)

    # -- a container's namespace and its place in a network

    def path(self, container: str) -> str:
        """Where the container's network namespace is, or would be."""
        return str(self._corner.path(container))

    async def create_sandbox(self, container: str) -> str:
        """Make the container's network namespace, with ``lo`` up; gives its path. Raises Conflict, SystemFailure."""
        try:
            await self._corner.run(lambda: self._create(container))
        except FileExistsError as error:
            raise Conflict(f"container {container[:12]} has a network namespace already") from error
        except OSError as error:
            raise SystemFailure(f"making the network namespace of {container[:12]}: {error}") from error
        return self.path(container)

    async def remove_sandbox(self, container: str) -> None:
        """Let go of the namespace; it and its links end with its last process. No error when there is none."""
        await self._corner.run(lambda: self._corner.remove(container))

    async def connect(
        self, container: str, network: str, *, mac: str | None = None, ip: str | None = None, interface: str = "eth0"
    ) -> Endpoint:
        """Put the container (its namespace exists) into *network*: address, link, default route.

        *mac*, *ip*: fixed ones. In the network "none" there is nothing to do. Raises NoSuchNetwork,
        Conflict (in it already, no address left, address in use), InvalidRequest, SystemFailure.
        """
        found = self.inspect(network)
        if found.driver == "null":
            return Endpoint(found.name, found.id, "", "", 0, "", "")
        if found.driver != "bridge":
            raise Unsupported(f"a container can't join the network {found.name!r} beside others")
        record = self._allocate(found, container, mac, ip, interface)
        try:
            await self._corner.run(lambda: self._join(found, record))
        except BaseException as error:
            self._forget(record)
            if isinstance(error, OSError):
                raise SystemFailure(f"connecting {container[:12]} to network {found.name}: {error}") from error
            raise
        return Endpoint(
            found.name, found.id, record.id, record.ip, record.prefix, record.gateway, record.mac, record.interface
        )

    async def disconnect(self, container: str) -> None:
        """Give the container's addresses back. Its links go with its namespace (:meth:`remove_sandbox`)."""
        for record in self._of(container):
            self._forget(record)

    def _of(self, container: str) -> tuple[EndpointRecord, ...]:
        return tuple(record for record in self._endpoints.values() if record.container == container)

    def _allocate(
        self, network: Network, container: str, mac: str | None, ip: str | None, interface: str
    ) -> EndpointRecord:
        subnet = IPv4Network(network.subnet)
        here = [record for record in self._endpoints.values() if record.network_id == network.id]
        if any(record.container == container for record in here):
            raise Conflict(f"endpoint with name {container[:12]} already exists in network {network.name}")
        used = {IPv4Address(record.ip) for record in here}
        if ip:
            address = ipam.check_address(subnet, ip, used)
        else:
            address = ipam.choose_address(subnet, used, self._rested(network.id))
        if mac:
            _check_mac(mac)
        id = new_id()
        record = EndpointRecord(
            id=id,
            container=container,
            network=network.name,
            network_id=network.id,
            ip=str(address),
            prefix=subnet.prefixlen,
            gateway="" if network.internal else network.gateway,
            mac=mac.lower() if mac else ipam.mac_of(address),
            interface=interface,
            link=f"ve{id[:11]}",
        )
        self._records.put(id, record)
        self._endpoints[id] = record
        return record

    def _forget(self, record: EndpointRecord) -> None:
        if self._endpoints.pop(record.id, None) is not None:
            self._records.delete(record.id)
            self._resting[record.network_id, IPv4Address(record.ip)] = (self._clock(), record.link)

    def _rested(self, network_id: str) -> tuple[IPv4Address, ...]:
        """Addresses that must rest still, the oldest first: given back a moment ago, or their link is still there."""
        now = self._clock()
        for key, (since, link) in list(self._resting.items()):
            if now - since >= REST and not _is_link(link):
                del self._resting[key]
        return tuple(address for network, address in self._resting if network == network_id)

    # -- published ports

    async def publish(
        self,
        container: str,
        endpoint: Endpoint,
        bindings: Mapping[str, Sequence[PortBinding] | None],
        exposed: Iterable[str] = (),
        publish_all: bool = False,
        name: str = "",
    ) -> dict[str, tuple[PortBinding, ...]]:
        """Hold the host ports of *bindings* ({"80/tcp": (PortBinding, …)}), with *publish_all* all *exposed* ones.

        Gives the same keys with the real addresses, as inspect shows them. All or nothing. Raises Conflict (a
        taken port), Forbidden (a low one), InvalidRequest, Unsupported (not TCP), in Docker's words with *name*.
        """
        wishes = ports.plan(bindings, exposed, publish_all)
        if not wishes or not endpoint.ip:
            return {}
        self._owners.add(container)
        shown: dict[str, tuple[PortBinding, ...]] = {}
        try:
            for wish in wishes:
                held = await self._hold(container, wish, Address(endpoint.ip, wish.port, wish.proto))
                shown[wish.key] = shown.get(wish.key, ()) + ports.show(held.host)
        except BaseException as error:
            with contextlib.suppress(LabdockError):
                await self.unpublish(container)
            if isinstance(error, LabdockError):
                error.message = (
                    "driver failed programming external connectivity on endpoint"
                    f" {name or container[:12]} ({endpoint.endpoint_id}): {error.message}"
                )
            raise
        return shown

    async def _hold(self, container: str, wish: ports.Wish, target: Address) -> Published:
        """The first host address of *wish* that is free."""
        for host in wish.hosts[:-1]:
            with contextlib.suppress(Conflict):
                return await self._outside.publish(container, host, target)
        return await self._outside.publish(container, wish.hosts[-1], target)

    async def unpublish(self, container: str) -> None:
        """Close everything that the container published; its connections end."""
        if container in self._owners:
            await self._outside.unpublish(container)
            self._owners.discard(container)

    # -- after a restart

    async def restore(self, live: Iterable[str]) -> None:
        """Keep what the *live* containers have, as the kernel has it; take away what others left behind."""
        alive = set(live)
        for record in list(self._endpoints.values()):
            if record.container not in alive:
                self._forget(record)
        for owner in self._owners - alive:
            await self.unpublish(owner)
        missing = await self._corner.run(lambda: self._sweep(alive))
        for container in sorted(missing):
            log.warning("container %s runs, and its network namespace is gone", container[:12])

    # -- below: in the corner's thread

    def _have_default(self) -> None:
        for name, driver in (("host", "host"), ("none", "null")):
            if not any(network.name == name for network in self._known.values()):
                self._remember(Network(id=new_id(), name=name, driver=driver, created=time.time_ns()))
        links.raise_loopback(self._corner.home)
        default = next((network for network in self._known.values() if network.name == "bridge"), None)
        there = BRIDGE in self._corner.home.links()
        if default is None or (not there and self._collides(default)):
            default = self._plan_default(default)
            self._remember(default)
        made = bridge.ensure(self._corner, default)
        if made or not rules.are_there(self._nft, self._known.values()):
            rules.apply(self._nft, self._known.values())

    def _collides(self, network: Network) -> bool:
        """Whether the host has a route into the subnet by now (a laptop that moved)."""
        return any(IPv4Network(network.subnet).overlaps(route) for route in self._routes())

    def _routes(self) -> tuple[IPv4Network, ...]:
        return tuple(IPv4Network(route, strict=False) for route in self._host.routes)

    def _plan_default(self, before: Network | None) -> Network:
        subnet = ipam.choose_subnet(self._routes())
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

    def _remember(self, network: Network) -> None:
        self._networks.put(network.id, network, network.name)
        self._known[network.id] = network

    def _create(self, container: str) -> None:
        with self._corner.create(container) as inside:
            links.raise_loopback(inside)

    def _join(self, network: Network, record: EndpointRecord) -> None:
        with self._corner.enter(record.container) as inside:
            bridge.join(self._corner, network, record, inside)

    def _sweep(self, alive: set[str]) -> set[str]:
        """Remove the namespaces of the dead; gives the live containers whose own is not there."""
        for name in self._corner.names() - alive:
            self._corner.remove(name)
        wanted = {record.container for record in self._endpoints.values()}
        return {container for container in wanted if not self._corner.is_mounted(container)}


def _is_link(name: str) -> bool:
    try:
        links.index_of(name)
    except OSError:
        return False
    return True


def _check_mac(mac: str) -> None:
    try:
        links.pack_mac(mac)
    except ValueError as error:
        raise InvalidRequest(f"invalid MAC address: {mac!r}") from error
