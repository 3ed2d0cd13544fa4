"""Widgets against a scripted engine: what they show, what their buttons ask, that they end."""

from __future__ import annotations

import html.parser
import io
import json
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labdock.client import Client
from labdock.client.scripted import Asked, Reply, Script, ScriptedTransport
from labdock.commands import results
from labdock.commands.build_view import BuildView
from labdock.errors import Unsupported
from labdock.notebook import charts
from labdock.notebook.dashboard import Dashboard
from labdock.notebook.widgets import BuildTimeline, LayerExplorer, LogViewer, Panel, UsageCharts
from labdock.schema import build

ID = "ab" * 32
EVIL = "<img src=x onerror=alert(1)>"


class Tags(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


def frame(data: bytes) -> bytes:
    return b"\1\0\0\0" + len(data).to_bytes(4) + data


class Stage:
    """A scripted engine with one container, whose streams wait until they are let go."""

    def __init__(self) -> None:
        self.state = "running"
        self.held = threading.Event()
        self.script = Script()
        self.script.on("GET", "/containers/json", self._list)
        self.script.on("GET", "/events", Reply(lines=self._hold()))
        self.script.on("GET", f"/containers/{ID}/json", Reply(json={"Id": ID, "Config": {"Tty": False}}))
        self.script.on("POST", f"/containers/{ID}/(start|stop|restart)", self._act)
        self.script.on("DELETE", f"/containers/{ID}", Reply(204))

    def _list(self, _asked: Asked) -> Reply:
        summary = {"Id": ID, "Names": [f"/web{EVIL}"], "Image": EVIL, "State": self.state, "Status": "Up"}
        return Reply(json=[summary])

    def _act(self, asked: Asked) -> Reply:
        self.state = "exited" if asked.path.endswith("stop") else "running"
        return Reply(204)

    def _hold(self) -> Iterator[bytes]:
        self.held.wait(30)
        yield from ()

    def client(self) -> Client:
        return Client(ScriptedTransport(self.script))


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.held.set()


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def buttons(board: Dashboard) -> dict[str, Any]:
    row = board.widget.children[0].children[0]
    return {child.description: child for child in row.children[1:]}


def test_the_dashboards_buttons_do_what_they_say(stage: Stage) -> None:
    board = Dashboard(stage.client(), stage.client)
    assert list(buttons(board)) == ["Stop", "Restart", "Remove", "Look"]
    buttons(board)["Stop"].click()
    until(lambda: list(buttons(board)) == ["Start", "Remove", "Look"], "it was stopped")
    until(lambda: not buttons(board)["Start"].disabled, "the stop is over")
    buttons(board)["Start"].click()
    until(lambda: "Stop" in buttons(board), "it was started")
    board.close()


def test_a_long_stop_leaves_the_kernel_free_and_can_be_asked_for_once(stage: Stage) -> None:
    slow = threading.Event()

    def stop(_asked: Asked) -> Reply:
        assert slow.wait(20)
        stage.state = "exited"
        return Reply(204)

    stage.script.on("POST", f"/containers/{ID}/stop", stop)
    board = Dashboard(stage.client(), stage.client)
    first = buttons(board)["Stop"]
    first.click()
    assert [button.disabled for button in buttons(board).values()] == [True, True, True, False]
    first.click()
    slow.set()
    until(lambda: "Start" in buttons(board) and not buttons(board)["Start"].disabled, "it has stopped")
    assert len([asked for asked in stage.script.asked if asked.path.endswith("stop")]) == 1
    board.close()


def test_removing_asks_first(stage: Stage) -> None:
    board = Dashboard(stage.client(), stage.client)
    buttons(board)["Remove"].click()
    assert not any(asked.method == "DELETE" for asked in stage.script.asked)
    buttons(board)["Sure?"].click()
    until(lambda: any(asked.method == "DELETE" for asked in stage.script.asked), "it was removed")
    board.close()


def test_an_error_is_one_line_with_its_hint(stage: Stage) -> None:
    words = Reply(409, {"message": f"it is {EVIL}", "hint": f"do {EVIL}"})
    stage.script.on("POST", f"/containers/{ID}/stop", words)
    board = Dashboard(stage.client(), stage.client)
    buttons(board)["Stop"].click()
    until(lambda: "it is &lt;img" in board.widget.children[1].value, "the error is said")
    assert "do &lt;img" in board.widget.children[1].value
    board.close()


def test_hostile_names_are_text(stage: Stage) -> None:
    board = Dashboard(stage.client(), stage.client)
    shown = board.widget.children[0].children[0].children[0].value
    assert "img" not in Tags(shown).seen
    assert "&lt;img" in shown
    board.close()


def test_a_log_is_shown_searched_and_marked(stage: Stage) -> None:
    lines = [frame(b"one\ntwo "), frame("zw\xf6lf\r99%\rdone\n".encode()), frame(f"{EVIL} One\n".encode())]
    stage.script.on("GET", f"/containers/{ID}/logs", Reply(lines=lines))
    viewer = LogViewer(ID, stage.client)
    search, view = viewer.widget.children[0].children[0], viewer.widget.children[1]
    until(lambda: "&lt;img" in view.value, "the log is shown")
    assert "done" in view.value
    assert "99%" not in view.value
    search.value = "ONE"
    assert "<mark>one</mark>" in view.value
    assert "<mark>One</mark>" in view.value
    assert "done" not in view.value
    search.value = "<img"
    assert "<mark>&lt;img</mark>" in view.value
    assert Tags(view.value).seen <= {"div", "pre", "mark"}
    assert "1 of 3 lines" in viewer.widget.children[0].children[1].value
    viewer.close()


def test_what_is_used_is_drawn(stage: Stage) -> None:
    def sample(total: int, used: int, moved: int) -> bytes:
        cpu = {"cpu_usage": {"total_usage": used}, "system_cpu_usage": total, "online_cpus": 2}
        wire = {"cpu_stats": cpu, "memory_stats": {"usage": 3 << 20}, "networks": {"eth0": {"rx_bytes": moved}}}
        return json.dumps(wire).encode() + b"\n"

    lines = [sample(1000, 100, 0), sample(2000, 350, 2_000)]
    stage.script.on("GET", f"/containers/{ID}/stats", Reply(lines=lines))
    panel = UsageCharts(ID, stage.client)
    until(lambda: "50.0 % of one" in panel.widget.value, "the second sample is drawn")
    assert "3MiB" in panel.widget.value
    assert "2kB/s" in panel.widget.value
    assert Tags(panel.widget.value).seen <= {"svg", "text", "tspan", "line", "polyline"}
    panel.close()


def saved() -> bytes:
    def tar(*files: tuple[str, bytes]) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as made:
            for name, data in files:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                made.addfile(info, io.BytesIO(data))
        return out.getvalue()

    manifest = json.dumps([{"Layers": ["l0", "l1"]}]).encode()
    return tar(("l0", tar((EVIL, b"x" * 1000))), ("l1", tar((f".wh.{EVIL}", b""))), ("manifest.json", manifest))


def test_layers_are_explored(stage: Stage) -> None:
    stage.script.on("GET", "/images/get", Reply(body=saved()))
    history = [{"CreatedBy": f"RUN {EVIL}", "Size": 1}, {"CreatedBy": "FROM", "Size": 1000}]
    stage.script.on("GET", "/images/app/history", Reply(json=history))
    explorer = LayerExplorer("app", stage.client())
    assert explorer.wasted == 1000
    drawn, choice, files = explorer.widget.children
    assert "1kB in 2 layers, 1kB of them wasted" in drawn.value
    assert "img" not in Tags(drawn.value + files.value).seen
    choice.value = 1
    assert "removes 1" in files.value


def test_a_build_is_drawn_on_one_scale() -> None:
    view = BuildView("Building app")
    events: list[build.AnyBuildEvent] = []
    events += [
        build.StepStarted(step=1, total=2, text=f"RUN {EVIL}", line=1),
        build.StepStarted(step=2, total=2, text="RUN b", line=2),
        build.StepDone(step=1, state="s", seconds=3.0),
        build.StepDone(step=2, state="s", seconds=2.5),
        build.BuildDone(image="i", names=("app",)),
    ]
    for second, event in enumerate(events):
        view.apply(event, float(second))
    shown = BuildTimeline(view).widget.value
    assert shown.count("<rect") == 2
    assert "3.00 s" in shown
    assert "img" not in Tags(shown).seen


def test_charts_of_nothing_are_charts() -> None:
    assert "<svg" in charts.draw_line([], "a", "b")
    assert "<svg" in charts.draw_bars([], "a")


def test_closing_ends_every_thread(stage: Stage) -> None:
    stage.script.on("GET", f"/containers/{ID}/logs", Reply(lines=stage._hold()))
    board, viewer = Dashboard(stage.client(), stage.client), LogViewer(ID, stage.client)
    watches = [*board._watches, *viewer._watches]
    board.close()
    viewer.close()
    stage.held.set()
    for watch in watches:
        watch.join(20)
        assert not watch._thread.is_alive()


def test_a_result_without_a_widget_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "make_widget", None)
    with pytest.raises(Unsupported, match="a notebook's"):
        results.Text("x").widget()
    from labdock.notebook import make_widget

    monkeypatch.setattr(results, "make_widget", make_widget)
    with pytest.raises(Unsupported, match="no widget: Text"):
        results.Text("x").widget()


def test_a_widget_of_ipywidgets_7_is_shown() -> None:
    """Colab's: they have no bundle of their own."""

    class Old:
        model_id = "7" * 32

        def __repr__(self) -> str:
            return f"Old({'x' * 200})"

    shown = Panel(Old())._repr_mimebundle_()
    assert shown["application/vnd.jupyter.widget-view+json"]["model_id"] == "7" * 32
    assert shown["text/plain"].startswith("Old(xxx") and len(shown["text/plain"]) == 111
