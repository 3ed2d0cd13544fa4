"""From endpoints to the resolver's members: who hears of the containers' comings and goings for the name service."""

from __future__ import annotations

from labdock.network.dns.service import NameService
from labdock.network.dns.table import Member
from labdock.network.records import EndpointRecord, Network


class Registrar:
    """The endpoints' watcher that keeps the name service's table true."""

    def __init__(self, service: NameService) -> None:
        self._service = service

    def joined(self, network: Network, endpoint: EndpointRecord) -> None:
        if network.has_names:
            self._service.join(member_of(network, endpoint))

    def left(self, network: Network, endpoint: EndpointRecord) -> None:
        self._service.leave(endpoint.id, endpoint.container)


def member_of(network: Network, endpoint: EndpointRecord) -> Member:
    """*endpoint* as the table has it."""
    links = []
    for link in endpoint.links:
        target, _, alias = link.partition(":")
        # quirk: clients that copy what inspect says send "/db:/web/data".
        target = target.removeprefix("/")
        links.append((alias.rpartition("/")[2] or target, target))
    return Member(
        endpoint=endpoint.id,
        container=endpoint.container,
        network=network.id,
        network_name=network.name,
        names=endpoint.dns_names,
        addresses=tuple(filter(None, (endpoint.ip, endpoint.ip6))),
        links=tuple(links),
        subnets=tuple(filter(None, (network.subnet, network.subnet6))),
        outward=not network.internal,
    )
