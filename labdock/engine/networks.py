"""Networks: what the API asks of them."""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from labdock.engine import attaching
from labdock.engine import filters as filtering
from labdock.engine.events import Events
from labdock.engine.filters import has_labels
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.placing import Places
from labdock.engine.records import ContainerRecord
from labdock.engine.supervisor import Supervisor
from labdock.engine.views import show_time
from labdock.errors import Forbidden, InvalidRequest, LabdockError, NoSuchNetwork
from labdock.network.networks import Networks
from labdock.network.planning import PREDEFINED
from labdock.network.records import EndpointRecord, Network
from labdock.schema.network import NetworkConnect, NetworkCreate, NetworkDisconnect
from labdock.store.intents import Action, Intent, Intents
from labdock.store.metadata import Database

T = TypeVar("T")
Wire = dict[str, Any]
Filters = dict[str, list[str]]

_FILTERS = frozenset({"driver", "id", "label", "label!", "name", "scope", "type", "dangling"})
_PRUNE_FILTERS = frozenset({"label", "label!", "until"})
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")


class NetworkService:
    """Networks as Docker has them: made, shown, joined, left, removed."""

    def __init__(
        self,
        networks: Networks,
        places: Places,
        ledger: Ledger,
        supervisor: Supervisor,
        database: Database,
        intents: Intents,
        events: Events,
    ) -> None:
        self._networks = networks
        self._places = places
        self._ledger = ledger
        self._supervisor = supervisor
        self._database = database
        self._intents = intents
        self._events = events

    # -- looking

    def list(self, filters: Filters) -> builtins.list[Wire]:
        _check(filters, _FILTERS)
        return [self._show(network) for network in self._networks.list() if self._passes(network, filters)]

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
        return {
            "Name": network.name,
            "Id": network.id,
            "Created": show_time(network.created),
            "Scope": "local",
            "Driver": network.driver,
            "EnableIPv4": bool(network.subnet) or network.driver in ("host", "null"),
            "EnableIPv6": bool(network.subnet6),
            "IPAM": show_ipam(network),
            "Internal": network.internal,
            "Attachable": network.attachable,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": {},
            "Options": dict(network.options),
            "Labels": dict(network.labels),
        }

    def _passes(self, network: Network, filters: Filters) -> bool:
        custom = network.name not in PREDEFINED
        tests: dict[str, Callable[[str], bool]] = {
            "driver": lambda v: network.driver == v,
            "id": lambda v: network.id.startswith(v),
            "name": lambda v: _matches(v, network.name),
            "scope": lambda v: v == "local",
            "type": lambda v: v == ("custom" if custom else "builtin"),
            "dangling": lambda v: (v.lower() in _TRUE) == (custom and not self._is_used(network)),
        }
        for name, values in filters.items():
            if name in tests and values and not any(tests[name](value) for value in values):
                return False
        return has_labels(network.labels, filters)

    def _is_used(self, network: Network) -> bool:
        return bool(self._networks.members.members(network.id))

    # -- making and removing

    async def create(self, sent: Wire) -> Wire:
        """Raises Conflict (the name), Forbidden (an overlap, a predefined name), InvalidRequest, NotFound (driver)."""
        network = await self._networks.plan(_convert(sent, NetworkCreate))
        intent = self._intents.begin(Action.NETWORK_CREATE, network.id, network=msgspec.to_builtins(network))
        try:
            await self._networks.build(network)
        except BaseException:
            self._networks.give_up(network)
            intent.done()
            raise
        with self._database.transaction():
            self._networks.remember(network)
            intent.done()
        self._emit(network, "create")
        return {"Id": network.id, "Warning": ""}

    async def remove(self, ref: str) -> None:
        """Raises NoSuchNetwork, Forbidden (predefined, in use)."""
        await self._remove(self._networks.inspect(ref))

    async def _remove(self, network: Network) -> None:
        self._networks.check_removable(network, self._name_of)
        intent = self._intents.begin(Action.NETWORK_REMOVE, network.id, network=msgspec.to_builtins(network))
        # First of all nobody finds it any more: a container that starts now must not slip in.
        with self._database.transaction():
            self._networks.forget(network.id)
        await self._networks.demolish(network)
        intent.done()
        self._emit(network, "destroy")

    def _name_of(self, container: str) -> str:
        return self._ledger.get(container).name if self._ledger.has_id(container) else container[:12]

    async def prune(self, filters: Filters) -> Wire:
        """Remove the networks of the user that no container is in. Filters: until, label."""
        _check(filters, _PRUNE_FILTERS)
        before = [filtering.read_moment(value) for value in filters.get("until", ())]
        gone = []
        for network in self._networks.list():
            if network.name in PREDEFINED or self._is_used(network) or not has_labels(network.labels, filters):
                continue
            if all(network.created < moment for moment in before):
                await self._remove(network)
                gone.append(network.name)
        return {"NetworksDeleted": gone or None}

    # -- joining and leaving

    async def connect(self, ref: str, sent: Wire) -> None:
        """Put a container into a network, now when it runs, else from its next start on.

        Raises NoSuchNetwork, NoSuchContainer, Forbidden (in it already), InvalidRequest, Conflict (addresses).
        """
        request = _convert(sent, NetworkConnect)
        network = self._networks.inspect(ref)
        record = self._ledger.get(request.container)
        async with self._supervisor.live(record.id).lock:
            record = self._ledger.get(record.id)
            if record.network.startswith("container:"):
                raise InvalidRequest(attaching.SHARED_NETWORK)
            attaching.check_absent(record, network)
            attaching.check_together(record.attachments, network)
            one = attaching.attachment(network, sent.get("EndpointConfig"), record)
            if record.state.status not in (Status.RUNNING, Status.PAUSED):
                self._ledger.put(attaching.add(record, one))
                return
            intent = self._intents.begin(Action.NETWORK_CONNECT, record.id, network=network.id)
            try:
                joined = await self._places.join(record, one)
            except BaseException:
                intent.done()
                raise
            self._settle_into(joined, intent)

    async def disconnect(self, ref: str, sent: Wire) -> None:
        """Take a container out of a network. Raises NoSuchNetwork, NoSuchContainer, Forbidden (not in it)."""
        request = _convert(sent, NetworkDisconnect)
        record = self._ledger.get(request.container)
        async with self._supervisor.live(record.id).lock:
            record = self._ledger.get(record.id)
            try:
                network = self._networks.inspect(ref)
                name, key = network.name, network.id
            except NoSuchNetwork:
                # A network that was removed while its container did not run.
                if attaching.find_attachment(record, ref) is None:
                    raise
                name = key = ref
            running = record.state.status in (Status.RUNNING, Status.PAUSED)
            if name == "host" and record.network == "host":
                raise Forbidden(attaching.HOST_NETWORK)
            if attaching.find_attachment(record, key) is None and attaching.find_attachment(record, name) is None:
                which = "network" if running else "the network"
                raise Forbidden(f"container {record.id} is not connected to {which} {name}")
            if not running:
                self._ledger.put(attaching.drop(attaching.drop(record, key), name))
                return
            intent = self._intents.begin(Action.NETWORK_DISCONNECT, record.id, network=key)
            self._settle_into(await self._places.leave(record, key), intent)

    def _settle_into(self, changed: ContainerRecord, intent: Intent) -> None:
        """Write down what is now so, over what may have changed meanwhile (its state, its name)."""
        current = self._ledger.get(changed.id)
        alive = current.state.status in (Status.RUNNING, Status.PAUSED)
        changed = msgspec.structs.replace(
            current,
            attachments=changed.attachments,
            endpoints=changed.endpoints if alive else (),
            ports=changed.ports if alive else {},
        )
        with self._database.transaction():
            self._ledger.put(changed)
            intent.done()
        if alive:
            self._places.refresh(current, changed)

    # -- after a restart

    async def settle(self, intent: Intent) -> None:
        """Finish or undo what a killed engine had begun with a network."""
        network = intent.detail.get("network")
        if intent.action == Action.NETWORK_CREATE:
            made = msgspec.convert(network, Network)
            if self._networks.find(made.id) is None:
                await self._networks.demolish(made)
            intent.done()
        elif intent.action == Action.NETWORK_REMOVE:
            gone = msgspec.convert(network, Network)
            self._networks.forget(gone.id)
            await self._networks.demolish(gone)
            intent.done()
        elif not self._ledger.has_id(intent.subject):
            intent.done()
        else:
            await self._settle_place(intent, self._ledger.get(intent.subject), str(network))

    async def _settle_place(self, intent: Intent, record: ContainerRecord, network: str) -> None:
        """A connect is undone (its client has no answer), a disconnect is finished."""
        alive = record.state.status in (Status.RUNNING, Status.PAUSED)
        if alive:
            try:
                record = await self._places.leave(record, network)
            except LabdockError:
                alive = False
        if not alive:
            record = attaching.drop(record, network) if intent.action == Action.NETWORK_DISCONNECT else record
        self._settle_into(record, intent)

    # -- events

    def watch(self) -> None:
        """From now on, tell of every endpoint that comes and goes, as Docker does."""
        self._networks.members.watch(_Comings(self._events, {e.id for e in self._networks.members.all()}))

    def _emit(self, network: Network, action: str) -> None:
        self._events.emit("network", action, network.id, {"name": network.name, "type": network.driver})


