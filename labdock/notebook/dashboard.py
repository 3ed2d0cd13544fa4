"""``labdock.dashboard()``: the engine's containers as they are, with buttons, logs, charts, explanations."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from labdock.commands import html, units
from labdock.commands.listing import container_cells, container_row
from labdock.commands.ports import find_links
from labdock.errors import LabdockError, NotFound
from labdock.notebook.widgets import LogViewer, Panel, UsageCharts, note, toolkit

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.results import ContainerSummary

#: Containers that get a row; the rest is counted.
MOST_ROWS = 50
#: Seconds that changes are collected before the next picture.
CALM = 0.1
#: Events that change nothing that is shown.
PASSING = ("exec_", "top", "resize", "attach", "health_status: running")


class Dashboard(Panel):
    """``refresh`` draws it anew; it does so by itself when the engine says that something happened."""

    def __init__(self, client: Client, connect: Callable[[], Client] | None = None) -> None:
        kit = toolkit()
        self._kit = kit
        self._client = client
        self._connect = connect
        self._cell = container_cells(find_links(os.environ))
        self._said = kit.HTML()
        self._rows = kit.VBox()
        self._look = kit.VBox()
        self._open: list[Panel] = []
        self._sure = ""
        self._busy: set[str] = set()
        self._drawing = threading.Lock()
        self._drawn = 0
        super().__init__(kit.VBox([self._rows, self._said, self._look]))
        self.refresh()
        self.watch(self._changes, lambda _change: self.refresh(), self._fail, connect)

    def _changes(self, client: Client) -> Iterable[object]:
        """Something for each moment in which containers changed, not for each change."""
        yield None
        for event in client.system.events(filters={"type": ["container"]}):
            # What happened before the last picture is in it.
            if event.time_ns <= self._drawn or event.action.startswith(PASSING):
                continue
            if self._ended.wait(CALM):
                return
            yield event

    def _fail(self, error: LabdockError) -> None:
        self._said.value = note(error)

    def refresh(self) -> None:
        """Ask the engine and draw."""
        with self._drawing:
            self._refresh()

    def _refresh(self) -> None:
        self._drawn = time.time_ns()
        try:
            found = self._client.containers.list(all=True)
        except LabdockError as error:
            self._fail(error)
            return
        rows = [self._row(container) for container in found[:MOST_ROWS]]
        if not rows:
            rows = [self._kit.HTML(f'<span style="{html.FAINT}">no containers: %container run -d IMAGE</span>')]
        if len(found) > MOST_ROWS:
            rows.append(self._kit.HTML(f'<span style="{html.FAINT}">and {len(found) - MOST_ROWS} more</span>'))
        self._rows.children = rows

    def _row(self, container: ContainerSummary) -> Any:
        kit, row = self._kit, container_row(container, whole=False)
        label = kit.HTML(
            f"<b>{html.escape(row['Names'])}</b> {self._cell('Status', row)} "
            f'<span style="{html.FAINT}">{html.escape(units.elide(row["Image"], 40))}</span> '
            f"{self._cell('Ports', row)}",
            layout=kit.Layout(flex="1 1 auto", min_width="20em"),
        )
        runs = container.state in ("running", "paused", "restarting")
        id, containers = container.id, self._client.containers
        actions = [("Stop", lambda: containers.stop(id)), ("Restart", lambda: containers.restart(id))]
        actions = actions if runs else [("Start", lambda: containers.start(id))]
        buttons = [self._button(text, self._acting(id, action)) for text, action in actions]
        buttons.append(self._button("Sure?" if self._sure == id else "Remove", lambda: self._remove(id)))
        for button in buttons:
            button.disabled = id in self._busy
        buttons.append(self._button("Look", lambda: self.look(id)))
        return kit.HBox([label, *buttons], layout=kit.Layout(flex_flow="row wrap"))

    def _button(self, text: str, press: Callable[[], None]) -> Any:
        made = self._kit.Button(description=text, layout=self._kit.Layout(width="6em"))
        made.on_click(lambda _button: press())
        return made

    def _acting(self, id: str, action: Callable[[], object]) -> Callable[[], None]:
        """A press: the action goes on beside the kernel's cells, for a program may take its time to end."""

        def act() -> None:
            try:
                action()
            except LabdockError as error:
                self._fail(error)
            self._busy.discard(id)
            self.refresh()

        def press() -> None:
            if id in self._busy:
                return
            self._busy.add(id)
            self._sure, self._said.value = "", ""
            self.refresh()
            threading.Thread(target=act, name="labdock-act", daemon=True).start()

        return press

    def _remove(self, id: str) -> None:
        """At the second press."""
        if self._sure != id:
            self._sure = id
            self.refresh()
            return
        self._acting(id, lambda: self._client.containers.remove(id, force=True, volumes=True))()

    def look(self, container: str) -> None:
        """Open its log, its charts and what was done for it, in the place of what was looked at before."""
        from labdock.commands.explanation import Explanation

        self._close_look()
        kit = self._kit
        parts: list[tuple[str, Any]] = []
        for title, kind in (("Log", LogViewer), ("Usage", UsageCharts)):
            panel = kind(container, self._connect)
            self._open.append(panel)
            parts.append((title, panel.widget))
        with contextlib.suppress(NotFound):  # Another engine than labdock's has no such answer.
            parts.append(("Explained", kit.HTML(Explanation(self._client.system.explain(container))._repr_html_())))
        tabs = kit.Tab([widget for _, widget in parts])
        for index, (title, _) in enumerate(parts):
            tabs.set_title(index, title)
        self._look.children = [tabs]

    def _close_look(self) -> None:
        for panel in self._open:
            panel.close()
        self._open.clear()
        self._look.children = []

    def close(self) -> None:
        self._close_look()
        super().close()
