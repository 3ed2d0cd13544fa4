"""A pull, a push or a load as it looks: fed with progress lines, shown as text or as HTML. Pure; time is handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labdock.commands import units
from labdock.commands.results import printable

if TYPE_CHECKING:
    from labdock.client.progress import JobLine

KEPT_LINES = 100
#: Pictures show this many lines and parts; the rest is counted.
SHOWN = 12
#: A hostile stream may name parts for ever.
MOST_PARTS = 10_000
BAR = 24
#: Statuses that count bytes arriving or leaving, and bytes worked on afterwards (Docker's words).
MOVING = ("Downloading", "Pushing", "Loading layer", "Copying")
WORKING = ("Extracting", "Unpacking", "Compressing", "Verifying", "Verifying Checksum")
MOVED = ("Download complete", "Verifying Checksum", "Extracting", "Unpacking", "Pull complete", "Pushed")
DONE = ("Pull complete", "Already exists", "Pushed", "Layer already exists", "Loaded")


@dataclass(slots=True)
class Part:
    """A layer on its way. ``moved`` of ``size`` bytes have come or gone; ``current`` of ``total`` are the status's."""

    id: str
    status: str = ""
    current: int = 0
    total: int = 0
    moved: int = 0
    size: int = 0

    @property
    def is_done(self) -> bool:
        return self.status in DONE or self.status.startswith("Mounted from")

    @property
    def is_busy(self) -> bool:
        return self.total > 0 and not self.is_done

    def take(self, status: str, current: int, total: int) -> None:
        self.status, self.current, self.total = status, current, total
        if status in MOVING:
            self.moved, self.size = current, max(total, current, self.size)
        elif status in MOVED:
            self.size = max(self.size, total if status in WORKING else 0)
            self.moved = self.size


class TransferView:
    """The state of a job. *title* is ``Pulling busybox``; lines without an id are its log."""

    def __init__(self, title: str, now: float = 0.0) -> None:
        self.title = printable(title)
        self.parts: dict[str, Part] = {}
        self.log: deque[str] = deque(maxlen=KEPT_LINES)
        #: What is going on without being a layer's: a count of bytes, a wait. It is over with the next line.
        self.passing = ""
        self.state = "running"
        self._began = now
        self._ended = now

    def take(self, line: JobLine, now: float) -> str:
        """Take one line; what is new in words ("" for bytes alone), for a log without pictures."""
        self._ended = now
        status = printable((line.stream or line.status).rstrip("\n"))
        id = printable(line.id)
        if not id or status.startswith("Pulling from") or (id not in self.parts and len(self.parts) >= MOST_PARTS):
            text = f"{id}: {status}" if id else status
            self.passing = ""
            if line.detail is not None and line.detail.total:
                self.passing = f"{text} {amount(line.detail.current, line.detail.total)}"
                return self.passing
            if text:
                self.log.append(text)
            return text
        part = self.parts.setdefault(id, Part(id))
        before = part.status
        current, total = (line.detail.current, line.detail.total) if line.detail is not None else (0, 0)
        part.take(status, max(current, 0), max(total, 0))
        return f"{id}: {status}" if status != before else ""

    def end(self, state: str, now: float) -> None:
        """``done``, ``failed`` or ``interrupted``."""
        self.state, self._ended, self.passing = state, now, ""

    @property
    def is_empty(self) -> bool:
        return not self.parts and not self.log

    def headline(self, now: float) -> str:
        """One line about the whole: ``Pulling app · 12.3MB of 40MB · 8.1MB/s · 2 of 3 layers``."""
        moved, size = sum(part.moved for part in self.parts.values()), sum(part.size for part in self.parts.values())
        seconds = max((now if self.state == "running" else self._ended) - self._began, 0.0)
        words = [self.title if self.state in ("running", "done") else f"{self.title} {self.state}"]
        if size:
            words.append(units.size(moved, 3) if moved >= size else amount(moved, size, " of "))
            if moved < size and self.state == "running" and seconds >= 1:
                words.append(f"{units.size(moved / seconds, 3)}/s")
        if self.parts:
            done = sum(part.is_done for part in self.parts.values())
            counted = f"{len(self.parts)} layer{'s' if len(self.parts) != 1 else ''}"
            words.append(counted if done == len(self.parts) else f"{done} of {counted}")
        if self.state != "running" and seconds >= 0.1:
            words.append(f"{seconds:.1f} s")
        return " · ".join(words)

    def shown(self, limit: int) -> tuple[Sequence[Part], int]:
        """At most *limit* parts, those at work before those that wait before those that are done; and how many not."""
        parts = list(self.parts.values())
        if len(parts) <= limit:
            return parts, 0
        order = {part.id: number for number, part in enumerate(parts)}
        kept = sorted(parts, key=lambda part: (part.is_done, not part.is_busy, order[part.id]))[: max(limit - 1, 0)]
        return sorted(kept, key=lambda part: order[part.id]), len(parts) - len(kept)


