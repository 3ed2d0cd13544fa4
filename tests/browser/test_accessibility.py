"""axe-core finds nothing, in any theme, wide or narrow; and what can be pressed is large enough to be hit."""

from __future__ import annotations

import pytest

from tests.browser.axe import small_targets, violations
from tests.browser.pages import THEMES, LabPage
from tests.browser.panels import Panel
from tests.browser.test_sidebar import start
from tests.system.conftest import EngineUnderTest

pytestmark = pytest.mark.browser

PANEL = "#labdock-panel"
#: (width of the window, width of the side bar or None for its own)
SIZES = [(1280, None), (800, None), (1280, 200)]
DIALOGS = ("run-image", "pull-image", "create-network", "create-volume", "remove", "rename", "commit")


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


@pytest.mark.parametrize("theme", ["light", "contrast"])
def test_dialogs_have_no_violations_and_are_left_by_escape(lab: LabPage, filled: str, theme: str) -> None:
    lab.theme(theme)
    for verb in DIALOGS:
        lab.begin(f"labdock:{verb}", **({} if verb == "run-image" else {"id": filled}))
        lab.dialog().locator("button").first.wait_for()
        assert violations(lab, ".jp-Dialog") == [], verb
        assert small_targets(lab, ".jp-Dialog") == [], verb
        lab.picture(f"dialog-{verb}-{theme}")
        lab.page.keyboard.press("Escape")
        lab.find(".jp-Dialog").wait_for(state="detached")


def test_nothing_is_wider_than_a_narrow_side_bar(lab: LabPage, filled: str) -> None:
    lab.widen(200)
    script = """() => [...document.querySelectorAll('#labdock-panel *')]
      .filter(element => element.checkVisibility() && element.getBoundingClientRect().right
        > document.querySelector('#labdock-panel').getBoundingClientRect().right + 1)
      .map(element => element.outerHTML.slice(0, 120))"""
    assert lab.page.evaluate(script) == []
