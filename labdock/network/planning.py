"""From a create request to a network: driver, subnets, options checked in Docker's words. Pure but for the new id."""

from __future__ import annotations

import dataclasses
import ipaddress
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from labdock.errors import Forbidden, InvalidRequest, NotFound, Unsupported
from labdock.network import ipam, links
from labdock.network.drivers import vlans
from labdock.network.endpoints import PREFIX
from labdock.network.ipam import Subnet
from labdock.network.records import Network
from labdock.schema.ids import new_id
from labdock.schema.network import IpamConfig, NetworkCreate, PoolConfig

PREDEFINED: Final = ("bridge", "host", "none", "default")
_BRIDGE: Final = "com.docker.network.bridge."
_MTU: Final = ("com.docker.network.driver.mtu", "mtu")
_GATEWAY_MODES: Final = ("com.docker.network.bridge.gateway_mode_ipv4", "com.docker.network.bridge.gateway_mode_ipv6")


@dataclass(slots=True)
class _Pools:
    """The parts of a Network that IPAM decides."""

    subnet: str = ""
    gateway: str = ""
    range: str = ""
    subnet6: str = ""
    gateway6: str = ""
    range6: str = ""
    reserved: dict[str, str] = field(default_factory=dict)
    configured: bool = False


def plan(request: NetworkCreate, taken: Sequence[Subnet], routes: Sequence[Subnet]) -> Network:
    """The network that *request* asks for. *taken*: other networks' subnets; *routes*: the host's, to be avoided.

    Raises InvalidRequest, Forbidden (a predefined name, an overlap), NotFound (no such driver), Unsupported.
    """
    name = request.name
    if not name.strip():
        raise InvalidRequest("invalid network name: name is empty")
    if name in PREDEFINED:
        raise Forbidden(f"operation is not permitted on predefined {name} network ")
    driver = request.driver or "bridge"
    if driver == "default":
        driver = "bridge"
    _check(request, driver)
    options = dict(request.options or {})
    id = new_id()
    pools = _plan_pools(request, id, taken, routes, bridge=driver == "bridge")
    own = _bridge_options(id, options, pools) if driver == "bridge" else _vlan_options(id, driver, options, request)
    return Network(
        id=id,
        name=name,
        driver=driver,
        created=time.time_ns(),
        **dataclasses.asdict(pools),
        **own,
        mtu=_mtu(options),
        attachable=bool(request.attachable),
        ipam=_sent(request.ipam),
        options=options,
        labels=dict(request.labels or {}),
        internal=bool(request.internal),
    )


def _check(request: NetworkCreate, driver: str) -> None:
    if request.config_only or (request.config_from and request.config_from.get("Network")):
        raise Unsupported(
            "networks that only hold a configuration (config-only, config-from) are not supported",
            hint="give the subnet and the options to the network itself",
        )
    if request.ingress or request.scope == "swarm" or driver == "overlay":
        raise Unsupported(
            f"network {request.name!r}: overlay and swarm networks need a swarm, and this engine is of one machine",
            hint="driver bridge joins containers of this engine",
        )
    if driver in ("host", "null"):
        raise Forbidden(f'only one instance of "{driver}" network is allowed')
    if driver not in ("bridge", "macvlan", "ipvlan"):
        raise NotFound(
            f"could not find plugin {driver} in v1 plugin registry: plugin not found",
            hint="drivers here: bridge, macvlan, ipvlan",
        )
    asked = request.ipam
    if asked is not None and (asked.driver or "default") != "default":
        raise NotFound(f"could not find plugin {asked.driver} in v1 plugin registry: plugin not found")
    if request.enable_ipv4 is False and not request.enable_ipv6:
        raise InvalidRequest("IPv4 or IPv6 must be enabled")
    for key in _GATEWAY_MODES:
        mode = (request.options or {}).get(key, "nat")
        if mode not in ("", "nat"):
            raise Unsupported(f"{key}={mode}: containers leave by address translation (nat) only")
    if (request.options or {}).get(f"{_BRIDGE}inhibit_ipv4", "").lower() in ("1", "true"):
        raise Unsupported(
            "a bridge without an address (inhibit_ipv4) is not supported: the engine's own is its gateway"
        )


def _plan_pools(
    request: NetworkCreate, id: str, taken: Sequence[Subnet], routes: Sequence[Subnet], *, bridge: bool
) -> _Pools:
    pools = _Pools()
    wants6 = bool(request.enable_ipv6)
    for entry in (request.ipam and request.ipam.config) or ():
        if not entry.subnet:
            if entry.gateway or entry.ip_range or entry.auxiliary_addresses:
                raise InvalidRequest("every ip-range or gateway must have a corresponding subnet")
            continue
        subnet = ipam.parse_subnet(entry.subnet)
        if subnet.version == 6 and not wants6:
            # Docker takes such a pool and does without.
            continue
        if subnet.version == 4 and request.enable_ipv4 is False:
            continue
        if pools.subnet if subnet.version == 4 else pools.subnet6:
            raise Unsupported(f"network {request.name!r}: more than one IPv{subnet.version} subnet is not supported")
        ipam.check_free(subnet, taken)
        _take(pools, subnet, entry)
    if not pools.subnet and request.enable_ipv4 is not False:
        subnet = ipam.choose_subnet([*taken, *routes])
        pools.subnet, pools.gateway = str(subnet), str(ipam.gateway_of(subnet))
    if wants6 and not pools.subnet6:
        chosen = ipam.choose_subnet6(id, taken)
        pools.subnet6, pools.gateway6 = str(chosen), str(ipam.gateway_of(chosen))
    return pools


