"""A container's places in networks while it runs: made at its start, changed by connect and disconnect."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from labdock.engine import attaching, creation, linking, naming
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.records import Attachment, ContainerRecord, EndpointRecord
from labdock.network import Endpoint
from labdock.network.networks import Networks
from labdock.schema.container import PortBinding
from labdock.schema.ids import new_id

Ports = dict[str, tuple[PortBinding, ...]]


class Places:
    """The containers' side of the networks."""

    def __init__(self, networks: Networks, ledger: Ledger) -> None:
        self._networks = networks
        self._ledger = ledger
        #: Called with a running container's record before and after a change of its networks; the stage fills it in.
        self.refresh: Callable[[ContainerRecord, ContainerRecord], None] = lambda before, after: None

    def plan(self, record: ContainerRecord, sent: dict[str, object]) -> tuple[ContainerRecord, tuple[str, ...]]:
        """*record* with the networks that *sent* (EndpointsConfig) and its mode ask for, and warnings.

        Raises InvalidRequest, NoSuchNetwork, NoSuchContainer (container:ID).
        """
        if record.network.startswith("container:"):
            self._ledger.get(record.network.partition(":")[2])
        found = attaching.plan(record, sent, self._networks.inspect)
        links: tuple[tuple[str, str], ...] = ()
        if record.host.links and not any(self._networks.inspect(one.network_id).has_names for one in found[:1]):
            links = linking.resolve(record.host.links, self._ledger)
        warnings = attaching.warn(record, [self._networks.inspect(one.network_id) for one in found])
        warnings = (*warnings, *naming.warn(record, self._networks))
        return msgspec.structs.replace(record, attachments=found, links=links), warnings

    async def set_up(self, record: ContainerRecord) -> tuple[str, tuple[Endpoint, ...], Ports]:
        """The netns path ("host": the sandbox's), addresses, ports. Raises Conflict, SystemFailure, …"""
        if record.network.startswith("container:"):
            return self._shared(record), (), {}
        wanted = [attaching.wanted(record, one) for one in attaching.attachments_of(record)]
        if record.network == "host":
            host = self._networks.inspect("host")
            return "host", (Endpoint(host.name, host.id, new_id(), "", 0, "", ""),), {}
        linking.check_running(record, self._ledger)
        endpoints = await self._networks.enter(record.id, wanted)
        return self._networks.path(record.id), endpoints, await self._publish(record)

    def _shared(self, record: ContainerRecord) -> str:
        """The namespace of the container that *record* shares it with."""
        other = self.owner_of(record)
        attaching.check_running(other.name, other.state.status in (Status.RUNNING, Status.PAUSED))
        return "host" if other.network == "host" else self._networks.path(other.id)

    def owner_of(self, record: ContainerRecord) -> ContainerRecord:
        """Whose namespace *record* has: its own, or that of container:ID, or of that one's. Raises NoSuchContainer."""
        seen = {record.id}
        while record.network.startswith("container:"):
            record = self._ledger.get(record.network.partition(":")[2])
            if record.id in seen:
                break
            seen.add(record.id)
        return record

    def rename(self, record: ContainerRecord, name: str) -> None:
        """The container is called *name* from now on, in its networks too."""
        self._networks.members.rename(record.id, record.name, name)

    async def _publish(self, record: ContainerRecord) -> Ports:
        way = self._networks.way_in(record.id)
        if way is None:
            return {}
        endpoint, host = way
        return await self._networks.publish(
            record.id,
            endpoint,
            creation.bindings_of(record),
            exposed=tuple(record.config.exposed_ports or ()),
            publish_all=bool(record.host.publish_all_ports),
            name=record.name,
            default_host="" if host == "0.0.0.0" else host,  # noqa: S104
        )

    async def join(self, record: ContainerRecord, one: Attachment) -> ContainerRecord:
        """Put the running *record* into one more network, its ports too when it had no way in before."""
        before = self._networks.way_in(record.id)
        endpoint = await self._networks.join(record.id, attaching.wanted(record, one))
        try:
            ports = await self._lead(record, before)
        except BaseException:
            await self._networks.leave(record.id, endpoint.network_id)
            raise
        added = attaching.add(record, one)
        return msgspec.structs.replace(added, endpoints=(*record.endpoints, keep(endpoint)), ports=ports)

    async def leave(self, record: ContainerRecord, network_id: str) -> ContainerRecord:
        """Take the running *record* out of a network; its ports lead to another one, or end with the last."""
        before = self._networks.way_in(record.id)
        await self._networks.leave(record.id, network_id)
        ports = await self._lead(record, before)
        dropped = attaching.drop(record, network_id)
        endpoints = tuple(one for one in record.endpoints if one.network_id != network_id)
        return msgspec.structs.replace(dropped, endpoints=endpoints, ports=ports)

    async def _lead(self, record: ContainerRecord, before: tuple[Endpoint, str] | None) -> Ports:
        """Have the ports lead to the present way in."""
        now = self._networks.way_in(record.id)
        if now is None:
            await self._networks.unpublish(record.id)
            return {}
        if before is None:
            return await self._publish(record)
        if now[0] != before[0]:
            await self._networks.publishing.move(record.id, now[0])
        return record.ports


def keep(endpoint: Endpoint) -> EndpointRecord:
    """As a container's record has it."""
    return EndpointRecord(
        network=endpoint.network,
        network_id=endpoint.network_id,
        endpoint_id=endpoint.endpoint_id,
        ip=endpoint.ip,
        prefix=endpoint.prefix,
        gateway=endpoint.gateway,
        mac=endpoint.mac,
        interface=endpoint.interface,
        ip6=endpoint.ip6,
        prefix6=endpoint.prefix6,
        gateway6=endpoint.gateway6,
        dns_names=endpoint.dns_names,
    )
