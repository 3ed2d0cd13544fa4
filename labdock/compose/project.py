"""A project carried out: its networks, volumes and containers made, kept, changed and taken away."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labdock.compose import labels, requests
from labdock.compose.alone import Turn
from labdock.compose.containers import LIVELY, Containers, number_of, service_of
from labdock.compose.crew import Crew
from labdock.compose.plan import order
from labdock.compose.readiness import NotReady, Readiness, TooLate
from labdock.compose.resources import Resources
from labdock.compose.settling import scale_of
from labdock.errors import Conflict, InvalidRequest, NoSuchImage

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.results import ContainerSummary
    from labdock.compose.document import Block
    from labdock.compose.loading import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How ``up`` goes about it. *scale*: containers by service. *deadline*: of waiting (``time.monotonic()``)."""

    force_recreate: bool = False
    no_recreate: bool = False
    no_start: bool = False
    no_deps: bool = False
    remove_orphans: bool = False
    scale: Mapping[str, int] = field(default_factory=dict)
    timeout: int | None = None
    renew: bool = False
    recreate_needs: bool = False
    deadline: float | None = None


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
        self.crew = Crew(say)
        self.members = Containers(client, project, self.crew, _failpoint)
        self.resources = Resources(client, project, self.crew.say)
        self.turn = Turn(client, project.name, self.crew.say)
        self._fetch = fetch

    # What is there.

    def containers(
        self, services: Sequence[str] = (), *, all: bool = True, one_off: bool = False
    ) -> list[ContainerSummary]:
        """The project's containers, by service and number."""
        return self.members.listing(services, all=all, one_off=one_off)

    def find(self, service: str, index: int = 0) -> str:
        """The id of a service's container (number *index*; 0: the first). Raises InvalidRequest."""
        self.check_names([service])
        return self.members.find(service, index)

    def orphans(self) -> list[ContainerSummary]:
        """Containers of services that the files no longer have."""
        known = {*self.project.services, *self.project.disabled}
        return [each for each in self.containers() if service_of(each) not in known]

    def check_names(self, services: Iterable[str]) -> None:
        """Raises InvalidRequest for a service that the files do not have."""
        from labdock.compose.readers import near

        for name in services:
            if name not in self.project.services and name not in self.project.disabled:
                raise InvalidRequest(f"no such service: {name}", hint=near(name, self.project.services))

    # Up.

    def up(self, services: Sequence[str] = (), ways: Ways | None = None) -> list[str]:
        """Make what is missing, change what differs, start it in order; the ids of the containers, in that order.

        Services that need nothing of each other go side by side; another `up` or `down` of the project comes after.
        Raises NotReady for a dependency that ended, failed or is unhealthy, TooLate at the deadline.
        """
        ways = ways or Ways()
        self.check_names([*services, *ways.scale])
        with self.turn.taken("up"):
            return self._up(services, ways)

    def _up(self, services: Sequence[str], ways: Ways) -> list[str]:
        wanted = services or tuple(self.project.services)
        needs = {} if ways.no_deps else self.project.needs()
        chosen = order({**dict.fromkeys(wanted, ()), **needs}, wanted)
        self._check_files(chosen)
        self._images(chosen)
        self.resources.make(chosen)
        self._settle_orphans(remove=ways.remove_orphans)
        round_ = Up(self, ways, set(wanted))
        self.crew.carry_out({name: needs.get(name, ()) for name in chosen}, round_.see_to, before=round_.wait_for_needs)
        return [id for name in chosen for id in round_.ids[name]]

    def prepare(self, name: str, needs: Sequence[str], ways: Ways) -> None:
        """All that a container of *name* takes to be made: *needs* running, images, networks, volumes."""
        with self.turn.taken("run"):
            if needs:
                self.up(needs, ways)
            self._check_files([name])
            self._images([name])
            self.resources.make([name])
            if needs:
                Up(self, ways).wait_for_needs(name)

    def _check_files(self, chosen: Sequence[str]) -> None:
        """Raises InvalidRequest when the file of a secret or config is missing, before anything is made."""
        for name in chosen:
            for kind in ("secrets", "configs"):
                for item in self.project.services[name].get(kind, ()):
                    path = getattr(self.project, kind)[item["source"]].get("file")
                    if path is not None and not os.path.exists(path):
                        what = kind.removesuffix("s")
                        raise InvalidRequest(f"{what} {item['source']!r} of service {name!r}: there is no file {path}")

    def _images(self, chosen: Sequence[str]) -> None:
        for name in chosen:
            service = self.project.services[name]
            image = requests.image_of(name, service, self.project)
            if self._fetch is None or (service.get("pull_policy") not in ("always", "build") and self.has_image(image)):
                continue
            self._fetch(name, service)

    def has_image(self, image: str) -> bool:
        try:
            self.client.images.inspect(image)
        except NoSuchImage:
            return False
        return True

    def _settle_orphans(self, *, remove: bool) -> None:
        found = self.orphans()
        if not remove:
            if found:
                names = ", ".join(each.name for each in found)
                self.crew.say(f"Found orphan containers ({names}) for this project; --remove-orphans removes them")
            return
        for each in found:
            self.members.remove(each)

    def wait_all(self, services: Sequence[str], deadline: float | None, seconds: float | None = None) -> None:
        """Until every container runs, and is healthy where that is checked. Raises NotReady, TooLate."""
        ids = [each.id for each in self.containers(services)]
        readiness = Readiness(self.client, self.crew.halt, deadline)
        try:
            # In a thread of the crew: lines and news are heard meanwhile.
            self.crew.carry_out({"": ()}, lambda _: readiness.wait(ids, "running_or_healthy"))
        except TooLate as error:
            raise TooLate(f"application not healthy after {seconds:g}s" if seconds else error.message) from error

    # Started, stopped, taken away.

    def start(self, services: Sequence[str] = (), *, deadline: float | None = None) -> None:
        """Start what is there, dependencies first and ready. Raises InvalidRequest when nothing is there."""
        found = self._by_service(services)
        if not found:
            raise InvalidRequest("there is nothing to start", hint="`compose up -d` makes the containers")
        round_ = Up(self, Ways(deadline=deadline))

        def act(name: str) -> None:
            for each in found[name]:
                if each.state not in LIVELY:
                    self.client.containers.start(each.id)
                    self.crew.say(f"Container {each.name} Started")

        needs = self.project.needs()
        self.crew.carry_out({name: needs.get(name, ()) for name in found}, act, before=round_.wait_for_needs)

    def stop(self, services: Sequence[str] = (), timeout: int | None = None, only: Iterable[str] | None = None) -> None:
        """Stop containers (with these ids *only*), those that need others first."""
        chosen = None if only is None else set(only)
        self.backwards(
            services, lambda each: self.members.stop(each, timeout) if chosen is None or each.id in chosen else None
        )

    def restart(self, services: Sequence[str] = (), timeout: int | None = None, *, no_deps: bool = False) -> None:
        """Restart what is there, dependencies first; and what says ``restart: true`` of one of *services*."""
        names = set(services)
        if services and not no_deps:
            for name in order(self.project.needs()):
                needs = self.project.services[name].get("depends_on", {})
                names |= {name} if any(how.get("restart") and other in names for other, how in needs.items()) else set()
        found = self._by_service(tuple(names))
        if not found:
            raise InvalidRequest("there is nothing to restart", hint="`compose up -d` makes the containers")

        def act(name: str) -> None:
            for each in found[name]:
                self.client.containers.restart(each.id, timeout=timeout)
                self.crew.say(f"Container {each.name} Restarted")

        needs = self.project.needs()
        self.crew.carry_out({name: needs.get(name, ()) for name in found}, act)

    def _by_service(self, services: Sequence[str]) -> dict[str, list[ContainerSummary]]:
        found: dict[str, list[ContainerSummary]] = {}
        for each in self.containers(services):
            found.setdefault(service_of(each), []).append(each)
        return found

    def backwards(
        self, services: Sequence[str], act: Callable[[ContainerSummary], None], *, one_off: bool | None = False
    ) -> int:
        """*act* on the project's containers side by side, those that need others first; how many there were."""
        needs = self.project.needs()
        found: dict[str, list[ContainerSummary]] = {}
        for each in self.members.listing(services, one_off=one_off):
            found.setdefault(service_of(each), []).append(each)
        after: dict[str, list[str]] = {name: [] for name in found}
        # What is between two of them may be left out: a stops before c when a needs b and b needs c.
        for name in found:
            for other in order(needs, [name]) if name in needs else ():
                if other != name and other in after:
                    after[other].append(name)
        pairs = {each.id: each for members in found.values() for each in members}
        waits = {
            each.id: [other.id for name in after[service_of(each)] for other in found[name]] for each in pairs.values()
        }
        self.crew.carry_out(waits, lambda id: act(pairs[id]))
        return len(pairs)

    def down(
        self, services: Sequence[str] = (), *, volumes: bool, orphans: bool, timeout: int | None, images: str | None
    ) -> None:
        """Take containers and networks away; *volumes*: volumes too; *images*: ``all`` or ``local`` (unnamed) ones."""
        self.check_names(services)
        with self.turn.taken("down"):
            self._down(services, volumes=volumes, orphans=orphans, timeout=timeout, images=images)

    def _down(
        self, services: Sequence[str], *, volumes: bool, orphans: bool, timeout: int | None, images: str | None
    ) -> None:
        known = {*self.project.services, *self.project.disabled}

        def act(each: ContainerSummary) -> None:
            if orphans or service_of(each) in known:
                self.members.stop(each, timeout)
                self.members.remove(each, volumes=volumes)

        done = self.backwards(services, act, one_off=False if services else None) > 0
        if services:
            return
        done = self.resources.remove(volumes=volumes) or done
        if images:
            done = self._remove_images(images) or done
        if not done:
            self.crew.say(f'Warning: No resource found to remove for project "{self.project.name}".')

    def _remove_images(self, which: str) -> bool:
        done = False
        for name, service in {**self.project.services, **self.project.disabled}.items():
            if which == "local" and "image" in service:
                continue
            image = requests.image_of(name, service, self.project)
            try:
                self.client.images.remove(image)
            except NoSuchImage:
                continue
            except Conflict:
                self.crew.say(f"Image {image} Resource is still in use")
            else:
                self.crew.say(f"Image {image} Removed")
            done = True
        return done