def _take(pools: _Pools, subnet: Subnet, entry: PoolConfig) -> None:
    """Put what *entry* says of *subnet* into *pools*."""
    pools.configured = True
    part = ""
    if entry.ip_range:
        range_ = ipam.parse_subnet(entry.ip_range)
        if range_.version != subnet.version or not range_.subnet_of(subnet):  # type: ignore[arg-type]
            raise InvalidRequest(f"invalid ip-range {entry.ip_range}: it is no part of the subnet {subnet}")
        part = str(range_)
    if entry.gateway:
        gateway = ipam.check_inside(subnet, entry.gateway.partition("/")[0], "gateway address")
        if gateway == subnet.network_address or (subnet.version == 4 and gateway == subnet.broadcast_address):
            raise InvalidRequest(f"invalid gateway address {gateway}: it is not a host's")
    else:
        gateway = ipam.gateway_of(subnet)
    for name, text in (entry.auxiliary_addresses or {}).items():
        address = ipam.check_inside(subnet, text, "auxiliary address")
        if address == gateway or str(address) in pools.reserved.values():
            raise Forbidden(f"Address already in use: {text}")
        pools.reserved[name] = str(address)
    if subnet.version == 4:
        pools.subnet, pools.gateway, pools.range = str(subnet), str(gateway), part
    else:
        pools.subnet6, pools.gateway6, pools.range6 = str(subnet), str(gateway), part


def _bridge_options(id: str, options: dict[str, str], pools: _Pools) -> dict[str, Any]:
    link = options.get(f"{_BRIDGE}name", "") or f"br-{id[:12]}"
    if not links.is_name(link) or link in ("lo", "tap0"):
        raise InvalidRequest(f"invalid bridge name {link!r}", hint="at most 15 letters, digits, . _ -")
    _check_prefix(options)
    host = options.get(f"{_BRIDGE}host_binding_ipv4", "")
    try:
        ipaddress.ip_address(host or "0.0.0.0")  # noqa: S104
    except ValueError as error:
        raise InvalidRequest(f"invalid value for {_BRIDGE}host_binding_ipv4: {host}") from error
    return {
        "link": link,
        "icc": _boolean(options, f"{_BRIDGE}enable_icc", True),
        "masquerade": _boolean(options, f"{_BRIDGE}enable_ip_masquerade", True),
    }


def _vlan_options(id: str, driver: str, options: dict[str, str], request: NetworkCreate) -> dict[str, Any]:
    mode = vlans.check_mode(driver, options.get(f"{driver}_mode", "") or options.get("mode", ""))
    if driver == "ipvlan" and options.get("ipvlan_flag", "bridge") not in ("", "bridge"):
        raise Unsupported(f"ipvlan_flag={options['ipvlan_flag']}: only bridge is supported")
    _check_prefix(options)
    parent = options.get("parent", "")
    if parent and not links.is_name(parent):
        raise InvalidRequest(f"invalid subinterface vlan name {parent}, example formatting is eth0.10")
    if parent and request.internal:
        raise InvalidRequest(f"an internal {driver} network can't have a parent: {parent}", hint="leave the parent out")
    if mode == "passthru" and not parent:
        raise InvalidRequest("macvlan mode passthru needs a parent")
    return {"link": parent or f"dm-{id[:12]}", "made_link": not parent, "mode": mode}


def _check_prefix(options: dict[str, str]) -> None:
    if PREFIX in options and not links.is_name(f"{options[PREFIX]}0"):
        raise InvalidRequest(f"invalid value for {PREFIX}: {options[PREFIX]!r}")


def _mtu(options: dict[str, str]) -> int:
    text = next((options[key] for key in _MTU if options.get(key)), "0")
    if not text.isascii() or not text.isdecimal() or (text != "0" and not 68 <= int(text) <= 65535):
        raise InvalidRequest(f"invalid value for {_MTU[0]}: {text!r}", hint="68 to 65535")
    return int(text)


def _boolean(options: dict[str, str], key: str, default: bool) -> bool:
    text = options.get(key, "")
    if not text:
        return default
    # Go's strconv.ParseBool.
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise InvalidRequest(f'failed to parse {key} value: "{text}" is not a boolean')


def _sent(asked: IpamConfig | None) -> dict[str, Any]:
    """As inspect gives it back: without what was null or "" (Go's omitempty)."""
    found: dict[str, Any] = msgspec.to_builtins(asked) if asked is not None else {}
    config = [{key: value for key, value in entry.items() if value} for entry in found.get("Config") or ()]
    return found | {"Config": [entry for entry in config if entry]}
