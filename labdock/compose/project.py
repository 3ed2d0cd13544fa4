"""A project carried out: its networks, volumes and containers made, kept, changed and taken away."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labdock.compose import labels, requests
from labdock.compose.files import tar_of
from labdock.compose.plan import order
from labdock.compose.settling import scale_of
from labdock.errors import Conflict, InvalidRequest, LabdockError, NoSuchImage, NoSuchNetwork, NoSuchVolume

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.results import Container, ContainerSummary
    from labdock.compose.document import Block
    from labdock.compose.loading import Project


class NotReady(LabdockError):
    """A dependency ended, failed or did not become healthy."""

    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How ``up`` goes about it. *scale*: containers by service. *wait*: seconds for the whole to be ready."""

    force_recreate: bool = False
    no_recreate: bool = False
    no_start: bool = False
    no_deps: bool = False
    remove_orphans: bool = False
    scale: Mapping[str, int] = field(default_factory=dict)
    timeout: int | None = None
    renew: bool = False


class Deployment:
    """*project* on the engine behind *client*. *say* hears a line for each thing done, *fetch* gets a missing image."""

    def __init__(
        self,
        client: Client,
        project: Project,
        *,
        say: Callable[[str], None] = lambda text: None,
        fetch: Callable[[str, Block], None] | None = None,
    ) -> None:
        self.client = client
        self.project = project
        self._say = say
        self._fetch = fetch
        self._first: dict[str, str] = {}

    # What is there.

    def containers(
        self, services: Sequence[str] = (), *, all: bool = True, one_off: bool = False
    ) -> list[ContainerSummary]:
        """The project's containers, by service and number."""
        wanted = [f"{labels.PROJECT}={self.project.name}", f"{labels.ONE_OFF}={one_off}"]
        found = self.client.containers.list(all=all, filters={"label": wanted})
        found = [each for each in found if not services or each.labels.get(labels.SERVICE) in services]
        return sorted(found, key=lambda each: (each.labels.get(labels.SERVICE, ""), number_of(each)))

    def of_service(self, service: str) -> list[ContainerSummary]:
        return self.containers([service])

    def orphans(self) -> list[ContainerSummary]:
        """Containers of services that the files no longer have."""
        known = {*self.project.services, *self.project.disabled}
        return [each for each in self.containers() if each.labels.get(labels.SERVICE) not in known]

    def find(self, service: str, index: int = 0) -> str:
        """The id of a service's container (number *index*; 0: the first). Raises InvalidRequest."""
        self.check_names([service])
        if not index and service in self._first:
            return self._first[service]
        found = [each for each in self.of_service(service) if not index or number_of(each) == index]
        if not found:
            which = f" #{index}" if index else ""
            raise InvalidRequest(f"service {service!r} has no container{which}", hint=f"`compose up {service}`")
        return found[0].id

    def check_names(self, services: Iterable[str]) -> None:
        """Raises InvalidRequest for a service that the files do not have."""
        from labdock.compose.readers import near

        for name in services:
            if name not in self.project.services and name not in self.project.disabled:
                raise InvalidRequest(f"no such service: {name}", hint=near(name, self.project.services))

    # Up.

    def up(self, services: Sequence[str] = (), ways: Ways | None = None) -> list[str]:
        """Make what is missing, change what differs, start it in order; the ids of the containers, in that order."""
        ways = ways or Ways()
        self.check_names([*services, *ways.scale])
        wanted = services or tuple(self.project.services)
        needs = {} if ways.no_deps else self.project.needs()
        chosen = order({**dict.fromkeys(wanted, ()), **needs}, wanted)
        self._check_files(chosen)
        self._images(chosen)
        self._networks(chosen)
        self._volumes(chosen)
        self._settle_orphans(remove=ways.remove_orphans)
        made: list[str] = []
        changed: set[str] = set()
        for name in chosen:
            self._wait_for_needs(name, ways)
            ids, new = self._service(name, ways, self._shares(name, changed))
            made += ids
            changed |= {name} if new else set()
        return made

    def _check_files(self, chosen: Sequence[str]) -> None:
        """Raises InvalidRequest when the file of a secret or config is missing, before anything is made."""
        for name in chosen:
            for kind in ("secrets", "configs"):
                for item in self.project.services[name].get(kind, ()):
                    path = getattr(self.project, kind)[item["source"]].get("file")
                    if path is not None and not os.path.exists(path):
                        what = kind.removesuffix("s")
                        raise InvalidRequest(f"{what} {item['source']!r} of service {name!r}: there is no file {path}")

    def prepare(self, name: str, needs: Sequence[str], ways: Ways) -> None:
        """All that a container of *name* takes to be made: *needs* running, images, networks, volumes."""
        if needs:
            self.up(needs, ways)
        self._check_files([name])
        self._images([name])
        self._networks([name])
        self._volumes([name])
        self._wait_for_needs(name, ways)

    def _shares(self, name: str, changed: set[str]) -> bool:
        """Whether *name* lives in a namespace of a container that is a new one now."""
        service = self.project.services[name]
        modes = [str(service.get(key, "")) for key in ("network_mode", "pid", "ipc")]
        others = {mode.removeprefix("service:") for mode in modes if mode.startswith("service:")}
        return bool(others & changed)

    def _images(self, chosen: Sequence[str]) -> None:
        for name in chosen:
            service = self.project.services[name]
            image = requests.image_of(name, service, self.project)
            if self._fetch is None or (service.get("pull_policy") not in ("always", "build") and self._has(image)):
                continue
            self._fetch(name, service)

    def _has(self, image: str) -> bool:
        try:
            self.client.images.inspect(image)
        except NoSuchImage:
            return False
        return True

    def _networks(self, chosen: Sequence[str]) -> None:
        used = {network for name in chosen for network in self.project.services[name].get("networks", ())}
        for key in sorted(used):
            network = self.project.networks[key]
            try:
                found = self.client.networks.inspect(network["name"])
            except NoSuchNetwork:
                if network.get("external"):
                    raise
                self.client.networks.create(network_body(key, network, self.project))
                self._say(f"Network {network['name']} Created")
                continue
            self._check_owner("network", network, found.labels)

    def _volumes(self, chosen: Sequence[str]) -> None:
        used = {
            volume["source"]
            for name in chosen
            for volume in self.project.services[name].get("volumes", ())
            if volume["type"] == "volume" and volume.get("source")
        }
        for key in sorted(used):
            volume = self.project.volumes[key]
            try:
                found = self.client.volumes.inspect(volume["name"])
            except NoSuchVolume:
                if volume.get("external"):
                    raise
                mine = {**volume.get("labels", {}), **labels.of_thing(labels.VOLUME, key, self.project)}
                options = {name: value or "" for name, value in volume.get("driver_opts", {}).items()}
                driver = volume.get("driver", "local")
                self.client.volumes.create(volume["name"], driver=driver, options=options, labels=mine)
                self._say(f"Volume {volume['name']} Created")
                continue
            self._check_owner("volume", volume, found.labels)

    def _check_owner(self, kind: str, thing: Block, found: Mapping[str, str]) -> None:
        owner = found.get(labels.PROJECT)
        if not thing.get("external") and owner != self.project.name:
            whose = f"of project {owner!r}" if owner else "not made by Compose"
            self._say(f"note: {kind} {thing['name']} is there already and {whose}; `external: true` says that is meant")

    def _settle_orphans(self, *, remove: bool) -> None:
        found = self.orphans()
        if not remove:
            if found:
                names = ", ".join(each.name for each in found)
                self._say(f"Found orphan containers ({names}) for this project; --remove-orphans removes them")
            return
        for each in found:
            self.client.containers.remove(each.id, force=True)
            self._say(f"Container {each.name} Removed")

    def _wait_for_needs(self, name: str, ways: Ways) -> None:
        if ways.no_deps or ways.no_start:
            return
        for other, how in self.project.services[name].get("depends_on", {}).items():
            try:
                for each in self.of_service(other):
                    self.wait_until(each.id, how["condition"])
            except NotReady:
                if how.get("required", True):
                    raise
                self._say(f"note: {other}, which {name} can do without, is not ready")

    def wait_until(self, id: str, condition: str, deadline: float | None = None) -> None:
        """Until the container *id* fulfils *condition*. Raises NotReady when it can't any more, or at *deadline*."""
        if condition == "service_completed_successfully":
            code = self.client.containers.wait(id).status_code
            if code:
                name = self.client.containers.inspect(id).name.lstrip("/")
                raise NotReady(f"container {name} exited ({code})", hint=f"`logs {name}` shows why")
            return
        if condition != "service_healthy" or self._healthy(id, checked=True):
            return
        since = f"{time.time() - 1:.3f}"
        until = None if deadline is None else f"{deadline:.3f}"
        # Looked at once more after the events are being listened to: what happens in between is among them.
        events = self.client.system.events(since=since, until=until, filters={"container": [id]})
        with contextlib.closing(events):  # type: ignore[type-var]
            if self._healthy(id, checked=True):
                return
            for event in events:
                if event.action.startswith(("health_status", "die")) and self._healthy(id, checked=True):
                    return
        raise NotReady(f"container {self.client.containers.inspect(id).name.lstrip('/')} is not healthy in time")

    def _healthy(self, id: str, *, checked: bool = False) -> bool:
        """Raises NotReady when it is unhealthy, has ended, or (*checked*) has no health check."""
        found = self.client.containers.inspect(id)
        health = (found.raw.get("State") or {}).get("Health")
        name = found.name.lstrip("/")
        if not found.state.running and found.state.status != "restarting":
            raise NotReady(
                f"container {name} exited ({found.state.exit_code})", hint=f"`logs {name}` shows its last words"
            )
        if not health or health.get("Status") in (None, "", "none"):
            if checked:
                raise NotReady(f"container {name} has no healthcheck configured", hint="healthcheck: {test: …}")
            return True
        if health["Status"] == "unhealthy":
            raise NotReady(f"container {name} is unhealthy", hint=f"`inspect {name}` has the check's output")
        return bool(health["Status"] == "healthy")

    def wait_all(self, services: Sequence[str], deadline: float | None) -> None:
        """Until every container runs, and is healthy where that is checked. Raises NotReady."""
        for each in self.containers(services):
            found = self.client.containers.inspect(each.id)
            if (found.raw.get("State") or {}).get("Health"):
                self.wait_until(each.id, "service_healthy", deadline)
            else:
                self._healthy(each.id)

    def _service(self, name: str, ways: Ways, renewed: bool) -> tuple[list[str], bool]:
        """The service's containers as they should be; their ids, and whether any is a new one."""
        service = self.project.services[name]
        count = ways.scale.get(name, scale_of(service))
        if count > 1 and "container_name" in service:
            raise InvalidRequest(f"service {name!r} has a container_name: there can be one only")
        there = self.of_service(name)
        for extra in there[count:] if count < len(there) else ():
            self.stop(extra, ways.timeout)
            self.client.containers.remove(extra.id, force=True)
            self._say(f"Container {extra.name} Removed")
        digest = labels.config_hash(service, self.project)
        image = self.client.images.inspect(requests.image_of(name, service, self.project)).id
        ids: list[str] = []
        new = False
        numbers = {number_of(each) for each in there}
        for each in there[:count]:
            differs = renewed or each.labels.get(labels.CONFIG_HASH) != digest or self._image_of(each) != image
            if ways.force_recreate or (differs and not ways.no_recreate):
                ids.append(self._replace(name, each, digest, image, ways))
                new = True
            else:
                ids.append(each.id)
                self._start(each.id, each.name, ways, running=each.state == "running")
        for _ in range(count - len(ids)):
            number = next(n for n in range(1, len(numbers) + 2) if n not in numbers)
            numbers.add(number)
            ids.append(self._make(name, number, digest, image, ways))
            new = True
        if ids:
            self._first[name] = ids[0]
        return ids, new

    def _image_of(self, each: ContainerSummary) -> str:
        return str(each.raw.get("ImageID") or "")

    def _start(self, id: str, name: str, ways: Ways, *, running: bool) -> None:
        if running or ways.no_start:
            self._say(f"Container {name} {'Running' if running else 'Created'}")
            return
        self.client.containers.start(id)
        self._say(f"Container {name} Started")

    def _replace(self, service: str, old: ContainerSummary, digest: str, image: str, ways: Ways) -> str:
        """A new container in the place of *old*, which goes once the new one is made."""
        self.stop(old, ways.timeout)
        spare = f"{old.id[:12]}_{old.name}"
        self.client.containers.rename(old.id, spare)
        try:
            after = None if ways.renew else old
            id = self._make(service, number_of(old), digest, image, ways, start=False, after=after)
        except BaseException:
            with contextlib.suppress(LabdockError):
                self.client.containers.rename(old.id, old.name)
            raise
        self.client.containers.remove(old.id, force=True)
        self._say(f"Container {old.name} Recreated")
        if not ways.no_start:
            self.client.containers.start(id)
            self._say(f"Container {old.name} Started")
        return id

    def _make(
        self,
        name: str,
        number: int,
        digest: str,
        image: str,
        ways: Ways,
        *,
        start: bool = True,
        after: ContainerSummary | None = None,
    ) -> str:
        service = self.project.services[name]
        known = labels.of_container(name, number, self.project, image=image, digest=digest)
        request = requests.request_for(name, service, self.project, labels=known, find=self.find)
        called = service.get("container_name") or f"{self.project.name}-{name}-{number}"
        if after is not None:
            request = keep_anonymous(request, self.client.containers.inspect(after.id))
        id = self.create(name, service, request, called)
        if start and not ways.no_start:
            self.client.containers.start(id)
            self._say(f"Container {called} Started")
        elif start:
            self._say(f"Container {called} Created")
        return id

    def create(self, name: str, service: Block, request: Any, called: str, *, aliases: bool = True) -> str:
        """A container of *service* in all its networks, with its secrets and configs in it; not started."""
        try:
            made = self.client.containers.create(request, name=called, platform=service.get("platform"))
        except Conflict as error:
            if error.hint is None:
                error.hint = f"another container is called {called}: `rm` it, or give the project another name (-p)"
            raise
        for warning in made.warnings:
            self._say(f"WARNING: {warning}")
        try:
            for network in requests.by_priority(service)[1:]:
                place = requests.endpoint(name, service["networks"][network], aliases=aliases)
                self.client.networks.connect(self.project.networks[network]["name"], made.id, place)
            if given := requests.contents(service, self.project):
                self.client.files.extract(made.id, "/", iter((tar_of(given),)))
        except BaseException:
            with contextlib.suppress(LabdockError):
                self.client.containers.remove(made.id, force=True, volumes=True)
            raise
        return made.id

    # Down.

    def stop(self, each: ContainerSummary, timeout: int | None = None) -> None:
        if each.state not in ("running", "paused", "restarting"):
            return
        self.client.containers.stop(each.id, timeout=timeout)
        self._say(f"Container {each.name} Stopped")

    def backwards(self, services: Sequence[str] = (), *, all: bool = True) -> list[ContainerSummary]:
        """The project's containers, those that need others first."""
        sequence = order(self.project.needs())
        rank = {name: index for index, name in enumerate(reversed(sequence))}
        found = self.containers(services, all=all)
        return sorted(found, key=lambda each: rank.get(each.labels.get(labels.SERVICE, ""), -1))

    def down(
        self, services: Sequence[str] = (), *, volumes: bool, orphans: bool, timeout: int | None, images: str | None
    ) -> None:
        """Take containers and networks away; *volumes*: volumes too; *images*: ``all`` or ``local`` (unnamed) ones."""
        self.check_names(services)
        known = {*self.project.services, *self.project.disabled}
        going = [
            each
            for each in [*self.backwards(services), *(() if services else self.containers(one_off=True))]
            if orphans or each.labels.get(labels.SERVICE) in known
        ]
        for each in going:
            self.stop(each, timeout)
            self.client.containers.remove(each.id, force=True, volumes=volumes)
            self._say(f"Container {each.name} Removed")
        if services:
            return
        mine = {"label": [f"{labels.PROJECT}={self.project.name}"]}
        for network in self.client.networks.list(mine):
            try:
                self.client.networks.remove(network.id)
                self._say(f"Network {network.name} Removed")
            except LabdockError as error:
                self._say(f"Network {network.name} is kept: {error.message}")
        for volume in self.client.volumes.list(mine) if volumes else ():
            self.client.volumes.remove(volume.name)
            self._say(f"Volume {volume.name} Removed")
        if images:
            self._remove_images(images)

    def _remove_images(self, which: str) -> None:
        for name, service in {**self.project.services, **self.project.disabled}.items():
            if which == "local" and "image" in service:
                continue
            image = requests.image_of(name, service, self.project)
            with contextlib.suppress(NoSuchImage):
                self.client.images.remove(image)
                self._say(f"Image {image} Removed")


def number_of(each: ContainerSummary) -> int:
    text = each.labels.get(labels.NUMBER, "")
    return int(text) if text.isdecimal() else 0


def keep_anonymous(request: Any, old: Container) -> Any:
    """*request* with the anonymous volumes of the container it replaces."""
    import msgspec

    host = request.host_config
    taken = {bind.split(":")[1] for bind in host.binds or ()} | {mount.target for mount in host.mounts or ()}
    named = {bind.split(":")[0] for bind in (old.raw.get("HostConfig") or {}).get("Binds") or ()}
    kept = [
        f"{mount['Name']}:{mount['Destination']}:rw"
        for mount in old.raw.get("Mounts") or ()
        if mount.get("Type") == "volume" and mount["Destination"] not in taken and mount["Name"] not in named
    ]
    if not kept:
        return request
    return msgspec.structs.replace(
        request, host_config=msgspec.structs.replace(host, binds=(*(host.binds or ()), *kept))
    )


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