class _Comings:
    """The events ``network connect`` and ``network disconnect``; *known* endpoints are no news."""

    def __init__(self, events: Events, known: set[str]) -> None:
        self._events = events
        self._known = known

    def joined(self, network: Network, endpoint: EndpointRecord) -> None:
        if endpoint.id not in self._known:
            self._known.add(endpoint.id)
            self._tell("connect", network, endpoint)

    def left(self, network: Network, endpoint: EndpointRecord) -> None:
        if endpoint.id in self._known:
            self._known.discard(endpoint.id)
            self._tell("disconnect", network, endpoint)

    def _tell(self, action: str, network: Network, endpoint: EndpointRecord) -> None:
        attributes = {"container": endpoint.container, "name": network.name, "type": network.driver}
        self._events.emit("network", action, network.id, attributes)


def show_ipam(network: Network) -> Wire:
    """IPAM as it was asked for, with what was chosen where nothing was asked."""
    asked: Wire = network.ipam
    config = [dict(entry) for entry in asked.get("Config") or ()]
    given = {":" in entry.get("Subnet", "") for entry in config}
    if network.subnet and False not in given:
        config.append({"Subnet": network.subnet, "Gateway": network.gateway})
    if network.subnet6 and True not in given:
        config.append({"Subnet": network.subnet6, "Gateway": network.gateway6})
    return {"Driver": asked.get("Driver") or "default", "Options": asked.get("Options"), "Config": config}


