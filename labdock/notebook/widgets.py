"""Widgets on request: ``labdock.dashboard()`` and a result's ``.widget()``. Core ipywidgets only.

They live as long as the kernel does; what is to be read in a saved notebook are the results themselves. Everything
that a widget follows ends when it is closed.
"""

from __future__ import annotations

import codecs
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from labdock.commands import html, units
from labdock.errors import LabdockError, Unsupported
from labdock.notebook import charts
from labdock.notebook.watching import Watch

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.layers import LayerReport
    from labdock.commands.build_view import BuildView

#: Lines that a log viewer keeps, and those it shows; characters of a line.
KEPT_LINES, SHOWN_LINES, WIDE = 5_000, 300, 2_000
#: Seconds between two pictures.
INTERVAL = 0.1


def toolkit() -> Any:
    """The module ipywidgets. Raises Unsupported without it."""
    try:
        import ipywidgets
    except ImportError as error:
        raise Unsupported(
            "widgets need ipywidgets, which is not installed here", hint="pip install 'labdock[notebook]'"
        ) from error
    return ipywidgets


def note(error: LabdockError) -> str:
    """An error in a widget: one line, and the hint."""
    hint = f' <span style="{html.FAINT}">{html.escape(error.hint)}</span>' if error.hint else ""
    return f'<span style="color:{html.BAD}">{html.escape(error.message)}</span>{hint}'


class Panel:
    """Base: ``widget`` is what IPython shows; ``close`` ends what is followed."""

    def __init__(self, widget: Any) -> None:
        self.widget = widget
        self._watches: list[Watch] = []
        self._ended = threading.Event()

    def watch(
        self,
        follow: Callable[[Client], Iterable[Any]],
        see: Callable[[Any], None],
        failed: Callable[[LabdockError], None],
        client: Callable[[], Client] | None,
    ) -> Watch:
        made = Watch(follow, see, failed, client)
        self._watches.append(made)
        return made

    def close(self) -> None:
        """End it; what was shown stays as it was."""
        self._ended.set()
        for watch in self._watches:
            watch.stop()
        self._watches.clear()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        make = getattr(self.widget, "_repr_mimebundle_", None)
        if make is not None:
            return make(**options)
        # quirk: Colab has ipywidgets 7, whose widgets display themselves and have no bundle.
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        text = repr(self.widget)
        text = f"{text[:110]}…" if len(text) > 110 else text
        return {"text/plain": text, "application/vnd.jupyter.widget-view+json": view}


class LogViewer(Panel):
    """A container's log as it grows, with a search: only lines with the words, the words marked."""

    def __init__(self, container: str, client: Callable[[], Client] | None = None) -> None:
        kit = toolkit()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._open = {"stdout": "", "stderr": ""}
        make = codecs.getincrementaldecoder("utf-8")
        self._decoders = {name: make("replace") for name in self._open}
        self._search = kit.Text(placeholder="search the log", layout=kit.Layout(width="20em"))
        self._view = kit.HTML()
        self._state = kit.HTML()
        super().__init__(kit.VBox([kit.HBox([self._search, self._state]), self._view]))
        self._search.observe(lambda _change: self.draw(), "value")
        self.watch(lambda client: _batches(client, container), self.add, self._fail, client)

    def _fail(self, error: LabdockError) -> None:
        self._state.value = note(error)

    def add(self, parts: Iterable[tuple[str, bytes]]) -> None:
        for stream, data in parts:
            *whole, self._open[stream] = (self._open[stream] + self._decoders[stream].decode(data)).split("\n")
            self._lines += (line.rpartition("\r")[2][:WIDE] if "\r" in line.rstrip("\r") else line for line in whole)
            self._open[stream] = self._open[stream][-WIDE:]
        self.draw()

    def draw(self) -> None:
        wanted = self._search.value
        lines = [line for line in (*self._lines, *filter(None, self._open.values())) if wanted.lower() in line.lower()]
        shown = "\n".join(_marked(line, wanted) for line in lines[-SHOWN_LINES:])
        # Turned round, a box that scrolls stays at its end, where the newest line is.
        self._view.value = (
            '<div style="display:flex;flex-direction:column-reverse;max-height:24em;overflow:auto">'
            f'<pre style="margin:2px 0;white-space:pre-wrap;line-height:1.3;{html.MONO}">{shown}</pre></div>'
        )
        said = f"{len(lines)} of {len(self._lines)} lines" if wanted else f"{len(self._lines)} lines"
        self._state.value = f'<span style="{html.FAINT}">{said}</span>'


def _batches(client: Client, container: str) -> Iterable[list[tuple[str, bytes]]]:
    """The log in parts; what comes quickly comes together."""
    last, waiting = 0.0, list[tuple[str, bytes]]()
    with client.containers.logs(container, follow=True, tail=str(KEPT_LINES)) as output:
        for stream, data in output.ticks(INTERVAL):
            if data:
                waiting.append((stream, data))
            if waiting and time.monotonic() - last >= INTERVAL:
                yield waiting
                last, waiting = time.monotonic(), []
    if waiting:
        yield waiting


