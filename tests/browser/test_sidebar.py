"""The side bar shows what happens in the engine, whoever makes it happen, and acts on it by mouse and keyboard."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.browser.pages import LabPage
from tests.browser.panels import Panel
from tests.browser.servers import LabServer
from tests.system.conftest import EngineUnderTest, wait_until

pytestmark = pytest.mark.browser

SLEEP = ("busybox", "sleep", "1000")
#: What a busy machine may take, in seconds; on an idle one it is some 50 ms.
LATE = 5.0


def start(engine: EngineUnderTest, name: str, *options: str) -> str:
    return engine.docker("run", "-d", "--stop-signal", "KILL", "--name", name, *options, *SLEEP)


def state(engine: EngineUnderTest, name: str) -> str:
    return engine.docker("inspect", "-f", "{{.State.Status}}", name, check=False)


def test_what_the_docker_command_does_is_seen_when_it_happens(
    lab: LabPage, engine: EngineUnderTest, record_property: Callable[[str, object], None]
) -> None:
    panel = Panel(lab).live()
    panel.watch("web")
    happened: dict[str, float] = {}
    client = engine.client()
    events = client.events(decode=True, filters={"container": "web"})

    def listen() -> None:
        for event in events:
            happened.setdefault(event["Action"], event["timeNano"] / 1e9)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    id = start(engine, "web")
    panel.shows(id, "running")
    engine.docker("pause", "web")
    panel.shows(id, "paused")
    engine.docker("unpause", "web")
    engine.docker("stop", "web")
    panel.shows(id, "exited")
    wait_until(lambda: {"start", "pause", "die"} <= set(happened), "the engine's events")
    events.close()
    listener.join(10)
    client.close()
    seen = panel.seen()
    late = {
        state: seen[state] - happened[action]
        for state, action in (("running", "start"), ("paused", "pause"), ("exited", "die"))
    }
    record_property("milliseconds", {state: round(seconds * 1000) for state, seconds in late.items()})
    assert max(late.values()) < LATE, late
    engine.docker("rm", "web")
    panel.gone(id)


def test_names_labels_and_logs_never_become_markup(lab: LabPage, engine: EngineUnderTest) -> None:
    lab.page.on("dialog", lambda dialog: lab.errors.append(f"dialog: {dialog.message}"))
    hostile = "<img src=x onerror=alert(1)>"
    id = start(engine, "hostile", "--label", f"com.docker.compose.project={hostile}", "--label", f"note={hostile}")
    panel = Panel(lab)
    panel.shows(id, "running")
    assert panel.widget.locator("img[src=x]").count() == 0


def test_containers_are_found_by_the_filter(lab: LabPage, engine: EngineUnderTest) -> None:
    one, other = start(engine, "apple"), start(engine, "pear")
    panel = Panel(lab)
    panel.shows(one, "running")
    panel.shows(other, "running")
    panel.filter("app")
    panel.gone(other)
    assert panel.row(one).count() == 1
    panel.filter("")
    panel.shows(other, "running")


@pytest.mark.parametrize(
    ("command", "before", "after"),
    [
        ("stop", (), "exited"),
        ("restart", (), "running"),
        ("pause", (), "paused"),
        ("unpause", ("pause",), "running"),
        ("kill", (), "exited"),
        ("start", ("stop",), "running"),
    ],
)
def test_a_command_acts_on_the_container(
    lab: LabPage, engine: EngineUnderTest, command: str, before: tuple[str, ...], after: str
) -> None:
    id = start(engine, "web")
    for verb in before:
        engine.docker(verb, "web")
    began = engine.docker("inspect", "-f", "{{.State.StartedAt}}", "web")
    panel = Panel(lab)
    panel.row(id).wait_for()
    lab.begin(f"labdock:{command}", id=id)
    panel.shows(id, after)
    wait_until(lambda: state(engine, "web") == after, f"{command} the engine says {after}")
    if command in ("restart", "start"):
        wait_until(lambda: engine.docker("inspect", "-f", "{{.State.StartedAt}}", "web") != began, "it began anew")


def test_removing_asks_first_and_no_is_no(lab: LabPage, engine: EngineUnderTest) -> None:
    id = start(engine, "web")
    panel = Panel(lab)
    panel.shows(id, "running").click()
    panel.row(id).press("Delete")
    lab.dialog().locator(".jp-mod-reject").click()
    lab.find(".jp-Dialog").wait_for(state="detached")
    assert state(engine, "web") == "running"
    panel.row(id).press("Delete")
    lab.accept()
    panel.gone(id)
    assert state(engine, "web") == ""


def test_everything_is_reached_by_the_keyboard(lab: LabPage, engine: EngineUnderTest) -> None:
    ids = [start(engine, name) for name in ("apple", "pear")]
    panel = Panel(lab)
    for id in ids:
        panel.shows(id, "running")
    panel.widget.locator('input[type="search"]').focus()
    for _ in range(20):
        lab.page.keyboard.press("Tab")
        if lab.page.evaluate("document.activeElement.closest('[role=tree], [role=treeitem]') !== null"):
            break
    assert lab.page.evaluate("document.activeElement.closest('#labdock-panel [role=tree]') !== null")
    reached = set()
    for _ in range(12):
        reached.add(focused(lab))
        lab.page.keyboard.press("ArrowDown")
    assert set(ids) <= reached
    # The menu opens by its key, and is left by Escape.
    lab.page.keyboard.press("Home")
    for _ in range(20):
        if focused(lab) in ids:
            break
        lab.page.keyboard.press("ArrowDown")
    assert focused(lab) in ids
    lab.page.keyboard.press("Shift+F10")
    lab.find(".lm-Menu").wait_for()
    lab.page.keyboard.press("Escape")
    lab.find(".lm-Menu").wait_for(state="detached")


def focused(lab: LabPage) -> str | None:
    """The id of the row that has the focus, itself or as its list's aria-activedescendant."""
    script = """(() => {
      const at = document.activeElement?.getAttribute('aria-activedescendant');
      const row = at ? document.getElementById(at) : document.activeElement?.closest('[data-id]');
      return row?.dataset.id ?? null;
    })()"""
    found: str | None = lab.page.evaluate(script)
    return found


def test_two_pages_see_the_same(
    lab: LabPage, engine: EngineUnderTest, server: LabServer, new_page: Callable[[LabServer], LabPage]
) -> None:
    other = Panel(new_page(server).open())
    panel = Panel(lab)
    id = start(engine, "web")
    panel.shows(id, "running")
    other.shows(id, "running")
    lab.begin("labdock:stop", id=id)
    other.shows(id, "exited")


def test_a_browser_at_rest_asks_for_nothing(lab: LabPage, engine: EngineUnderTest) -> None:
    # What runs has figures, and those are sent while somebody looks at them.
    id = start(engine, "web")
    Panel(lab).shows(id, "running")
    engine.docker("kill", id)
    Panel(lab).shows(id, "exited")
    lab.page.wait_for_timeout(3000)
    with lab.counting() as asked:
        lab.page.wait_for_timeout(10_000)
    assert [what for what in asked if "labdock" in what] == []
