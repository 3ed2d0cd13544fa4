"""A build as it looks: fed with events, shown as lines of text or as HTML. Pure; time is handed in."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from labdock.commands import units
from labdock.errors import LabdockError
from labdock.schema import build
from labdock.schema.build import AnyBuildEvent

#: A step keeps this much of its output for showing; the whole goes by on a terminal.
KEPT_LINES = 500
KEPT_WIDTH = 1_000
#: What a folded log shows while the build runs; updates carry it each time.
SHOWN_LIVE = 40
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class BuildError(LabdockError):
    """A build that failed; ``failed`` is its last event. The view has shown where."""

    exit_code = 1

    def __init__(self, failed: build.BuildFailed) -> None:
        super().__init__(failed.message, hint=failed.hint)
        self.failed = failed


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
        self.notices: list[str] = []
        self.done: build.BuildDone | None = None
        self.failed: build.BuildFailed | None = None
        self.stopped = False

    @property
    def over(self) -> bool:
        return self.stopped or self.done is not None or self.failed is not None

    def apply(self, event: AnyBuildEvent, now: float) -> None:
        """Take one event; *now* in seconds of any steady clock."""
        match event:
            case build.StepStarted():
                self.steps.append(Step(event.step, event.total, event.text, event.line, now))
            case build.StepCached():
                if step := self._step(event.step):
                    step.state = "cached"
            case build.StepOutput():
                if step := self._step(event.step):
                    step.write(event.text)
            case build.StepDone():
                if step := self._step(event.step):
                    step.state = "cached" if step.state == "cached" else "done"
                    step.seconds, step.size = event.seconds or now - step.started, event.size
            case build.BuildNotice():
                self.notices.append(event.text)
            case build.BuildDone():
                self.done = event
            case build.BuildFailed():
                self._fail(event, now)
            case _:
                pass

    def _step(self, number: int) -> Step | None:
        return next((step for step in reversed(self.steps) if step.number == number), None)

    def _fail(self, event: build.BuildFailed, now: float) -> None:
        self.failed = event
        step = self._step(event.step)
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
            names = ", ".join(self.done.names) or units.short(self.done.image)
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

    def excerpt(self) -> list[tuple[int, str, int, int]]:
        """The failing lines of the source: (number as the user counts, text, first and end column to mark)."""
        if self.source is None or self.failed is None or not self.failed.line:
            return []
        lines = self.source.split("\n")
        first, last = self.failed.line, max(self.failed.end_line, self.failed.line)
        found = []
        for number in range(first, min(last, first + 5) + 1):
            if 1 <= number <= len(lines):
                text = lines[number - 1]
                start = self.failed.column if number == first and self.failed.column >= 0 else 0
                end = self.failed.end_column if number == last and self.failed.end_column > start else len(text)
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


def excerpt_text(view: BuildView) -> str:
    """The failing lines, marked underneath with ^^^; "" when they are unknown."""
    from labdock.commands.results import printable

    found = view.excerpt()
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
        if step.state in ("failed", "running", "stopped"):
            lines += [f"    {printable(line)}" for line in list(step.log)[-SHOWN_LIVE:]]
    lines += [f"note: {printable(notice)}" for notice in view.notices]
    lines += [part for part in (excerpt_text(view), printable(view.headline(now))) if part]
    return "\n".join(lines)


def as_html(view: BuildView, now: float) -> str:
    """The whole, folded: a running or failed step shows its log, the others on a click."""
    from labdock.commands import html

    colour = html.GOOD if view.done else html.BAD if view.failed else "currentColor" if view.stopped else html.BUSY
    rows = [_step_html(step, now, live=not view.over) for step in view.steps]
    rows += [f'<div style="{html.FAINT}">note: {html.escape(notice)}</div>' for notice in view.notices]
    rows += [_excerpt_html(view)] if view.excerpt() else []
    if view.done is not None:
        body = f'<details><summary style="{html.FAINT}">steps</summary>{"".join(rows)}</details>'
        rows = [body]
    return html.card(f"<b>{html.escape(view.headline(now))}</b>", rows, colour)


def _step_html(step: Step, now: float, *, live: bool) -> str:
    from labdock.commands import html

    colours = {"running": html.BUSY, "failed": html.BAD, "cached": "currentColor", "done": html.GOOD}
    note = html.badge(step_note(step, now), colours.get(step.state, "currentColor"))
    title = f'<span style="{html.MONO}">{html.escape(step_title(step))}</span> {note}'
    if not step.log:
        return f"<div>{title}</div>"
    shown = list(step.log)[-SHOWN_LIVE:] if live else list(step.log)
    hidden = step.dropped + len(step.log) - len(shown)
    more = f"… {hidden} lines before\n" if hidden else ""
    opened = " open" if step.state in ("running", "failed") else ""
    log = html.preformatted(more + "\n".join(shown))
    return f"<details{opened}><summary>{title}</summary>{log}</details>"


def _excerpt_html(view: BuildView) -> str:
    from labdock.commands import html

    lines = []
    for number, text, start, end in view.excerpt():
        marked = f'<span style="text-decoration:underline wavy {html.BAD}">{html.escape(text[start:end])}</span>'
        before = f'<span style="{html.FAINT}">line {number} │ </span>{html.escape(text[:start])}'
        lines.append(before + marked + html.escape(text[end:]))
    return f'<pre style="margin:4px 0;background:none;color:inherit;{html.MONO}">' + "\n".join(lines) + "</pre>"