def amount(current: int, total: int, between: str = "/") -> str:
    """``12.3MB/40MB``."""
    return f"{units.size(current, 3)}{between}{units.size(total, 3)}"


def bar(current: int, total: int, width: int = BAR) -> str:
    """``[=====>      ]``."""
    filled = width * min(current, total) // total if total > 0 else 0
    return f"[{('=' * filled + '>')[:width].ljust(width)}]"


def part_text(part: Part, width: int = 0) -> str:
    """``a1b2c3d4e5f6  Downloading  [=====>   ]  12.3MB/40MB``; *width* of the longest id."""
    text = f"{part.id.ljust(width)}  {part.status}"
    if part.is_busy:
        return f"{text.ljust(width + 20)}  {bar(part.current, part.total)}  {amount(part.current, part.total)}"
    count = part.size if part.is_done else part.current
    return f"{text.ljust(width + 20)}  {units.size(count, 3)}" if count else text


def live_lines(view: TransferView, now: float, limit: int) -> list[str]:
    """What a terminal shows of *view* while it runs, in at most *limit* lines."""
    parts, hidden = view.shown(max(limit - 1, 1))
    width = max((len(part.id) for part in parts), default=0)
    found = [part_text(part, width) for part in parts]
    if hidden:
        found.append(f"… and {hidden} more")
    found += [view.passing] if view.passing else []
    return [*found, view.headline(now)] if found or view.state == "running" else []


def as_text(view: TransferView, now: float) -> str:
    """The whole, without colour or control characters."""
    parts, hidden = view.shown(SHOWN)
    width = max((len(part.id) for part in parts), default=0)
    lines = [view.headline(now), *(f"  {part_text(part, width)}".rstrip() for part in parts)]
    lines += [f"  … and {hidden} more"] if hidden else []
    lines += [f"  {view.passing}"] if view.passing else []
    return "\n".join([*lines, *(f"  {line}" for line in list(view.log)[-SHOWN:])])


def as_html(view: TransferView, now: float) -> str:
    """The whole: a bar for each layer at work; folded when it is done, readable in a saved page without scripts."""
    from labdock.commands import html

    parts, hidden = view.shown(SHOWN)
    rows = [_part_html(part) for part in parts]
    if hidden:
        rows.append(("", f"… and {hidden} more", "", ""))
    body = html.table(("layer", "state", "", ""), rows) if rows else ""
    if view.passing:
        body += f"<div>{html.escape(view.passing)}</div>"
    if view.log:
        body += html.preformatted("\n".join(list(view.log)[-SHOWN:]))
    colours = {"done": html.GOOD, "failed": html.BAD, "interrupted": "currentColor"}
    opened = "" if view.state == "done" else " open"
    mark = f'<span style="color:{colours.get(view.state, html.BUSY)}">●</span>'
    return f"<details{opened}><summary>{mark} {html.escape(view.headline(now))}</summary>{body}</details>"


def _part_html(part: Part) -> tuple[str, str, str, str]:
    from labdock.commands import html

    if part.is_busy:
        meter = f'<progress value="{min(part.current, part.total)}" max="{part.total}"></progress>'
        return html.code(part.id), html.escape(part.status), meter, amount(part.current, part.total)
    count = part.size if part.is_done else part.current
    return html.code(part.id), html.escape(part.status), "", units.size(count, 3) if count else ""
