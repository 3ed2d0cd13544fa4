"""A container's networks as inspect and ps show them, in wire spelling. Pure."""

from __future__ import annotations

from typing import Any

from labdock.engine import attaching
from labdock.engine.records import Attachment, ContainerRecord, EndpointRecord

Wire = dict[str, Any]
_NAMELESS = ("bridge", "host", "none")


def show_endpoints(record: ContainerRecord) -> Wire:
    """NetworkSettings.Networks: every network it is to be in, with addresses while it runs."""
    held = {endpoint.network: endpoint for endpoint in record.endpoints}
    known = {one.network: one for one in record.attachments}
    for endpoint in record.endpoints:
        known.setdefault(endpoint.network, Attachment(network=endpoint.network, network_id=endpoint.network_id))
    return {name: _show(record, one, held.get(name)) for name, one in known.items()}


def _show(record: ContainerRecord, one: Attachment, endpoint: EndpointRecord | None) -> Wire:
    sent = one.sent or {}
    names = None if one.network in _NAMELESS else list(attaching.wanted(record, one).dns_names)
    return {
        "IPAMConfig": sent.get("IPAMConfig"),
        "Links": sent.get("Links"),
        "Aliases": sent.get("Aliases"),
        "MacAddress": endpoint.mac if endpoint else attaching.wanted(record, one).mac,
        "DriverOpts": sent.get("DriverOpts"),
        "GwPriority": one.config.gw_priority or 0,
        "NetworkID": endpoint.network_id if endpoint else one.network_id,
        "EndpointID": endpoint.endpoint_id if endpoint else "",
        "Gateway": endpoint.gateway if endpoint else "",
        "IPAddress": endpoint.ip if endpoint else "",
        "IPPrefixLen": endpoint.prefix if endpoint else 0,
        "IPv6Gateway": endpoint.gateway6 if endpoint else "",
        "GlobalIPv6Address": endpoint.ip6 if endpoint else "",
        "GlobalIPv6PrefixLen": endpoint.prefix6 if endpoint else 0,
        "DNSNames": names,
    }


def show_network_settings(record: ContainerRecord, netns: str, ports: Wire) -> Wire:
    """NetworkSettings. What is beside ``Networks`` is that of the default network, as in Docker."""
    networks = show_endpoints(record)
    bridge = networks.get("bridge") or {}
    return {
        "Bridge": "",
        "SandboxID": record.id if netns else "",
        "SandboxKey": netns,
        "HairpinMode": False,
        "Ports": ports,
        "EndpointID": bridge.get("EndpointID", ""),
        "Gateway": bridge.get("Gateway", ""),
        "GlobalIPv6Address": bridge.get("GlobalIPv6Address", ""),
        "GlobalIPv6PrefixLen": bridge.get("GlobalIPv6PrefixLen", 0),
        "IPAddress": bridge.get("IPAddress", ""),
        "IPPrefixLen": bridge.get("IPPrefixLen", 0),
        "IPv6Gateway": bridge.get("IPv6Gateway", ""),
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "MacAddress": bridge.get("MacAddress", ""),
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "Networks": networks,
    }
