"""The widgets in a real notebook, used with the mouse: ``labdock.dashboard()`` and a result's ``.widget()``."""

from __future__ import annotations

import pytest

from tests.browser.axe import violations
from tests.browser.cells import write_notebook
from tests.browser.pages import LabPage
from tests.browser.servers import LabServer
from tests.system.conftest import EngineUnderTest, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.limit(180)]
OUTPUT = ".jp-OutputArea-output"
SPEAKER = "i=0; while :; do i=$((i+1)); echo line $i says hello; sleep 0.2; done"
CELLS = (
    "%load_ext labdock\nimport labdock",
    "board = labdock.dashboard()\nboard",
    "%%dockerfile -t layers\nFROM busybox\nRUN dd if=/dev/urandom of=/big bs=1k count=300\nRUN rm /big; echo > /small",
    "built = _",
    "built.widget()",
    "%container network graph -a",
    "board.close()",
)


def run(lab: LabPage, *cells: int) -> None:
    for cell in cells:
        # A click into an output had made its cell the active one.
        lab.page.evaluate("at => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = at; }", cell)
        lab.command("notebook:run-cell")


def test_the_dashboards_buttons_act_and_its_parts_are_seen(
    lab: LabPage, server: LabServer, engine: EngineUnderTest
) -> None:
    engine.docker("run", "-d", "--name", "web", "--stop-signal", "KILL", "busybox", "sh", "-c", SPEAKER)
    engine.docker("create", "--name", "other", "busybox", "true")
    write_notebook(server.work / "widgets.ipynb", *((source, []) for source in CELLS))
    lab.notebook("widgets.ipynb")
    run(lab, 0, 1)
    board = lab.find(OUTPUT).filter(has=lab.find("button", has_text="Look")).first
    row = board.locator(".widget-hbox", has_text="web").first
    row.get_by_role("button", name="Look", exact=True).click()
    board.get_by_placeholder("search the log").fill("line 3 ")
    board.locator("mark", has_text="line 3 ").first.wait_for()
    board.get_by_role("tab", name="Usage").click()
    board.locator("svg[aria-label^=memory]").wait_for()
    lab.picture("widget-dashboard")
    assert violations(lab, f"{OUTPUT} .widget-vbox") == []
    board.get_by_role("tab", name="Explained").click()
    board.locator("text=Namespaces").first.wait_for()
    lab.picture("widget-explained")
    row.get_by_role("button", name="Stop", exact=True).click()
    row.get_by_role("button", name="Start", exact=True).wait_for()
    assert engine.docker("inspect", "-f", "{{.State.Status}}", "web") == "exited"
    other = board.locator(".widget-hbox", has_text="other").first
    other.get_by_role("button", name="Remove", exact=True).click()
    other.get_by_role("button", name="Sure?", exact=True).click()
    wait_until(lambda: engine.docker("ps", "-aq", "--filter", "name=other") == "", "it is removed")
    other.wait_for(state="detached")
    run(lab, 2, 3, 4)
    layers = lab.find(OUTPUT).filter(has=lab.find("text=files of")).first
    layers.scroll_into_view_if_needed()
    layers.locator("svg[aria-label*=wasted]").wait_for()
    lab.picture("widget-layers")
    assert violations(lab, f"{OUTPUT}:has(select)") == []
    layers.get_by_role("tab", name="Build").click()
    layers.locator("rect").last.wait_for()
    lab.picture("widget-build")
    run(lab, 5, 6)
    lab.find(f"{OUTPUT} svg[role=img]", has_text="web").last.wait_for()
