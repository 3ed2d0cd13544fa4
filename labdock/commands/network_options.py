"""``--network`` and what goes with it, as docker's command line takes it (docker/cli ``opts/network.go``). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from labdock.errors import InvalidRequest
from labdock.schema.container import EndpointAddresses, EndpointConfig, NetworkingConfig

_KEYS = ("name", "alias", "driver-opt", "ip", "ip6", "mac-address", "link-local-ip", "gw-priority")
_MAC = re.compile(r"([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}\Z")


@dataclass(slots=True)
class Place:
    """One network that was asked for."""

    name: str = ""
    aliases: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    ip: str = ""
    ip6: str = ""
    link_local: list[str] = field(default_factory=list)
    mac: str = ""
    driver_opts: dict[str, str] = field(default_factory=dict)
    priority: int = 0


def parse(text: str) -> Place:
    """``web`` or ``name=web,alias=a,ip=172.30.0.9``. Raises InvalidRequest."""
    if "=" not in text:
        return Place(text)
    place = Place()
    for part in text.split(","):
        key, given, value = part.partition("=")
        key = key.strip().lower()
        if not given or key not in _KEYS:
            raise InvalidRequest(f"invalid field {part if not given else key}", hint="known: " + ", ".join(_KEYS))
        match key:
            case "name":
                place.name = value
            case "alias":
                place.aliases.append(value)
            case "ip":
                place.ip = value
            case "ip6":
                place.ip6 = value
            case "mac-address":
                place.mac = value
            case "link-local-ip":
                place.link_local.append(value)
            case "gw-priority":
                place.priority = _whole(value)
            case "driver-opt":
                name, _, setting = value.partition("=")
                place.driver_opts[name] = setting
    if not place.name:
        raise InvalidRequest(f"network name/id is not specified: {text}")
    return place


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidRequest(f"invalid gw-priority: {text} is not a whole number") from None


def is_user_defined(name: str) -> bool:
    return name not in ("default", "bridge", "host", "none") and not name.startswith("container:")


def networking(options: dict[str, Any]) -> tuple[str, NetworkingConfig | None]:
    """The network mode ("" by default) and the networks' settings that *options* of run and create ask for.

    Raises InvalidRequest.
    """
    places = [parse(text) for text in options["network"]]
    mode = places[0].name if places else ""
    if not places:
        places = [Place("default")]
    _apply(places[0], options)
    if len({is_user_defined(place.name) for place in places}) > 1:
        raise InvalidRequest("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    endpoints: dict[str, EndpointConfig | None] = {}
    for place in places:
        if place.name in endpoints:
            raise InvalidRequest(f'network "{place.name}" is specified multiple times')
        settings = settings_of(place)
        if len(places) > 1 or settings != EndpointConfig():
            endpoints[place.name] = settings
    return mode, NetworkingConfig(endpoints_config=endpoints) if endpoints else None


def _apply(place: Place, options: dict[str, Any]) -> None:
    """The options outside of ``--network`` are the first network's."""
    for own, given, words in (
        (place.aliases, options["network_alias"], "--network-alias and per-network alias"),
        (place.links, options["link"], "--link and per-network links"),
        (place.ip, options["ip"], "--ip and per-network IPv4 address"),
        (place.ip6, options["ip6"], "--ip6 and per-network IPv6 address"),
        (place.mac, options["mac_address"], "--mac-address and per-network MAC address"),
        (place.link_local, options["link_local_ip"], "--link-local-ip and per-network link-local IP addresses"),
    ):
        if own and given:
            raise InvalidRequest(f"conflicting options: cannot specify both {words}")
    place.aliases += options["network_alias"]
    if is_user_defined(place.name):
        place.links += options["link"]
    place.ip = options["ip"] or place.ip
    place.ip6 = options["ip6"] or place.ip6
    place.mac = options["mac_address"] or place.mac
    place.link_local += options["link_local_ip"]


def settings_of(place: Place) -> EndpointConfig:
    """Raises InvalidRequest."""
    if not is_user_defined(place.name):
        if place.aliases:
            raise InvalidRequest("network-scoped aliases are only supported for user-defined networks")
        if place.links:
            raise InvalidRequest("links are only supported for user-defined networks")
    if place.mac and not _MAC.match(place.mac):
        raise InvalidRequest(f"{place.mac} is not a valid mac address")
    addresses = None
    if place.ip or place.ip6 or place.link_local:
        addresses = EndpointAddresses(
            ipv4_address=place.ip or None,
            ipv6_address=place.ip6 or None,
            link_local_ips=tuple(place.link_local) or None,
        )
    return EndpointConfig(
        aliases=tuple(place.aliases) or None,
        links=tuple(place.links) or None,
        mac_address=place.mac or None,
        driver_opts=place.driver_opts or None,
        ipam_config=addresses,
        gw_priority=place.priority,
    )


def pools(
    subnets: Sequence[str], ranges: Sequence[str], gateways: Sequence[str], auxiliary: dict[str, str]
) -> list[dict[str, Any]]:
    """IPAM.Config from the lists of ``network create``: each range, gateway and address goes to its subnet.

    Raises InvalidRequest in Docker's words.
    """
    import ipaddress

    try:
        found = {subnet: ipaddress.ip_network(subnet, strict=False) for subnet in subnets}
    except ValueError as error:
        raise InvalidRequest(f"invalid subnet: {error}") from error
    entries: dict[str, dict[str, Any]] = {subnet: {"Subnet": subnet} for subnet in subnets}

    def place(what: str, text: str) -> dict[str, Any]:
        try:
            address = ipaddress.ip_network(text.partition("/")[0])
        except ValueError as error:
            raise InvalidRequest(f"invalid {what}: {text}") from error
        for subnet, net in found.items():
            if net.version == address.version and address.subnet_of(net):  # type: ignore[arg-type]
                return entries[subnet]
        raise InvalidRequest(f"no matching subnet for {what} {text}", hint="give its --subnet too")

    for what, key, texts in (("range", "IPRange", ranges), ("gateway", "Gateway", gateways)):
        for text in texts:
            entry = place(what, text)
            if key in entry:
                raise InvalidRequest(f"cannot configure multiple {what}s ({text}, {entry[key]}) on the same subnet")
            entry[key] = text
    for name, text in auxiliary.items():
        place("aux-address", text).setdefault("AuxiliaryAddresses", {})[name] = text
    return list(entries.values())
