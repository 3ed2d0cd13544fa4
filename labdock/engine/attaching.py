"""Which networks a container is to be in, checked in Docker's words, and what it asks of each. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, Final

import msgspec

from labdock.engine.records import Attachment, ContainerRecord
from labdock.errors import Conflict, Forbidden, InvalidRequest, Unsupported
from labdock.network.endpoints import Wanted, check_mac
from labdock.network.records import Network
from labdock.schema.container import ContainerConfig, EndpointConfig, HostConfig
from labdock.schema.ids import short_id

Find = Callable[[str], Network]

#: Docker's texts (moby: runconfig/errors.go), for those who search for them.
SHARED_NETWORK: Final = (
    "conflicting options: container sharing network namespace with another container or host cannot be connected to"
    " any other network"
)
HOST_NETWORK: Final = (
    "conflicting options: container cannot be disconnected from host network or connected to host network"
)
NO_NETWORK: Final = (
    "conflicting options: container cannot be connected to multiple networks with one of the networks in private"
    " (none) mode"
)
SYSCTLS: Final = "com.docker.network.endpoint.sysctls"


def plan(record: ContainerRecord, sent: dict[str, Any], find: Find) -> tuple[Attachment, ...]:
    """The networks of a new container: that of its mode first, then the others in *sent* (EndpointsConfig).

    Raises InvalidRequest, NoSuchNetwork.
    """
    mode = record.network
    check_mode(record.host, record.config, mode)
    if mode.startswith("container:"):
        if sent:
            raise InvalidRequest(SHARED_NETWORK)
        return ()
    asked: dict[str, tuple[Network, Any]] = {}
    for name, settings in sent.items():
        network = find(mode if name in ("", "default") else name)
        asked[network.id] = (network, settings)
    first = find(mode)
    order = {first.id: asked.pop(first.id, (first, None))} | asked
    found: list[Attachment] = []
    for network, settings in order.values():
        check_together(found, network)
        found.append(attachment(network, settings, record))
    return tuple(found)


def attachment(network: Network, settings: Any, record: ContainerRecord) -> Attachment:
    """*settings* (a JSON object or None) of *network* as a record, checked. Raises InvalidRequest."""
    try:
        config = msgspec.convert(settings or {}, EndpointConfig)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"invalid endpoint settings for network {network.name}: {error}") from error
    check_settings(network, config)
    return Attachment(network=network.name, network_id=network.id, config=config, sent=settings)


def check_mode(host: HostConfig, config: ContainerConfig, mode: str) -> None:
    """Refuse options that a shared or missing network can't honour, as Docker does. Raises InvalidRequest."""
    shared = mode.startswith("container:")
    if mode == "host" and host.links:
        raise InvalidRequest(
            "conflicting options: host type networking can't be used with links."
            " This would result in undefined behavior"
        )
    if (shared or mode in ("host", "none")) and config.mac_address:
        raise InvalidRequest("conflicting options: mac-address and the network mode")
    if not shared:
        return
    if not mode.partition(":")[2]:
        raise InvalidRequest("invalid container network mode: container:<id> needs a container's name or id")
    for given, words in (
        (config.hostname, "hostname and the network mode"),
        (host.dns, "dns and the network mode"),
        (host.extra_hosts, "custom host-to-IP mapping and the network mode"),
        (host.port_bindings or host.publish_all_ports, "port publishing and the container type network mode"),
        (config.exposed_ports, "port exposing and the container type network mode"),
        (host.links, "container type network can't be used with links. This would result in undefined behavior"),
    ):
        if given:
            raise InvalidRequest(f"conflicting options: {words}")


def check_together(others: tuple[Attachment, ...] | list[Attachment], network: Network) -> None:
    """Host and none stand alone. Raises InvalidRequest."""
    names = {other.network for other in others}
    if not names:
        return
    if network.driver == "host" or "host" in names:
        raise InvalidRequest(SHARED_NETWORK if "host" in names else HOST_NETWORK)
    if network.driver == "null" or "none" in names:
        raise InvalidRequest(NO_NETWORK)


