"""The status bar, the running sessions, the colours of cells, and code by dragging."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator

from tests.browser.cells import write_notebook
from tests.browser.pages import LabPage
from tests.browser.panels import Panel
from tests.browser.servers import LabServer
from tests.system.conftest import EngineUnderTest

pytestmark = pytest.mark.browser
STATUS = ".jp-labdock-status button"


def run(engine: EngineUnderTest, name: str) -> str:
    return engine.docker("run", "-d", "--name", name, "--stop-timeout", "0", "busybox", "sleep", "600")


def test_the_status_bar_counts_and_opens_the_sidebar(lab: LabPage, engine: EngineUnderTest) -> None:
    button = lab.find(STATUS)
    lab.find(f"{STATUS}[title='0 containers run']").wait_for()
    width = button.bounding_box()
    run(engine, "one")
    lab.find(f"{STATUS}[title='1 container runs']").wait_for()
    after = button.bounding_box()
    assert width and after and width["width"] == after["width"], "nothing beside it moves"
    button.click()
    lab.find("#labdock-panel:visible").wait_for()
    settings = "window.jupyterapp.serviceManager.settings.save('labdock:status', '{\"shown\": %s}')"
    lab.command("settingeditor:open")
    lab.page.evaluate(settings % "false")
    lab.page.evaluate(settings % "true")


#: Writes down, for each of labdock's websockets, whether JupyterLab's own start was over when it was opened.
SOCKETS = """
window.labdockOpened = [];
const Real = window.WebSocket;
window.WebSocket = class extends Real {
  constructor(url, ...more) {
    super(url, ...more);
    if (String(url).includes('labdock/api/live')) {
      const over = window.jupyterapp?.restored ?? new Promise(() => {});
      Promise.race([over.then(() => true), new Promise(done => setTimeout(done, 0, false))])
        .then(after => window.labdockOpened.push(after));
    }
  }
};
"""


def test_a_page_opens_its_websocket_when_it_is_there_and_none_when_nobody_looks(
    server: LabServer, engine: EngineUnderTest, new_page: Callable[[LabServer], LabPage]
) -> None:
    lab = new_page(server)
    lab.page.add_init_script(SOCKETS)
    lab.open()
    lab.find(f"{STATUS}[title='0 containers run']").wait_for()
    assert lab.page.evaluate("window.labdockOpened") == [True]
    save = "shown => window.jupyterapp.serviceManager.settings.save('labdock:status', JSON.stringify({ shown }))"
    lab.page.evaluate(save, False)
    try:
        lab.open()
        # Until the browser has been idle, and a while longer.
        lab.page.evaluate("new Promise(done => requestIdleCallback(() => setTimeout(done, 1000)))")
        assert lab.page.evaluate("window.labdockOpened") == []
        assert [what for what in lab.requests if "labdock/api" in what][1:] == []
        lab.sidebar("labdock-panel").locator('[data-kind="container"]').first.wait_for()
        assert lab.page.evaluate("window.labdockOpened") == [True]
    finally:
        lab.page.evaluate(save, True)


def test_running_sessions_list_containers_and_stop_them(lab: LabPage, engine: EngineUnderTest) -> None:
    run(engine, "listed")
    lab.sidebar("jp-running-sessions")
    item = lab.find(".jp-RunningSessions-item", has_text="listed")
    item.wait_for()
    item.hover()
    item.locator(".jp-RunningSessions-itemShutdown").click()
    item.wait_for(state="detached")
    assert engine.docker("inspect", "-f", "{{.State.Status}}", "listed") == "exited"


def test_cells_are_coloured_as_what_they_are(lab: LabPage) -> None:
    write_notebook(
        lab.server.work / "colours.ipynb",
        ("%%dockerfile -t x\nFROM busybox\nRUN true", []),
        ("%%compose\nservices:\n  web:\n    image: busybox", []),
        ("%%container run busybox\nfor a in 1; do echo $a; done", []),
        ("import os", []),
    )
    lab.notebook("colours.ipynb")
    types = "window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.mimeType).join()"
    wanted = "text/x-dockerfile,text/x-yaml,text/x-sh,text/x-ipython"
    lab.wait(f"{types} === '{wanted}'", "a type for each cell")
    # Keywords have colours of their own: FROM is not the text's.
    lab.wait(
        "[...document.querySelectorAll('.jp-Notebook .cm-line span')].some(s => s.textContent.includes('FROM'))",
        "FROM is a word of the language",
    )
    lab.picture("highlight")
    change = "source => window.jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel.setSource(source)"
    lab.page.evaluate(change, "import os")
    lab.wait(f"{types}.startsWith('text/x-ipython,')", "Python again")


def test_a_container_that_is_dragged_into_a_notebook_is_a_cell_that_runs_it(
    lab: LabPage, engine: EngineUnderTest
) -> None:
    id = run(engine, "dragged")
    write_notebook(lab.server.work / "drag.ipynb", ("1", []))
    lab.command("docmanager:open", path="drag.ipynb")
    cell = lab.find(".jp-NotebookPanel:visible .jp-CodeCell")
    cell.wait_for()
    panel = Panel(lab).live()
    drag(lab, panel.row(id), cell)
    cells = "window.jupyterapp.shell.currentWidget.content?.widgets?.map(c => c.model.sharedModel.getSource()) ?? []"
    lab.wait(f"({cells}).includes('%container run -d --name dragged busybox')", "a cell with the code")
    lab.command("labdock:insert-code", id="busybox", kind="nothing")
    image = engine.docker("image", "inspect", "-f", "{{.Id}}", "busybox")
    drag(lab, panel.row(image, "image"), cell)
    lab.wait(f"({cells}).some(s => s.startsWith('%container run --rm busybox'))", "the image's code")


def drag(lab: LabPage, row: Locator, cell: Locator) -> None:
    """With the mouse, from the side bar's *row* onto the top of *cell*."""
    start, end = row.bounding_box(), cell.first.bounding_box()
    assert start and end
    mouse = lab.page.mouse
    mouse.move(start["x"] + 60, start["y"] + 12)
    mouse.down()
    mouse.move(start["x"] + 90, start["y"] + 30, steps=4)
    lab.find(".jp-labdock-drag").wait_for()
    mouse.move(end["x"] + 200, end["y"] + 10, steps=8)
    mouse.up()
