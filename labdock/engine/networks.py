"""Networks: what the API asks of them. User-defined networks are not served yet."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from labdock.engine.filters import has_labels
from labdock.engine.ledger import Ledger
from labdock.engine.records import ContainerRecord
from labdock.engine.views import show_time
from labdock.errors import InvalidRequest, Unsupported
from labdock.network.networks import Networks
from labdock.network.records import Network

Wire = dict[str, Any]
Filters = dict[str, list[str]]

_FILTERS = frozenset({"driver", "id", "label", "label!", "name", "scope", "type", "dangling"})
_LATER = "user-defined networks are not supported yet"
_HINT = "use bridge (the default), host or none"


class NetworkService:
    """``bridge``, ``host`` and ``none``, as Docker shows them."""

    def __init__(self, networks: Networks, ledger: Ledger) -> None:
        self._networks = networks
        self._ledger = ledger

    def list(self, filters: Filters) -> builtins.list[Wire]:
        for name in filters:
            if name not in _FILTERS:
                raise InvalidRequest(f"invalid filter '{name}'")
        return [self._show(network) for network in self._networks.list() if _passes(network, filters)]

    def inspect(self, ref: str, verbose: bool) -> Wire:
        """Raises NoSuchNetwork."""
        network = self._networks.inspect(ref)
        members = {
            record.id: _member(record, network)
            for record in self._ledger
            if any(endpoint.network_id == network.id for endpoint in record.endpoints)
        }
        return self._show(network) | {"Containers": members}

    def _show(self, network: Network) -> Wire:
        config = [{"Subnet": network.subnet, "Gateway": network.gateway}] if network.subnet else []
        return {
            "Name": network.name,
            "Id": network.id,
            "Created": show_time(network.created),
            "Scope": "local",
            "Driver": network.driver,
            "EnableIPv4": True,
            "EnableIPv6": False,
            "IPAM": {"Driver": "default", "Options": None, "Config": config},
            "Internal": network.internal,
            "Attachable": False,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": {},
            "Options": dict(network.options),
            "Labels": dict(network.labels),
        }

    async def create(self, sent: Wire) -> Wire:
        raise Unsupported(f"creating network {sent.get('Name', '')!r}: {_LATER}", hint=_HINT)

    async def remove(self, ref: str) -> None:
        """The three networks that are there stay; Docker's words for that."""
        network = self._networks.inspect(ref)
        raise InvalidRequest(f"{network.name} is a pre-defined network and cannot be removed")

    async def connect(self, ref: str, sent: Wire) -> None:
        self._networks.inspect(ref)
        raise Unsupported(f"connecting a container to network {ref!r} after its creation: {_LATER}", hint=_HINT)

    async def disconnect(self, ref: str, sent: Wire) -> None:
        self._networks.inspect(ref)
        raise Unsupported(f"disconnecting a container from network {ref!r}: {_LATER}", hint=_HINT)

    async def prune(self, filters: Filters) -> Wire:
        """There is never an unused user-defined network."""
        return {"NetworksDeleted": None}


def _passes(network: Network, filters: Filters) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "driver": lambda v: network.driver == v,
        "id": lambda v: network.id.startswith(v),
        "name": lambda v: v in network.name,
        "scope": lambda v: v == "local",
        "type": lambda v: v == "builtin",
        "dangling": lambda v: v.lower() in ("0", "false"),
    }
    for name, values in filters.items():
        if name in tests and values and not any(tests[name](value) for value in values):
            return False
    return has_labels(network.labels, filters)


def _member(record: ContainerRecord, network: Network) -> Wire:
    endpoint = next(e for e in record.endpoints if e.network_id == network.id)
    return {
        "Name": record.name,
        "EndpointID": endpoint.endpoint_id,
        "MacAddress": endpoint.mac,
        "IPv4Address": f"{endpoint.ip}/{endpoint.prefix}",
        "IPv6Address": "",
    }
