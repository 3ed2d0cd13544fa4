"""axe-core finds nothing, in any theme, wide or narrow; and what can be pressed is large enough to be hit."""

from __future__ import annotations

import pytest

from tests.browser.axe import small_targets, violations
from tests.browser.cells import card_output, write_notebook
from tests.browser.pages import SIZE, THEMES, LabPage
from tests.browser.panels import Panel
from tests.browser.test_sidebar import start
from tests.system.conftest import EngineUnderTest

pytestmark = pytest.mark.browser

PANEL = "#labdock-panel"
CARD = ".jp-labdock-card"
#: (width of the window, width of the side bar or None for its own)
SIZES = [(1280, None), (800, None), (1280, 200)]
#: Commands that ask something, and what each is about: a container, an image, a file, or nothing.
DIALOGS = {
    "run-image": "",
    "pull-image": "",
    "create-network": "",
    "create-volume": "",
    "prune": "",
    "remove": "container",
    "rename": "container",
    "commit": "container",
    "use-as-kernel": "image",
    "build-file": "file",
}
VIEWERS = {
    "logs": ".jp-labdock-logs:has(.jp-labdock-logs-err)",
    "stats": ".jp-labdock-stats:has(polyline)",
    "browse-files": ".jp-labdock-files",
    "inspect": ".jp-labdock-inspect",
}


def fill(engine: EngineUnderTest, panel: Panel) -> str:
    """One thing of each kind and state; the id of a container that runs."""
    project = ("--label", "com.docker.compose.project=shop")
    id = start(engine, "web", "-p", "127.0.0.1::80", *project)
    for name, verb in (("paused", "pause"), ("ended", "stop")):
        start(engine, name, "-v", "files:/files")
        engine.docker(verb, name)
    engine.docker("run", "--name", "failed", "busybox", "false", check=False)
    engine.docker("create", "--name", "made", "busybox")
    for kind in ("container", "image", "network", "volume"):
        panel.unfold(kind)
    panel.shows(id, "running")
    panel.row("files", "volume").wait_for()
    return id


@pytest.fixture
def filled(lab: LabPage, engine: EngineUnderTest) -> str:
    return fill(engine, Panel(lab).live())


@pytest.mark.parametrize("theme", THEMES)
def test_the_side_bar_has_no_violations(lab: LabPage, filled: str, theme: str) -> None:
    lab.theme(theme)
    for width, bar in SIZES:
        lab.resize(width, 800)
        if bar:
            lab.widen(bar)
        assert violations(lab, PANEL) == [], f"{theme}, {width} pixels wide, side bar {bar}"
        lab.picture(f"panel-{theme}-{width}-{bar or 'own'}")
    assert small_targets(lab, PANEL) == []


def test_dialogs_have_no_violations_and_are_left_by_escape(desk: LabPage, engine: EngineUnderTest) -> None:
    (desk.server.work / "Dockerfile").write_text("FROM busybox\n")
    about = {
        "container": {"id": start(engine, "web")},
        "image": {"id": "busybox:latest"},
        "file": {"path": "Dockerfile"},
        "": {},
    }
    Panel(desk).shows(about["container"]["id"], "running")
    desk.resize(800, 600)
    for theme in THEMES:
        desk.theme(theme)
        for verb, what in DIALOGS.items():
            desk.begin(f"labdock:{verb}", **about[what])
            dialog = desk.dialog()
            dialog.locator("button").first.wait_for()
            assert violations(desk, ".jp-Dialog") == [], f"{verb}, {theme}"
            assert small_targets(desk, ".jp-Dialog") == [], f"{verb}, {theme}"
            wide = "part => part.scrollWidth <= part.clientWidth"
            assert dialog.locator(".jp-Dialog-body").evaluate(wide), f"{verb} is wider than its dialog, {theme}"
            desk.picture(f"dialog-{verb}-{theme}")
            desk.page.keyboard.press("Escape")
            desk.find(".jp-Dialog").wait_for(state="detached")
    desk.theme("light")
    desk.resize(*SIZE)


def test_viewers_and_cards_have_no_violations_where_there_is_little_room(
    desk: LabPage, engine: EngineUnderTest
) -> None:
    script = "seq 1 50; echo wrong >&2; exec sleep 1000"
    id = engine.docker("run", "-d", "--name", "web", "--expose", "80", "busybox", "sh", "-c", script)
    image = engine.docker("image", "inspect", "-f", "{{.Id}}", "busybox")
    outputs = [card_output("container", [id], ["web"]), card_output("containers", [id, "f" * 64], ["web", "gone"])]
    write_notebook(
        desk.server.work / "cards.ipynb", ("1", outputs), ("2", [card_output("images", [image], ["busybox"])])
    )
    desk.command("docmanager:open", path="cards.ipynb")
    desk.find(".jp-labdock-card .jp-labdock-badge", has_text="running").first.wait_for()
    desk.resize(800, 600)
    for theme in THEMES:
        desk.theme(theme)
        desk.command("docmanager:open", path="cards.ipynb")
        check(desk, f".jp-NotebookPanel:visible {CARD}", f"cards-{theme}")
        for verb, part in VIEWERS.items():
            desk.begin(f"labdock:{verb}", id=id)
            desk.find(f"{part}:visible").wait_for()
            check(desk, part, f"viewer-{verb}-{theme}")
    desk.theme("light")
    desk.resize(*SIZE)


def check(lab: LabPage, part: str, name: str) -> None:
    shown = part.replace(":visible", ":not(.lm-mod-hidden)")
    assert violations(lab, shown) == [], name
    assert small_targets(lab, shown) == [], name
    lab.picture(name)


def test_nothing_is_wider_than_a_narrow_side_bar(lab: LabPage, filled: str) -> None:
    lab.widen(200)
    script = """() => [...document.querySelectorAll('#labdock-panel *')]
      .filter(element => element.checkVisibility() && element.getBoundingClientRect().right
        > document.querySelector('#labdock-panel').getBoundingClientRect().right + 1)
      .map(element => element.outerHTML.slice(0, 120))"""
    assert lab.page.evaluate(script) == []