def check_settings(network: Network, config: EndpointConfig) -> None:
    """Raises InvalidRequest for what *network* can't give."""
    fixed = config.ipam_config
    wants = fixed is not None and (fixed.ipv4_address or fixed.ipv6_address)
    if wants and not network.has_names:
        raise InvalidRequest(
            f"invalid config for network {network.name}: invalid endpoint settings:\n"
            "user specified IP address is supported on user defined networks only",
            hint="labdock network create --subnet 172.30.0.0/16 NAME",
        )
    if wants and fixed is not None and (fixed.ipv4_address or fixed.ipv6_address) and not network.configured:
        raise InvalidRequest(
            f"invalid config for network {network.name}: invalid endpoint settings:\n"
            "user specified IP address is supported only when connecting to networks with user configured subnets",
            hint="labdock network create --subnet 172.30.0.0/16 NAME",
        )
    if fixed is not None:
        for version, text in ((4, fixed.ipv4_address), (6, fixed.ipv6_address)):
            _check_ip(network, version, text)
        for text in fixed.link_local_ips or ():
            _check_ip(network, 0, text)
    if config.aliases and not network.has_names:
        raise InvalidRequest(
            f"invalid config for network {network.name}: invalid endpoint settings:\n"
            "network-scoped aliases are only supported for user-defined networks"
        )
    if config.mac_address:
        check_mac(config.mac_address)
    if SYSCTLS in (config.driver_opts or {}):
        raise Unsupported(
            f"network {network.name}: {SYSCTLS}: settings of one interface are not supported",
            hint="--sysctl sets those of the container's whole network",
        )


def _check_ip(network: Network, version: int, text: str | None) -> None:
    if not text:
        return
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or (version and address.version != version):
        raise InvalidRequest(
            f"invalid config for network {network.name}: invalid endpoint settings:\ninvalid IP address: {text}"
        )


def attachments_of(record: ContainerRecord) -> tuple[Attachment, ...]:
    """The networks that it is in from its start on; that of its mode when it was taken out of all, as Docker has it."""
    if record.attachments or record.network.startswith("container:"):
        return record.attachments
    return (Attachment(network=record.network),)


def wanted(record: ContainerRecord, one: Attachment) -> Wanted:
    """What the container asks of the network in *one*."""
    config = one.config
    fixed = config.ipam_config
    main = one.network == record.network or one.network_id.startswith(record.network)
    mac = config.mac_address or (record.config.mac_address if main else "") or ""
    aliases = tuple(config.aliases or ())
    return Wanted(
        one.network_id or one.network,
        ip=(fixed and fixed.ipv4_address) or "",
        ip6=(fixed and fixed.ipv6_address) or "",
        mac=mac,
        link_local=tuple((fixed and fixed.link_local_ips) or ()),
        aliases=aliases,
        dns_names=names_of(record, aliases),
        links=(*(config.links or ()), *((record.host.links or ()) if main else ())),
        driver_opts=config.driver_opts or {},
        priority=config.gw_priority or 0,
    )


def names_of(record: ContainerRecord, aliases: tuple[str, ...]) -> tuple[str, ...]:
    """Its names in a network of names: its own first, then aliases, short id and host name, each once."""
    hostname = record.config.hostname or ""
    return tuple(dict.fromkeys(filter(None, (record.name, *aliases, short_id(record.id), hostname))))


def check_absent(record: ContainerRecord, network: Network) -> None:
    """Raises Forbidden, in Docker's words, when the container is in *network* already."""
    if any(one.network_id == network.id for one in record.attachments):
        raise Forbidden(f"endpoint with name {record.name} already exists in network {network.name}")


def warn(record: ContainerRecord, networks: list[Network]) -> tuple[str, ...]:
    """What was asked for and its networks can't do, in words for ``Warnings``."""
    publishes = record.host.port_bindings or record.host.publish_all_ports
    if not publishes or not networks:
        return ()
    if any(network.driver == "bridge" and not network.internal for network in networks):
        return ()
    if networks[0].driver in ("host", "null"):
        return ("Published ports are discarded when using host network mode",) if networks[0].driver == "host" else ()
    return (f"Published ports are discarded: network {networks[0].name} has no way in from this host.",)


def add(record: ContainerRecord, one: Attachment) -> ContainerRecord:
    """Also in the network of *one*; only there when it was taken out of all before (docker-compose does that)."""
    return msgspec.structs.replace(record, attachments=(*record.attachments, one))


def drop(record: ContainerRecord, ref: str) -> ContainerRecord:
    """Without the network *ref* (an id or a name)."""
    kept = tuple(one for one in record.attachments if ref not in (one.network_id, one.network))
    return msgspec.structs.replace(record, attachments=kept)


def find_attachment(record: ContainerRecord, ref: str) -> Attachment | None:
    """Where it is connected to the network *ref* (an id or a name); None also when it was taken out of all."""
    return next((one for one in record.attachments if ref in (one.network_id, one.network)), None)


def check_running(name: str, running: bool) -> None:
    """Raises Conflict, in Docker's words: a namespace is shared with a container that runs."""
    if not running:
        raise Conflict(f"cannot join network namespace of a non running container: {name}")
