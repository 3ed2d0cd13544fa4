"""Whether containers are what others wait for: started, healthy, completed. Messages are Docker Compose's own."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from labdock.errors import EngineUnreachable, LabdockError, NoSuchContainer

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.results import Container
    from labdock.compose.crew import Halt

#: What may change the answer; the rest of a container's events (execs, most of all) does not.
TELLING = ("health_status", "die", "start", "destroy", "unpause", "update")


class NotReady(LabdockError):
    """A container ended, failed or did not become healthy."""

    exit_code = 1


class TooLate(NotReady):
    """It was not ready in time."""


Check = Callable[["Container"], bool]


class Readiness:
    """Waits for containers; each wait ends when it is called off (*halt*) and at *deadline* (``time.monotonic()``)."""

    def __init__(self, client: Client, halt: Halt, deadline: float | None = None) -> None:
        self._client = client
        self._halt = halt
        self._deadline = deadline

    def wait(self, ids: Sequence[str], condition: str) -> None:
        """Until each fulfils *condition* of depends_on (or ``running_or_healthy``).

        Raises NotReady as soon as one can't any more, TooLate at the deadline, Halted.
        """
        check = CHECKS[condition]
        left = self._not_yet(ids, check)
        if not left:
            return
        # Looked at once more after the events are being listened to: what happens in between is among them.
        heard = self._client.system.listen(since=f"{time.time() - 1:.3f}", filters={"container": list(left)})
        with contextlib.closing(heard):
            while left := self._not_yet(left, check):
                while not any(event.action.startswith(TELLING) for event in heard.events()):
                    self._until_heard(heard.fileno())

    def _not_yet(self, ids: Sequence[str], check: Check) -> list[str]:
        self._halt.check()
        return [id for id in ids if not check(self._look(id))]

    def _look(self, id: str) -> Container:
        try:
            return self._client.containers.inspect(id)
        except NoSuchContainer as error:
            raise NotReady(f"container {id[:12]} was removed meanwhile") from error

    def _until_heard(self, descriptor: int) -> None:
        if descriptor < 0:
            raise EngineUnreachable("the engine went away while a container was waited for")
        left = None if self._deadline is None else self._deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TooLate("timeout waiting for dependencies")
        select.select([descriptor, self._halt.fileno()], [], [], left)
        self._halt.check()


def _name(found: Container) -> str:
    return found.name.lstrip("/")


def _check_running(found: Container) -> None:
    if not found.state.running and found.state.status != "restarting":
        raise NotReady(
            f"container {_name(found)} exited ({found.state.exit_code})",
            hint=f"`logs {_name(found)}` shows its last words",
        )


def is_healthy(found: Container) -> bool:
    health = (found.raw.get("State") or {}).get("Health") or {}
    status = health.get("Status") or "none"
    _check_running(found)
    if status == "none":
        raise NotReady(f"container {_name(found)} has no healthcheck configured", hint="healthcheck: {test: …}")
    if status == "unhealthy":
        raise NotReady(
            f"container {_name(found)} is unhealthy", hint=f"`inspect {_name(found)}` has the output of its checks"
        )
    return bool(status == "healthy")


def is_running_or_healthy(found: Container) -> bool:
    """Healthy where that is checked."""
    status = ((found.raw.get("State") or {}).get("Health") or {}).get("Status") or "none"
    if status != "none":
        return is_healthy(found)
    _check_running(found)
    return found.state.running


def has_completed(found: Container) -> bool:
    if found.state.status not in ("exited", "dead"):
        return False
    if found.state.exit_code:
        raise NotReady(f"exit {found.state.exit_code}", hint=f"`logs {_name(found)}` shows why")
    return True


CHECKS: dict[str, Check] = {
    "service_started": lambda found: True,
    "service_healthy": is_healthy,
    "service_completed_successfully": has_completed,
    "running_or_healthy": is_running_or_healthy,
}
