"""The containers of a project: found, made, replaced.

A container that takes several requests to make (more networks, secrets in its files, another's place) has a name with
twelve digits before it until it is whole. By those digits the next ``up`` tells what a killed one left:

====================  =====================================================================================
twelve zeros          not whole, and in nobody's place: removed
its own id's          put aside by docker-compose 1.29: gets its name back, or goes when its successor is there
another's id, there   not whole, the other is still in its place: removed
another's id, gone    whole, since the other is removed only then: gets its name
====================  =====================================================================================
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labdock.compose import labels, requests
from labdock.compose.files import tar_of
from labdock.errors import Conflict, InvalidRequest, LabdockError, NoSuchContainer

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.results import Container, ContainerSummary
    from labdock.compose.crew import Crew
    from labdock.compose.document import Block
    from labdock.compose.loading import Project

#: States in which there is something to stop.
LIVELY = ("running", "paused", "restarting")
IN_THE_MAKING = "0" * 12
_SPARE = re.compile(r"([0-9a-f]{12})_(.+)\Z")
_ANONYMOUS = re.compile(r"[0-9a-f]{64}\Z")
#: A failpoint (tests): the command dies there.
Point = Callable[[str], None]


class Containers:
    """*crew* hears a line for each thing done, and calls off what is left."""

    def __init__(self, client: Client, project: Project, crew: Crew, reach: Point = lambda name: None) -> None:
        self._client = client
        self._project = project
        self._crew = crew
        self._reach = reach
        #: The first container of each service that was seen to, by service.
        self.first: dict[str, str] = {}

    # Found.

    def listing(
        self, services: Sequence[str] = (), *, all: bool = True, one_off: bool | None = False
    ) -> list[ContainerSummary]:
        """By service and number; *one_off* None: those of ``run`` too."""
        wanted = [f"{labels.PROJECT}={self._project.name}"]
        wanted += [] if one_off is None else [f"{labels.ONE_OFF}={one_off}"]
        found = self._client.containers.list(all=all, filters={"label": wanted})
        found = [each for each in found if not services or service_of(each) in services]
        return sorted(found, key=lambda each: (service_of(each), number_of(each), each.name))

    def find(self, service: str, index: int = 0) -> str:
        """The id of a service's container (number *index*; 0: the first). Raises InvalidRequest."""
        if not index and service in self.first:
            return self.first[service]
        found = [each for each in self.listing([service]) if not index or number_of(each) == index]
        if not found:
            raise InvalidRequest(
                f'service "{service}" is not running' + (f" container #{index}" if index else ""),
                hint=f"`compose up {service}`",
            )
        return found[0].id

    # Made.

    def name_of(self, service: str, number: int) -> str:
        own = self._project.services[service].get("container_name")
        return str(own or f"{self._project.name}-{service}-{number}")

    def make(
        self, service: str, number: int, digest: str, image: str, *, after: ContainerSummary | None, renew: bool
    ) -> str:
        """A container, not started; in the place of *after*, whose anonymous volumes it takes over unless *renew*."""
        known = labels.of_container(service, number, self._project, image=image, digest=digest)
        wanted = self._project.services[service]
        request = requests.request_for(service, wanted, self._project, labels=known, find=self.find)
        called = self.name_of(service, number)
        if after is None:
            return self.create(service, wanted, request, called)
        if not renew:
            declared = (self._client.images.inspect(image).raw.get("Config") or {}).get("Volumes") or {}
            request = keep_anonymous(request, self._client.containers.inspect(after.id), declared)
        spare = f"{after.id[:12]}_{called}"
        id = self.create(service, wanted, request, spare, whole=False)
        self._reach("made")
        return id

    def create(
        self, name: str, service: Block, request: Any, called: str, *, aliases: bool = True, whole: bool = True
    ) -> str:
        """A container of *service* in all its networks, with its secrets and configs in it; not started."""
        networks = requests.by_priority(service)[1:]
        given = requests.contents(service, self._project)
        links = requests.links_of(service, self.find)
        at_first = f"{IN_THE_MAKING}_{called}" if whole and (networks or given) else called
        self._crew.halt.check()
        id = self._create(service, request, at_first, called)
        self._reach("created")
        try:
            for network in networks:
                self._crew.halt.check()
                place = requests.endpoint(name, service["networks"][network], aliases=aliases, links=links)
                self._client.networks.connect(self._project.networks[network]["name"], id, place)
            if given:
                self._client.files.extract(id, "/", iter((tar_of(given),)))
            self._reach("filled")
            if at_first != called:
                self._crew.halt.check()
                self._client.containers.rename(id, called)
        except BaseException:
            with contextlib.suppress(LabdockError):
                self._client.containers.remove(id, force=True, volumes=True)
            raise
        return id

    def _create(self, service: Block, request: Any, at_first: str, called: str) -> str:
        try:
            made = self._client.containers.create(request, name=at_first, platform=service.get("platform"))
        except Conflict as error:
            if error.hint is None:
                error.hint = f"another container is called {called}: `rm` it, or give the project another name (-p)"
            raise
        for warning in made.warnings:
            self._crew.say(f"WARNING: {warning}")
        return made.id

    # Replaced.

    def replace(
        self, service: str, old: ContainerSummary, digest: str, image: str, *, timeout: int | None, renew: bool
    ) -> str:
        """A new container in the place of *old*, which runs until the new one is whole; not started."""
        number = number_of(old)
        id = self.make(service, number, digest, image, after=old, renew=renew)
        try:
            self._crew.halt.check()
            self.stop(old, timeout)
            self._reach("stopped")
            self._crew.halt.check()
        except BaseException:
            with contextlib.suppress(LabdockError):
                self._client.containers.remove(id, force=True)
            raise
        self._client.containers.remove(old.id, force=True)
        self._reach("removed")
        self._client.containers.rename(id, self.name_of(service, number))
        self._reach("renamed")
        self._crew.say(f"Container {self.name_of(service, number)} Recreated")
        return id

    def put_right(self, service: str) -> list[ContainerSummary]:
        """The service's containers, once what a killed ``up`` left half made is whole again or gone."""
        found = self.listing([service])
        spare = [(each, match) for each in found if (match := _SPARE.match(each.name))]
        if not spare:
            return found
        ids = [each.id for each in found]
        names = {each.name for each in found}
        for each, match in spare:
            digits, name = match[1], match[2]
            if name != self.name_of(service, number_of(each)):
                continue
            own = each.id.startswith(digits)
            others = [id for id in ids if id != each.id and id.startswith(digits)]
            if digits == IN_THE_MAKING or name in names or (others and not own):
                self._client.containers.remove(each.id, force=True, volumes=digits == IN_THE_MAKING)
                self._crew.say(f"Container {each.name} Removed (it was left half made)")
            else:
                self._client.containers.rename(each.id, name)
                names.add(name)
        return self.listing([service])

    # Stopped, removed.

    def stop(self, each: ContainerSummary, timeout: int | None = None) -> None:
        if each.state in LIVELY:
            with contextlib.suppress(NoSuchContainer):
                self._client.containers.stop(each.id, timeout=timeout)
            self._crew.say(f"Container {each.name} Stopped")

    def remove(self, each: ContainerSummary, *, volumes: bool = False) -> None:
        with contextlib.suppress(NoSuchContainer):
            self._client.containers.remove(each.id, force=True, volumes=volumes)
        self._crew.say(f"Container {each.name} Removed")

    def lives_with(self, each: ContainerSummary, service: Block) -> bool:
        """Whether *each* shares what *service* says, with the containers that are there now."""
        wanted = {
            key: str(service.get(key, ""))
            for key in ("network_mode", "pid", "ipc")
            if str(service.get(key, "")).startswith("service:")
        }
        sources = [text for text in service.get("volumes_from", ()) if not text.startswith("container:")]
        if not wanted and not sources:
            return True
        host: Mapping[str, Any] = self._client.containers.inspect(each.id).raw.get("HostConfig") or {}
        keys = {"network_mode": "NetworkMode", "pid": "PidMode", "ipc": "IpcMode"}
        for key, mode in wanted.items():
            if host.get(keys[key]) != f"container:{self.find(mode.removeprefix('service:'))}":
                return False
        there = [str(text).partition(":")[0] for text in host.get("VolumesFrom") or ()]
        return all(self.find(text.partition(":")[0]) in there for text in sources)


def service_of(each: ContainerSummary) -> str:
    return each.labels.get(labels.SERVICE, "")


def number_of(each: ContainerSummary) -> int:
    text = each.labels.get(labels.NUMBER, "")
    return int(text) if text.isdecimal() else 0


def keep_anonymous(request: Any, old: Container, declared: Collection[str]) -> Any:
    """*request* with the anonymous volumes of the container it replaces, as Compose does.

    Those of the service itself and those *declared* by the image; who took one over has it among its binds.
    """
    import msgspec

    host = request.host_config
    taken = {bind.split(":")[1] for bind in host.binds or ()} | {mount.target for mount in host.mounts or ()}
    taken |= set(host.tmpfs or ())
    wanted = {*(request.volumes or ()), *declared} - taken
    kept = [
        f"{mount['Name']}:{mount['Destination']}:rw"
        for mount in old.raw.get("Mounts") or ()
        if mount.get("Type") == "volume" and mount["Destination"] in wanted and _ANONYMOUS.match(mount["Name"])
    ]
    if not kept:
        return request
    return msgspec.structs.replace(
        request, host_config=msgspec.structs.replace(host, binds=(*(host.binds or ()), *kept))
    )