class Up:
    """One ``up``: what is done for a service, in threads side by side. ``ids`` has its containers."""

    def __init__(self, deployment: Deployment, ways: Ways, named: Collection[str] = ()) -> None:
        self._client = deployment.client
        self._project = deployment.project
        self._crew = deployment.crew
        self._members = deployment.members
        self._ways = ways
        self._named = named
        self._new: set[str] = set()
        self.ids: dict[str, list[str]] = {}

    def wait_for_needs(self, name: str) -> None:
        """Until all that *name* depends on is as it says. Raises NotReady in Docker Compose's words."""
        if self._ways.no_deps or self._ways.no_start:
            return
        readiness = Readiness(self._client, self._crew.halt, self._ways.deadline)
        for other, how in self._project.services[name].get("depends_on", {}).items():
            try:
                self._wait_for(name, other, how["condition"], readiness)
            except NotReady as error:
                if isinstance(error, TooLate) or how.get("required", True):
                    raise
                self._crew.say(f"note: {other}, which {name} can do without, is not ready: {error.message}")

    def _wait_for(self, name: str, other: str, condition: str, readiness: Readiness) -> None:
        if condition == "service_started":
            return
        ids = [each.id for each in self._members.listing([other])]
        if not ids:
            raise NotReady(f"{name} is missing dependency {other}", hint=f"`compose up {other}` makes its container")
        try:
            readiness.wait(ids, condition)
        except TooLate:
            raise
        except NotReady as error:
            words = "dependency failed to start: "
            if condition == "service_completed_successfully":
                words = f'service "{other}" didn\'t complete successfully: '
            raise NotReady(words + error.message, hint=error.hint) from error

    def see_to(self, name: str) -> None:
        """The service's containers as they should be."""
        service = self._project.services[name]
        count = self._ways.scale.get(name, scale_of(service))
        if count > 1 and "container_name" in service:
            raise InvalidRequest(f"service {name!r} has a container_name: there can be one only")
        there = self._members.put_right(name)
        wanted: dict[int, ContainerSummary | None] = {number_of(each): each for each in there[:count]}
        free = (n for n in range(1, len(there) + count + 1) if n not in {number_of(each) for each in there[:count]})
        wanted |= {next(free): None for _ in range(count - len(wanted))}
        for extra in there[count:]:
            self._members.stop(extra, self._ways.timeout)
            self._members.remove(extra)
        digest = labels.config_hash(service, self._project)
        image = self._client.images.inspect(requests.image_of(name, service, self._project)).id
        made: dict[int, str] = {}

        def act(number: int) -> None:
            made[number] = self._see_to_one(name, number, wanted[number], digest, image)

        if len(wanted) == 1:
            act(next(iter(wanted)))
        else:
            self._crew.carry_out(dict.fromkeys(wanted, ()), act)
        self.ids[name] = [made[number] for number in sorted(made)]
        if made:
            self._members.first[name] = self.ids[name][0]

    def _see_to_one(self, name: str, number: int, there: ContainerSummary | None, digest: str, image: str) -> str:
        ways, members = self._ways, self._members
        running = False
        if there is None:
            id = members.make(name, number, digest, image, after=None, renew=False)
            self._new.add(name)
        elif self._keeps(name, there, digest, image):
            id, running = there.id, there.state == "running"
            needs = self._project.services[name].get("depends_on", {})
            if running and any(how.get("restart") and other in self._new for other, how in needs.items()):
                self._client.containers.restart(id, timeout=ways.timeout)
                self._crew.say(f"Container {there.name} Restarted")
                return id
        else:
            id = members.replace(name, there, digest, image, timeout=ways.timeout, renew=ways.renew)
            self._new.add(name)
        called = members.name_of(name, number)
        if running or ways.no_start:
            self._crew.say(f"Container {called} {'Running' if running else 'Created'}")
            return id
        self._crew.halt.check()
        self._client.containers.start(id)
        self._crew.say(f"Container {called} Started")
        return id

    def _keeps(self, name: str, there: ContainerSummary, digest: str, image: str) -> bool:
        # What these need only when it differs, or when that is asked for.
        if self._ways.recreate_needs or (self._ways.force_recreate and name in self._named):
            return False
        if self._ways.no_recreate:
            return True
        same = there.labels.get(labels.CONFIG_HASH) == digest and there.image_id == image
        return same and self._members.lives_with(there, self._project.services[name])


def _failpoint(name: str) -> None:
    """Dies at *name* when the folder LABDOCK_FAILPOINTS says so (``compose:NAME``), once: for tests of what is left."""
    folder = os.environ.get("LABDOCK_FAILPOINTS")
    if folder and os.path.exists(path := os.path.join(folder, f"compose:{name}")):
        os.unlink(path)
        os.kill(os.getpid(), 9)


__all__ = ["Deployment", "NotReady", "TooLate", "Ways", "number_of", "service_of"]
