"""A build in a terminal: each step's line, its output as it comes, and where it failed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from labdock.commands.build_view import BuildView, excerpt_text, notice_text, step_note, step_title
from labdock.commands.results import printable
from labdock.schema import build

if TYPE_CHECKING:
    from labdock.schema.build import AnyBuildEvent

DIM, PLAIN = "\x1b[2m", "\x1b[0m"


def show_build(
    view: BuildView,
    events: Iterator[AnyBuildEvent | None],
    say: Callable[[str], None],
    write: Callable[[str], None],
    *,
    colours: bool,
) -> None:
    """Feed *view* and print what changes; an interrupt stops the build."""

    def dim(text: str) -> str:
        return f"{DIM}{text}{PLAIN}" if colours else text

    at_line_start = True
    shown = 0  # The step whose title was printed last; independent stages take turns.
    with contextlib.closing(_closable(events)) as source:
        try:
            for event in source:
                if event is None:
                    continue
                view.apply(event, time.monotonic())
                number = getattr(event, "step", 0)
                if number not in (0, shown) and not isinstance(event, build.StepStarted | build.BuildFailed):
                    write("" if at_line_start else "\n")
                    at_line_start = True
                    say("".join(printable(step_title(step)) for step in (view.step(number),) if step))
                shown = number or shown
                if isinstance(event, build.StepOutput):
                    write(event.text)
                    at_line_start = event.text.endswith("\n")
                    continue
                if not at_line_start:
                    write("\n")
                    at_line_start = True
                if text := _line(view, event, dim):
                    say(text)
        except KeyboardInterrupt:
            view.stop()
            say(view.headline(time.monotonic()))
            raise


def _line(view: BuildView, event: AnyBuildEvent, dim: Callable[[str], str]) -> str:
    now = time.monotonic()
    step = view.step(getattr(event, "step", 0))
    match event:
        case build.StepStarted() if step:
            return printable(step_title(step))
        case build.StepCached():
            return dim("  cached")
        case build.StepDone() if step and step.state == "done":
            return dim(f"  {step_note(step, now)}")
        case build.StepExplained():
            return "\n".join(dim(f"  not cached: {printable(reason)}") for reason in event.reasons)
        case build.BuildNotice():
            return notice_text(view, event)
        case build.BuildDone():
            return printable(view.headline(now))
        case build.BuildFailed():
            return "\n".join(part for part in (excerpt_text(view), printable(view.headline(now))) if part)
    return ""


def _closable(events: Iterator[AnyBuildEvent | None]) -> Generator[AnyBuildEvent | None, None, None]:
    """A generator around *events*: closing it closes them, which ends the request and so the build."""
    try:
        yield from events
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()