def _convert(sent: Wire, kind: type[T]) -> T:
    try:
        return msgspec.convert(sent, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"invalid request body: {error}") from error


def _check(filters: Filters, known: frozenset[str]) -> None:
    """Raises InvalidRequest in Docker's words."""
    for name, values in filters.items():
        if name not in known:
            raise InvalidRequest(f"invalid filter '{name}'")
        for value in values:
            if name == "dangling" and value.lower() not in _TRUE + _FALSE:
                raise InvalidRequest(f"invalid filter 'dangling=[{value}]'")
            if name == "type" and value not in ("custom", "builtin"):
                raise InvalidRequest(f"invalid filter: 'type'='{value}'")


def _matches(pattern: str, name: str) -> bool:
    """Docker's: the text itself, a part of it, or a regular expression."""
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return pattern in name


def _member(record: ContainerRecord, network: Network) -> Wire:
    endpoint = next(e for e in record.endpoints if e.network_id == network.id)
    return {
        "Name": record.name,
        "EndpointID": endpoint.endpoint_id,
        "MacAddress": endpoint.mac,
        "IPv4Address": f"{endpoint.ip}/{endpoint.prefix}" if endpoint.ip else "",
        "IPv6Address": f"{endpoint.ip6}/{endpoint.prefix6}" if endpoint.ip6 else "",
    }
