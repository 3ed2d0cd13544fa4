"""A build as it looks: fed with events, shown as lines of text or as HTML. Pure; time is handed in."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from labdock.commands import units
from labdock.commands.results import Result
from labdock.schema import build
from labdock.schema.build import AnyBuildEvent

#: A step keeps this much of its output for showing; the whole goes by on a terminal.
KEPT_LINES = 500
KEPT_WIDTH = 1_000
#: What a folded log shows while the build runs; updates carry it each time.
SHOWN_LIVE = 40
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class Place(Protocol):
    """Where in the source: lines count from 1 (0: unknown), columns from 0 (-1: unknown)."""

    @property
    def line(self) -> int: ...
    @property
    def end_line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def end_column(self) -> int: ...


class CheckReport(Result):
    """What ``--check`` found: ``warnings``. The exit code is 1 when there are some."""

    def __init__(self, warnings: list[build.BuildNotice], view: BuildView) -> None:
        self.warnings = tuple(warnings)
        self.exit_code = 1 if warnings else 0
        self._view = view

    def __str__(self) -> str:
        count = len(self.warnings)
        if not count:
            return "Check complete, no warnings found."
        return f"Check complete, {count} warning{'s have' if count > 1 else ' has'} been found!"

    def _repr_html_(self) -> str:
        from labdock.commands import html

        return f"<b>{html.escape(str(self))}</b>"


@dataclass(slots=True)
class Step:
    """One instruction. ``state``: running, cached, done, failed."""

    number: int
    total: int
    text: str
    line: int
    started: float
    state: str = "running"
    seconds: float = 0.0
    size: int = 0
    log: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    dropped: int = 0
    open_line: bool = False
    reasons: tuple[str, ...] = ()

    def write(self, text: str) -> None:
        """Add output; a carriage return starts its line again, as on a terminal."""
        for index, part in enumerate(text.split("\n")):
            if index:
                self.open_line = False
            if not part:
                continue
            if self.open_line:
                part = self.log.pop() + part
            elif len(self.log) == KEPT_LINES:
                self.dropped += 1
            self.log.append(_COLOURS.sub("", part).rstrip("\r").rpartition("\r")[2][:KEPT_WIDTH])
            self.open_line = True


class BuildView:
    """The state of a build. *source* is the Dockerfile when it is known, *first_line* the number of its first line."""

    def __init__(self, title: str, source: str | None = None, *, first_line: int = 1) -> None:
        self.title = title
        self.source = source
        self.first_line = first_line
        self.steps: list[Step] = []
        self.notices: list[build.BuildNotice] = []
        self.exported: list[build.BuildExported] = []
        self.done: build.BuildDone | None = None
        self.failed: build.BuildFailed | None = None
        self.stopped = False

    @property
    def warnings(self) -> list[build.BuildNotice]:
        """What build checks found."""
        return [notice for notice in self.notices if notice.check]

    @property
    def over(self) -> bool:
        return self.stopped or self.done is not None or self.failed is not None

    def apply(self, event: AnyBuildEvent, now: float) -> None:
        """Take one event; *now* in seconds of any steady clock."""
        match event:
            case build.StepStarted():
                self.steps.append(Step(event.step, event.total, event.text, event.line, now))
            case build.StepCached():
                if step := self.step(event.step):
                    step.state = "cached"
            case build.StepOutput():
                if step := self.step(event.step):
                    step.write(event.text)
            case build.StepDone():
                if step := self.step(event.step):
                    step.state = "cached" if step.state == "cached" else "done"
                    step.seconds, step.size = event.seconds or now - step.started, event.size
            case build.StepExplained():
                if step := self.step(event.step):
                    step.reasons = event.reasons
            case build.BuildNotice():
                self.notices.append(event)
            case build.BuildExported():
                self.exported.append(event)
            case build.BuildDone():
                self.done = event
            case build.BuildFailed():
                self._fail(event, now)
            case _:
                pass

    def step(self, number: int) -> Step | None:
        """The step *number*, if it has begun."""
        return next((step for step in reversed(self.steps) if step.number == number), None)

    def _fail(self, event: build.BuildFailed, now: float) -> None:
        self.failed = event
        step = self.step(event.step)
        if step is None:
            return
        step.state, step.seconds = "failed", now - step.started
        if not step.log:
            for line in event.tail:
                step.write(line + "\n")

    def stop(self) -> None:
        """The user interrupted it."""
        self.stopped = True
        for step in self.steps:
            if step.state == "running":
                step.state = "stopped"

    def headline(self, now: float) -> str:
        """One line about the whole."""
        if self.done is not None:
            names = ", ".join(self.done.names) or units.short(self.done.image) or "the outputs"
            cached = sum(step.state == "cached" for step in self.steps)
            note = f", {cached} cached" if cached else ""
            took = f" in {self.done.seconds:.1f} s" if self.done.seconds else ""
            return f"Built {names}{took}: {len(self.steps)} steps{note}"
        if self.failed is not None:
            where = f" at step {self.failed.step}" if self.failed.step else ""
            return f"{self.title} failed{where}"
        if self.stopped:
            return f"{self.title} interrupted; nothing of the unfinished step was kept"
        current = self.steps[-1] if self.steps else None
        return f"{self.title}: step {current.number} of {current.total}" if current else f"{self.title} …"

    def excerpt(self, place: Place | None = None) -> list[tuple[int, str, int, int]]:
        """The lines at *place* (the failure): (number as the user counts, text, first and end column to mark)."""
        place = place or self.failed
        if self.source is None or place is None or not place.line:
            return []
        lines = self.source.split("\n")
        first, last = place.line, max(place.end_line, place.line)
        found = []
        for number in range(first, min(last, first + 5) + 1):
            if 1 <= number <= len(lines):
                text = lines[number - 1]
                start = place.column if number == first and place.column >= 0 else 0
                end = place.end_column if number == last and place.end_column > start else len(text)
                start = min(max(start, len(text) - len(text.lstrip())), len(text))
                found.append((number + self.first_line - 1, text, start, min(end, len(text))))
        return found


def step_title(step: Step) -> str:
    return f"[{step.number}/{step.total}] {step.text}"


def step_note(step: Step, now: float) -> str:
    """``cached``, ``1.2 s · 4.3MB``."""
    if step.state == "cached":
        return "cached"
    if step.state in ("stopped", "failed"):
        return step.state
    seconds = step.seconds if step.state == "done" else now - step.started
    return f"{seconds:.1f} s" + (f" · {units.size(step.size, 3)}" if step.size else "")


def notice_title(view: BuildView, notice: build.BuildNotice) -> str:
    """``StageNameCasing: Stage name 'A' should be lowercase (line 3)``."""
    text = notice.text
    if notice.check and not text.startswith(notice.check):
        text = f"{notice.check}: {text}"
    return f"{text} (line {notice.line + view.first_line - 1})" if notice.check and notice.line else text


def notice_text(view: BuildView, notice: build.BuildNotice) -> str:
    """A notice's line; a check's with the place marked."""
    from labdock.commands.results import printable

    kind = "warning" if notice.check else "note"
    title = f"{kind}: {printable(notice_title(view, notice))}"
    marked = excerpt_text(view, notice) if notice.check else ""
    return f"{title}\n{marked}" if marked else title


def excerpt_text(view: BuildView, place: Place | None = None) -> str:
    """The lines at *place* (the failure), marked underneath with ^^^; "" when they are unknown."""
    from labdock.commands.results import printable

    found = view.excerpt(place)
    width = max((len(str(number)) for number, *_ in found), default=0)
    lines = []
    for number, text, start, end in found:
        lines.append(f"  {number:>{width}} | {printable(text)}")
        lines.append(f"  {'':>{width}} | {' ' * start}{'^' * max(end - start, 1)}")
    return "\n".join(lines)


def as_text(view: BuildView, now: float) -> str:
    """The whole, without colour or control characters."""
    from labdock.commands.results import printable

    lines = []
    for step in view.steps:
        lines.append(f"{printable(step_title(step))}  ({step_note(step, now)})")
        lines += [f"    not cached: {printable(reason)}" for reason in step.reasons]
        if step.state in ("failed", "running", "stopped"):
            lines += [f"    {printable(line)}" for line in list(step.log)[-SHOWN_LIVE:]]
    lines += [notice_text(view, notice) for notice in view.notices]
    lines += [part for part in (excerpt_text(view), printable(view.headline(now))) if part]
    return "\n".join(lines)


def as_html(view: BuildView, now: float) -> str:
    """The whole, folded: a running or failed step shows its log, the others on a click."""
    from labdock.commands import html

    colour = html.GOOD if view.done else html.BAD if view.failed else "currentColor" if view.stopped else html.BUSY
    rows = [_step_html(step, now, live=not view.over) for step in view.steps]
    rows += [_notice_html(view, notice) for notice in view.notices]
    rows += [_excerpt_html(view)] if view.excerpt() else []
    if view.done is not None:
        body = f'<details><summary style="{html.FAINT}">steps</summary>{"".join(rows)}</details>'
        warned = [_notice_html(view, notice) for notice in view.warnings]
        rows = [*warned, body]
    return html.card(f"<b>{html.escape(view.headline(now))}</b>", rows, colour)


def _step_html(step: Step, now: float, *, live: bool) -> str:
    from labdock.commands import html

    colours = {"running": html.BUSY, "failed": html.BAD, "cached": "currentColor", "done": html.GOOD}
    note = html.badge(step_note(step, now), colours.get(step.state, "currentColor"))
    title = f'<span style="{html.MONO}">{html.escape(step_title(step))}</span> {note}'
    why = "".join(f'<div style="{html.FAINT}">not cached: {html.escape(reason)}</div>' for reason in step.reasons)
    if not step.log:
        return f"<div>{title}</div>{why}"
    shown = list(step.log)[-SHOWN_LIVE:] if live else list(step.log)
    hidden = step.dropped + len(step.log) - len(shown)
    more = f"… {hidden} lines before\n" if hidden else ""
    opened = " open" if step.state in ("running", "failed") else ""
    log = html.preformatted(more + "\n".join(shown))
    return f"<details{opened}><summary>{title}</summary>{log}</details>{why}"


def _notice_html(view: BuildView, notice: build.BuildNotice) -> str:
    from labdock.commands import html

    kind = html.badge("warning", html.BUSY) if notice.check else "note:"
    title = f'<div style="{html.FAINT}">{kind} {html.escape(notice_title(view, notice))}</div>'
    return title + (_excerpt_html(view, notice) if notice.check and view.excerpt(notice) else "")


def _excerpt_html(view: BuildView, place: Place | None = None) -> str:
    from labdock.commands import html

    colour = html.BAD if place is None else html.BUSY
    lines = []
    for number, text, start, end in view.excerpt(place):
        marked = f'<span style="text-decoration:underline wavy {colour}">{html.escape(text[start:end])}</span>'
        before = f'<span style="{html.FAINT}">line {number} │ </span>{html.escape(text[:start])}'
        lines.append(before + marked + html.escape(text[end:]))
    return f'<pre style="margin:4px 0;background:none;color:inherit;{html.MONO}">' + "\n".join(lines) + "</pre>"
