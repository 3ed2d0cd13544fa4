"""What containers use, as it changes: a connection for each that is watched, and one for the engine's events."""

from __future__ import annotations

import select
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from labdock.client.caller import Lines, decode
from labdock.errors import EngineUnreachable, NoSuchContainer

if TYPE_CHECKING:
    from labdock.client.containers import Containers
    from labdock.client.system import Listening, System

Wire = dict[str, Any]
#: What is listened for: by these a container comes, and by these it goes.
COME, GONE = ("start",), ("die", "destroy")


class Meters:
    """The containers called *names*; without names those that run, or *everything*, as they come and go.

    ``samples`` has each one's last sample, in the API's words, by name or id, in the order in which they were found.
    Nothing is asked again: the engine sends a sample each second, and says what comes and goes. Raises
    NoSuchContainer for a name that there is not, and EngineUnreachable when the engine goes.
    """

    def __init__(self, containers: Containers, system: System, names: Sequence[str], *, everything: bool) -> None:
        self._containers = containers
        self._named, self._everything = bool(names), everything
        self._samples: dict[str, Wire] = {}
        self._poll = select.poll()
        self._sources: dict[int, tuple[str, Lines]] = {}
        self._heard: Listening | None = None
        try:
            if names:
                for name in dict.fromkeys(names):
                    self._add(name)
                return
            come = (*COME, "create") if everything else COME
            # From before the list is read: what comes meanwhile is in one of them, or in both.
            self._heard = system.listen(filters={"type": ["container"], "event": [*come, *GONE]})
            self._poll.register(self._heard, select.POLLIN)
            self._hear()
            for container in containers.list(all=everything):
                self._add(container.id)
        except BaseException:
            self.close()
            raise

    @property
    def samples(self) -> dict[str, Wire]:
        return {key: self._samples[key] for key, _ in self._sources.values() if key in self._samples}

    @property
    def over(self) -> bool:
        """Nothing can come any more: those that were named are all removed."""
        return self._named and not self._sources

    def wait(self, seconds: float | None = None) -> bool:
        """Until something has come, *seconds* at most; whether it has."""
        found = self._poll.poll(None if seconds is None else max(0.0, seconds * 1000))
        for descriptor, _ in found:
            if descriptor in self._sources:
                self._read(descriptor)
            elif self._heard is not None:
                self._hear()
        return bool(found)

    def _add(self, key: str) -> None:
        if any(key == known for known, _ in self._sources.values()):
            return
        try:
            lines = self._containers.follow_stats(key)
        except NoSuchContainer:
            # Only who was asked for by name is missed.
            if self._named:
                raise
            return
        descriptor = lines.fileno()
        self._sources[descriptor] = key, lines
        self._poll.register(descriptor, select.POLLIN)
        self._read(descriptor)

    def _read(self, descriptor: int) -> None:
        key, lines = self._sources[descriptor]
        if taken := lines.take():
            self._samples[key] = decode(taken[-1], "stats")
        if lines.fileno() < 0:
            self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        key, lines = self._sources.pop(descriptor)
        self._poll.unregister(descriptor)
        self._samples.pop(key, None)
        lines.close()

    def _hear(self) -> None:
        assert self._heard is not None
        for event in self._heard.events():
            if event.action in GONE:
                if event.action == "die" and self._everything:
                    continue
                for descriptor in [d for d, (key, _) in self._sources.items() if key == event.actor.id]:
                    self._drop(descriptor)
            else:
                self._add(event.actor.id)
        if self._heard.fileno() < 0:
            raise EngineUnreachable("the engine has ended", hint="`labdock engine status` tells more")

    def close(self) -> None:
        for _, lines in self._sources.values():
            lines.close()
        self._sources.clear()
        if self._heard is not None:
            self._heard.close()

    def __enter__(self) -> Meters:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
