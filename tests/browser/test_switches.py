"""Each plugin can be switched off alone, as users do it; what is left works and says nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.pages import LabPage
from tests.browser.panels import PANEL, Panel
from tests.browser.servers import LabServer

pytestmark = [pytest.mark.browser, pytest.mark.limit(120)]
#: All but ``labdock:model``, which they are made of: who wants none of them disables the extension.
OTHERS = [f"labdock:{name}" for name in "commands viewers cards drag highlight running status".split()]


@pytest.fixture
def switches(server: LabServer) -> Iterator[Path]:
    """The file in which Jupyter keeps what a user has disabled; nothing is at the end."""
    path = Path(server.environment["JUPYTER_CONFIG_DIR"]) / "labconfig" / "page_config.json"
    yield path
    path.unlink()


def test_the_sidebar_alone_and_everything_but_the_sidebar(
    server: LabServer, switches: Path, new_page: Callable[[LabServer], LabPage]
) -> None:
    disable = [sys.executable, "-m", "jupyterlab.labextensions", "disable", "--level=user", *OTHERS]
    subprocess.run(disable, env=server.environment, check=True, timeout=60, capture_output=True)
    lab = new_page(server).open()
    Panel(lab).live()
    assert lab.commands() == ["labdock:open-panel"]

    wanted = {"disabledExtensions": {plugin: plugin == "labdock:panel" for plugin in (*OTHERS, "labdock:panel")}}
    assert json.loads(switches.read_text())["disabledExtensions"].keys() <= wanted["disabledExtensions"].keys()
    switches.write_text(json.dumps(wanted))
    lab = new_page(server).open()
    lab.find(".jp-labdock-status").wait_for()
    assert {"labdock:pull-image", "labdock:logs"} <= set(lab.commands())
    assert lab.find(f"#{PANEL}").count() == 0
    assert not lab.find(".jp-LauncherCard", has_text="Containers").count()
