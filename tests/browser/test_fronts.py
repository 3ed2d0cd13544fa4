"""The extension in other front ends than the newest JupyterLab: the oldest that it is for, and Notebook 7.

They are made by scripts/fronts.sh; the whole folder runs in another JupyterLab with `make browser LAB=4.2`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser.cells import card_output, write_notebook
from tests.browser.conftest import short_folder
from tests.browser.pages import LOADING, LabPage
from tests.browser.panels import PANEL, Panel
from tests.browser.servers import LabServer, clean_environment
from tests.system.conftest import EngineUnderTest

pytestmark = [pytest.mark.browser, pytest.mark.limit(180)]
FRONTS = Path(__file__).parents[2] / "build" / "fronts"
CELLS: tuple[tuple[str, list[dict[str, Any]]], ...] = (
    ("%%dockerfile -t x\nFROM busybox\nRUN true", []),
    ("import os", []),
)
TYPES = ".content.widgets.map(cell => cell.model.mimeType).slice(-2).join()"


@contextmanager
def serving(engine: EngineUnderTest, front: str, *flags: str) -> Iterator[LabServer]:
    """A server of that front end, with what .venv has for Jupyter: our extension among it."""
    python = FRONTS / front / "bin" / "python"
    assert python.exists(), f"{python} is missing: scripts/fronts.sh makes it"
    root = short_folder()
    names = ("LABDOCK_DATA", "LABDOCK_RUN", "DOCKER_HOST", "DOCKER_CONFIG")
    environment = clean_environment(**{name: engine.environment[name] for name in names})
    environment["JUPYTER_PATH"] = f"{sys.prefix}/share/jupyter"
    environment["JUPYTER_CONFIG_PATH"] = f"{sys.prefix}/etc/jupyter"
    server = LabServer(root, environment, python=str(python), flags=flags)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(root)


def box(engine: EngineUnderTest) -> str:
    return engine.docker("run", "-d", "--name", "box", "--stop-timeout", "0", "busybox", "sleep", "600")


def see_the_card(lab: LabPage, engine: EngineUnderTest) -> None:
    """The open notebook's card acts, and its cells are coloured as what they are."""
    card = lab.find(".jp-labdock-card")
    card.locator(".jp-labdock-badge", has_text="running").wait_for()
    card.locator("[data-verb=stop]").click()
    card.locator(".jp-labdock-badge", has_text="exited").wait_for()
    assert engine.docker("inspect", "-f", "{{.State.Status}}", "box") == "exited"
    wanted = "text/x-dockerfile,text/x-ipython"
    lab.wait(f"window.jupyterapp.shell.currentWidget{TYPES} === '{wanted}'", "a type for each cell")


def test_the_oldest_jupyterlab_shows_the_sidebar_cards_and_colours(
    engine: EngineUnderTest, new_page: Callable[[LabServer], LabPage]
) -> None:
    id = box(engine)
    with serving(engine, "lab-4.2") as server:
        write_notebook(server.work / "card.ipynb", ("box", [card_output("container", [id], ["box"])]), *CELLS)
        lab = new_page(server).open()
        assert lab.page.evaluate("window.jupyterapp.version").startswith("4.2.")
        panel = Panel(lab).live()
        panel.shows(id, "running")
        lab.find(".jp-labdock-status button[title='1 container runs']").wait_for()
        lab.notebook("card.ipynb")
        see_the_card(lab, engine)
        panel.shows(id, "exited")


def test_notebook_7_shows_the_sidebar_cards_and_colours(
    engine: EngineUnderTest, new_page: Callable[[LabServer], LabPage]
) -> None:
    id = box(engine)
    with serving(engine, "notebook", "--JupyterNotebookApp.expose_app_in_browser=True") as server:
        write_notebook(server.work / "card.ipynb", ("box", [card_output("container", [id], ["box"])]), *CELLS)
        lab = new_page(server)
        # Notebook 7.6 says so by itself, without any extension.
        lab.expect(r"reading 'schema'[\s\S]*notebook_core")
        page = lab.page
        page.goto(f"{server.url}notebooks/card.ipynb?token={server.token}")
        page.wait_for_selector(".jp-NotebookPanel", timeout=LOADING)
        page.evaluate("window.jupyterapp.restored.then(() => true)")
        lab.command("labdock:open-panel")
        panel = lab.find(f"#{PANEL}")
        panel.wait_for()
        panel.locator(f"[data-id='{id}'][data-state=running]").wait_for()
        lab.picture("notebook-7")
        see_the_card(lab, engine)
        panel.locator(f"[data-id='{id}'][data-state=exited]").wait_for()
        # The page with the files has a place for it, too, and says nothing on the console.
        page.goto(f"{server.url}tree?token={server.token}")
        page.wait_for_selector(".jp-DirListing", timeout=LOADING)
        lab.picture("notebook-7-tree")
