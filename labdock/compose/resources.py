"""The networks and volumes of a project: what Compose asks the engine for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from labdock.compose import labels
from labdock.errors import Conflict, LabdockError, NoSuchNetwork, NoSuchVolume

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.compose.document import Block
    from labdock.compose.loading import Project


class Resources:
    """*say* hears a line for each thing done."""

    def __init__(self, client: Client, project: Project, say: Callable[[str], None]) -> None:
        self._client = client
        self._project = project
        self._say = say

    def make(self, services: Iterable[str]) -> None:
        """Make what *services* use and is not there. Raises NoSuchNetwork, NoSuchVolume for external ones."""
        members = [self._project.services[name] for name in services]
        for key in sorted({network for service in members for network in service.get("networks", ())}):
            self._make_network(key, self._project.networks[key])
        used = {
            volume["source"]
            for service in members
            for volume in service.get("volumes", ())
            if volume["type"] == "volume" and volume.get("source")
        }
        for key in sorted(used):
            self._make_volume(key, self._project.volumes[key])

    def _make_network(self, key: str, network: Block) -> None:
        try:
            found = self._client.networks.inspect(network["name"])
        except NoSuchNetwork as error:
            if network.get("external"):
                error.message = f"network {network['name']} declared as external, but could not be found"
                error.hint = f"`network create {network['name']}` makes it"
                raise
            try:
                self._client.networks.create(network_body(key, network, self._project))
            except Conflict:  # Somebody else made it meanwhile.
                return
            self._say(f"Network {network['name']} Created")
            return
        self._check_owner("network", network, found.labels)

    def _make_volume(self, key: str, volume: Block) -> None:
        try:
            found = self._client.volumes.inspect(volume["name"])
        except NoSuchVolume as error:
            if volume.get("external"):
                error.message = f"external volume {volume['name']!r} not found"
                error.hint = f"`volume create {volume['name']}` makes it"
                raise
            mine = {**volume.get("labels", {}), **labels.of_thing(labels.VOLUME, key, self._project)}
            options = {name: value or "" for name, value in volume.get("driver_opts", {}).items()}
            driver = volume.get("driver", "local")
            self._client.volumes.create(volume["name"], driver=driver, options=options, labels=mine)
            self._say(f"Volume {volume['name']} Created")
            return
        self._check_owner("volume", volume, found.labels)

    def _check_owner(self, kind: str, thing: Block, found: Mapping[str, str]) -> None:
        owner = found.get(labels.PROJECT)
        if not thing.get("external") and owner != self._project.name:
            whose = f"of project {owner!r}" if owner else "not made by Compose"
            self._say(f"note: {kind} {thing['name']} is there already and {whose}; `external: true` says that is meant")

    def remove(self, *, volumes: bool) -> bool:
        """Take the project's networks away, and with *volumes* those too. False when there was nothing."""
        mine = {"label": [f"{labels.PROJECT}={self._project.name}"]}
        done = False
        for network in self._client.networks.list(mine):
            done = True
            try:
                self._client.networks.remove(network.id)
                self._say(f"Network {network.name} Removed")
            except LabdockError as error:
                self._say(f"Network {network.name} is kept: {error.message}")
        for volume in self._client.volumes.list(mine) if volumes else ():
            done = True
            try:
                self._client.volumes.remove(volume.name)
                self._say(f"Volume {volume.name} Removed")
            except Conflict as error:
                self._say(f"Volume {volume.name} is kept: {error.message}")
        return done


def network_body(key: str, network: Block, project: Project) -> dict[str, Any]:
    """What ``POST /networks/create`` takes."""
    words = {"subnet": "Subnet", "gateway": "Gateway", "ip_range": "IPRange", "aux_addresses": "AuxiliaryAddresses"}
    ipam = network.get("ipam", {})
    pools = [{words[name]: value for name, value in pool.items()} for pool in ipam.get("config", ())]
    body = {
        "Name": network["name"],
        "Driver": network.get("driver", "bridge"),
        "Internal": network.get("internal", False),
        "Attachable": network.get("attachable", False),
        "Options": {name: value or "" for name, value in network.get("driver_opts", {}).items()},
        "Labels": {**network.get("labels", {}), **labels.of_thing(labels.NETWORK, key, project)},
        "IPAM": {"Driver": ipam.get("driver", "default"), "Config": pools, "Options": dict(ipam.get("options", {}))},
    }
    for name in ("ipv4", "ipv6"):
        if f"enable_{name}" in network:
            body[f"EnableIP{name[2:]}"] = network[f"enable_{name}"]
    return body
