"""Events of stages that are built side by side, put in the order of the steps, for clients that read one text. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from labdock.schema.build import (
    BuildDone,
    BuildEvent,
    BuildFailed,
    StepCached,
    StepDone,
    StepExplained,
    StepOutput,
    StepRunning,
    StepStarted,
)

#: Characters of output that are held back for a step whose turn has not come.
MOST_HELD = 1 << 20
_OF_STEPS = (StepStarted, StepCached, StepExplained, StepRunning, StepOutput, StepDone)


class StepOrder:
    """Holds events of later steps back until those before them are done."""

    def __init__(self) -> None:
        self._now = 1
        self._held: dict[int, list[BuildEvent]] = {}
        self._sizes: dict[int, int] = {}

    def sort(self, event: BuildEvent) -> Iterator[BuildEvent]:
        """What may be said now that *event* came."""
        if isinstance(event, (BuildDone, BuildFailed)):
            yield from self._flush()
            yield event
        elif not isinstance(event, _OF_STEPS) or event.step <= self._now:
            yield event
            if isinstance(event, StepDone) and event.step == self._now:
                self._now += 1
                yield from self._catch_up()
        else:
            self._hold(event.step, event)

    def _hold(self, step: int, event: BuildEvent) -> None:
        held = self._held.setdefault(step, [])
        if isinstance(event, StepOutput):
            size = self._sizes.get(step, 0) + len(event.text)
            if size > MOST_HELD:
                return
            self._sizes[step] = size
        held.append(event)

    def _catch_up(self) -> Iterator[BuildEvent]:
        while True:
            events = self._held.pop(self._now, ())
            yield from events
            if not events or not isinstance(events[-1], StepDone):
                return
            self._now += 1

    def _flush(self) -> Iterator[BuildEvent]:
        for step in sorted(self._held):
            yield from self._held[step]
        self._held.clear()
