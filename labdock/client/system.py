"""The engine itself, its events, networks and volumes, over the API."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping

import msgspec

from labdock.client.caller import Caller, Lines, lines, path
from labdock.client.results import Network, Version, Volume, VolumesPruned, Wire, result
from labdock.schema.container import EndpointConfig
from labdock.schema.events import Event

Filters = Mapping[str, list[str]]


class Listening(Lines):
    """Events that the engine has begun to tell; ``fileno`` is readable when there are new ones."""

    def events(self) -> list[Event]:
        """What is there now, without waiting."""
        return [_EVENTS.decode(line) for line in self.take()]


_EVENTS = msgspec.json.Decoder(Event)


class System:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def ping(self) -> dict[str, str]:
        """The answer's headers (``api-version``, ``server`` …)."""
        with self._caller.open("GET", "/_ping") as answer:
            answer.read()
            return dict(answer.head.headers)

    def version(self) -> Version:
        """The engine's version and the API's."""
        return result(Version, self._caller.fetch("/version"))

    def info(self) -> Wire:
        """What the engine tells of itself and its machine, as it came."""
        found: Wire = self._caller.fetch("/info")
        return found

    def df(self) -> Wire:
        """What takes up disk space, as it came; sizes in bytes."""
        found: Wire = self._caller.fetch("/system/df")
        return found

    def api(self) -> list[Wire]:
        """The table of endpoints: Method, Path, Since, Refused (why; "" when it is served), Query, Body, Answer."""
        found: Wire = self._caller.fetch("/labdock/api")
        return list(found["Rows"])

    def openapi(self) -> Wire:
        """What is served, as an OpenAPI 3.1 document."""
        found: Wire = self._caller.fetch("/labdock/api", {"openapi": True})
        return found

    def doctor(self) -> Wire:
        """The engine's Plan with its probes (an endpoint of labdock's own)."""
        found: Wire = self._caller.fetch("/labdock/doctor")
        return found

    def explain(self, ref: str) -> Wire:
        """What the engine did to make a container (an endpoint of labdock's own; NotFound from other engines)."""
        found: Wire = self._caller.fetch("/labdock/containers" + path(ref, "explain"))
        return found

    def events(
        self, *, since: str | None = None, until: str | None = None, filters: Filters | None = None
    ) -> Iterator[Event]:
        """What happens, as it happens, until *until*; closing the iterator ends it."""
        decoder = msgspec.json.Decoder(Event)
        query = {"since": since, "until": until, "filters": filters}
        for line in lines(self._caller.open("GET", "/events", query)):
            yield decoder.decode(line)

    def listen(self, *, since: str | None = None, filters: Filters | None = None) -> Listening:
        """Events to be waited for beside other things; returns once the engine takes note of them."""
        return Listening(self._caller.open("GET", "/events", {"since": since, "filters": filters}))


class Networks:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def list(self, filters: Filters | None = None) -> list[Network]:
        """Raises InvalidRequest for a filter that is none."""
        return [result(Network, wire) for wire in self._caller.fetch("/networks", {"filters": filters})]

    def inspect(self, ref: str) -> Network:
        """Raises NoSuchNetwork."""
        return result(Network, self._caller.fetch(path("networks", ref)))

    def create(self, body: Mapping[str, object]) -> str:
        """The id of a new network; *body* as ``POST /networks/create`` takes it.

        Raises Conflict (the name), Forbidden (an overlap), InvalidRequest, NotFound (no such driver).
        """
        return str(self._caller.fetch("/networks/create", method="POST", body=dict(body))["Id"])

    def remove(self, ref: str) -> None:
        """Raises NoSuchNetwork, Forbidden while containers are in it."""
        self._caller.call("DELETE", path("networks", ref))

    def connect(self, ref: str, container: str, settings: EndpointConfig | None = None) -> None:
        """Put *container* into the network. Raises Forbidden when it is in it already."""
        body = {"Container": container, "EndpointConfig": msgspec.to_builtins(settings or EndpointConfig())}
        self._caller.call("POST", path("networks", ref, "connect"), body=body)

    def disconnect(self, ref: str, container: str, *, force: bool = False) -> None:
        """Take *container* out of the network. Raises Forbidden when it is not in it."""
        self._caller.call("POST", path("networks", ref, "disconnect"), body={"Container": container, "Force": force})

    def prune(self, filters: Filters | None = None) -> builtins.list[str]:
        """The names of the networks that were removed."""
        found = self._caller.fetch("/networks/prune", {"filters": filters}, method="POST")
        return [str(name) for name in found.get("NetworksDeleted") or ()]


class Volumes:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def list(self, filters: Filters | None = None) -> list[Volume]:
        """Raises InvalidRequest for a filter that is none."""
        return self.look(filters)[0]

    def look(self, filters: Filters | None = None) -> tuple[builtins.list[Volume], tuple[str, ...]]:
        """The volumes, and warnings about volume plugins that did not answer."""
        found = self._caller.fetch("/volumes", {"filters": filters})
        return [result(Volume, wire) for wire in found.get("Volumes") or ()], tuple(found.get("Warnings") or ())

    def inspect(self, name: str) -> Volume:
        """Raises NoSuchVolume."""
        return result(Volume, self._caller.fetch(path("volumes", name)))

    def create(
        self,
        name: str | None = None,
        *,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """A new volume, or the one that has the *name*. Raises InvalidRequest, Conflict (it differs)."""
        body = {"Name": name or "", "Driver": driver, "DriverOpts": dict(options or {}), "Labels": dict(labels or {})}
        return result(Volume, self._caller.fetch("/volumes/create", method="POST", body=body))

    def remove(self, name: str, *, force: bool = False) -> None:
        """Raises NoSuchVolume, Conflict when a container uses it."""
        self._caller.call("DELETE", path("volumes", name), {"force": force})

    def prune(self, filters: Filters | None = None) -> VolumesPruned:
        """Remove unused anonymous volumes; all unused ones with the filter ``all``: ``true``."""
        return result(VolumesPruned, self._caller.fetch("/volumes/prune", {"filters": filters}, method="POST"))

    def export(self, name: str) -> Iterator[bytes]:
        """All that is in the volume as a tar, in parts (an endpoint of labdock's own). Raises NoSuchVolume."""
        with self._caller.open("GET", path("labdock", "volumes", name, "tar")) as answer:
            yield from answer.chunks()

    def import_tar(self, name: str, archive: Iterator[bytes]) -> Volume:
        """Make the volume *name* of a tar, or fill it when it is empty: all or nothing.

        Raises Conflict when something is in it, InvalidRequest for what is no tar.
        """
        headers = (("Content-Type", "application/x-tar"),)
        with self._caller.open(
            "PUT", path("labdock", "volumes", name, "tar"), None, archive, headers=headers
        ) as answer:
            return result(Volume, msgspec.json.decode(answer.read()))