def _marked(line: str, wanted: str) -> str:
    """*line* as HTML with *wanted* marked, wherever it is."""
    if not wanted:
        return html.escape(line)
    parts, rest, low = [], line, wanted.lower()
    while (place := rest.lower().find(low)) >= 0:
        parts.append(f"{html.escape(rest[:place])}<mark>{html.escape(rest[place : place + len(wanted)])}</mark>")
        rest = rest[place + len(wanted) :]
    return "".join(parts) + html.escape(rest)


class UsageCharts(Panel):
    """What a container uses, a minute back: processors, memory, network."""

    def __init__(self, container: str, client: Callable[[], Client] | None = None) -> None:
        kit = toolkit()
        self._view = kit.HTML()
        super().__init__(self._view)
        self._before: dict[str, Any] | None = None
        self._series: dict[str, deque[float]] = {name: deque(maxlen=60) for name in ("cpu", "memory", "net")}
        self.watch(lambda client: client.containers.watch_stats(container), self.add, self._fail, client)

    def _fail(self, error: LabdockError) -> None:
        self._view.value = note(error)

    def add(self, sample: dict[str, Any]) -> None:
        from labdock.commands.usage import share_of

        memory = sample.get("memory_stats") or {}
        used = memory.get("usage", 0) - (memory.get("stats") or {}).get("inactive_file", 0)
        moved = _moved(sample) - _moved(self._before) if self._before else 0
        share = share_of(sample, self._before)
        self._before = sample
        for name, value in (("cpu", share), ("memory", used), ("net", max(moved, 0))):
            self._series[name].append(value)

        def binary(top: float) -> str:
            return units.binary_size(round(top))

        def rate(top: float) -> str:
            return f"{units.size(round(top), 3)}/s"

        self._view.value = (
            charts.draw_line(
                self._series["cpu"], "processors", f"{share:.1f} % of one", most=10.0, words="{:.0f} %".format
            )
            + charts.draw_line(self._series["memory"], "memory", units.binary_size(used), most=1 << 20, words=binary)
            + charts.draw_line(
                self._series["net"], "network", f"{units.size(max(moved, 0), 3)}/s", most=1_000, words=rate
            )
        )


def _moved(sample: dict[str, Any]) -> int:
    return sum(each.get("rx_bytes", 0) + each.get("tx_bytes", 0) for each in (sample.get("networks") or {}).values())


class LayerExplorer(Panel):
    """What each layer of an image adds, and the bytes that later layers hide. Reads the whole image once."""

    def __init__(self, image: str, client: Client) -> None:
        from labdock.client.layers import explore

        kit = toolkit()
        self.reports: list[LayerReport] = explore(client.images.save([image]))
        made = [layer for layer in reversed(client.images.history(image)) if layer.size]
        # A layer without a size in the history has none here either, unless it is empty on both sides.
        words = [layer.created_by for layer in made] if len(made) == len(self.reports) else [""] * len(self.reports)
        self._view = kit.HTML(self._draw(words))
        self._files = kit.HTML()
        names = [(f"layer {number + 1}: {units.elide(text, 60)}", number) for number, text in enumerate(words)]
        self._choice = kit.Dropdown(options=names, description="files of", layout=kit.Layout(width="40em"))
        self._choice.observe(lambda change: self._show(change["new"]), "value")
        if names:
            self._show(0)
        super().__init__(kit.VBox([self._view, self._choice, self._files]))

    @property
    def wasted(self) -> int:
        """Bytes that are carried about and never seen."""
        return sum(report.wasted for report in self.reports)

    def _draw(self, words: list[str]) -> str:
        total, bars, place = sum(report.size for report in self.reports), [], 0
        for number, report in enumerate(self.reports):
            waste = f", {units.size(report.wasted, 3)} wasted" if report.wasted else ""
            files = f"{report.files} file{'' if report.files == 1 else 's'}"
            said = f"{units.size(report.size, 3)}, {files}{waste}"
            kind = "wasted" if report.wasted * 2 > report.size else "done"
            bars.append(charts.Bar(f"{number + 1} {units.elide(words[number], 40)}", place, report.size, kind, said))
            place += report.size
        head = f"{units.size(total, 3)} in {len(self.reports)} layers, {units.size(self.wasted, 3)} of them wasted"
        return f"<div><b>{head}</b></div>" + charts.draw_bars(bars, head, total=total)

    def _show(self, number: int) -> None:
        report = self.reports[number]
        rows = [[html.code(path), units.size(size, 3)] for path, size in report.largest]
        removed = f" It removes {report.removed} of the layers below." if report.removed else ""
        self._files.value = html.table(["File", "Size"], rows) + f'<span style="{html.FAINT}">{removed}</span>'


class BuildTimeline(Panel):
    """A build's steps on one scale of time; those of independent stages lie beside each other."""

    def __init__(self, view: BuildView) -> None:
        kit = toolkit()
        first = min((step.started for step in view.steps), default=0.0)
        bars = [
            charts.Bar(
                f"{step.number} {units.elide(step.text, 50)}",
                step.started - first,
                step.seconds,
                step.state,
                "cached" if step.state == "cached" else f"{step.seconds:.2f} s",
            )
            for step in view.steps
        ]
        head = escape(view.headline(first))
        super().__init__(kit.HTML(f"<div><b>{head}</b></div>{charts.draw_bars(bars, view.title)}"))
