"""A lost engine, a lost server and a lost browser each come back by themselves; the page says what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest

from tests import stores
from tests.browser.conftest import short_folder
from tests.browser.pages import LabPage
from tests.browser.panels import Panel
from tests.browser.servers import LabServer, clean_environment
from tests.system.conftest import EngineUnderTest

pytestmark = [pytest.mark.browser, pytest.mark.limit(240)]

#: The browser tells these by itself when its server is away.
LOST = (
    r"net::ERR_",
    r"WebSocket connection to",
    r"Failed to (fetch|load resource)",
    r"50[234]",
    r"NetworkError",
    r"ServerConnection",
)


@pytest.fixture
def own_engine() -> Iterator[EngineUnderTest]:
    """An engine that the test may kill; not started."""
    root = short_folder()
    found = EngineUnderTest(root)
    yield found
    if ids := found.docker("ps", "-aq", check=False).split():
        found.docker("rm", "-f", *ids, check=False)
    found.stop()
    stores.remove(root)


@pytest.fixture
def own_server(own_engine: EngineUnderTest) -> Iterator[LabServer]:
    """A server below a base URL, as a Hub's users have it."""
    root = short_folder()
    names = ("LABDOCK_DATA", "LABDOCK_RUN")
    found = LabServer(
        root, clean_environment(**{name: own_engine.environment[name] for name in names}), base_url="/user/x/"
    )
    try:
        found.start()
        yield found
    finally:
        found.stop()
        shutil.rmtree(root)


def run(engine: EngineUnderTest, name: str) -> str:
    return engine.docker("run", "-d", "--stop-signal", "KILL", "--name", name, "busybox", "sleep", "1000")


def test_below_a_base_url_an_engine_that_is_stopped_says_so_and_is_started_by_a_button(
    own_engine: EngineUnderTest, own_server: LabServer, new_page: Callable[[LabServer], LabPage]
) -> None:
    panel = Panel(new_page(own_server).open())
    notice = panel.notice("The engine is not running")
    assert own_engine.module("status").returncode != 0, "looking at the page started no engine"
    notice.get_by_role("button", name="Start the engine").click()
    panel.live()
    panel.shows(run(own_engine, "web"), "running")


def test_a_killed_engine_a_killed_server_and_a_closed_page_are_recovered_from(
    own_engine: EngineUnderTest, own_server: LabServer, new_page: Callable[[LabServer], LabPage]
) -> None:
    own_engine.start()
    id = run(own_engine, "web")
    lab = new_page(own_server).open()
    lab.expect(*LOST)
    panel = Panel(lab)
    panel.shows(id, "running")

    own_engine.kill("engine")
    second = run(own_engine, "second")
    panel.shows(second, "running")
    panel.shows(id, "running")

    began = own_engine.docker("inspect", "-f", "{{.State.StartedAt}}", id)
    own_server.kill()
    own_engine.docker("stop", "second")
    own_server.start()
    panel.shows(second, "exited")
    panel.shows(id, "running")
    # Ended as it should be, it leaves containers alone, too.
    own_server.stop()
    panel.notice("Connection lost")
    own_engine.docker("start", "second")
    own_server.start()
    panel.shows(second, "running")
    own_engine.docker("kill", "second")
    panel.shows(second, "exited")
    assert own_engine.docker("inspect", "-f", "{{.State.StartedAt}} {{.State.Status}}", id) == f"{began} running"

    lab.page.context.set_offline(True)
    own_engine.docker("start", "second")
    lab.page.context.set_offline(False)
    panel.shows(second, "running")
    lab.close()

    again = Panel(new_page(own_server).open())
    again.shows(id, "running")


def test_an_engine_that_was_stopped_and_started_is_seen_again(
    own_engine: EngineUnderTest, own_server: LabServer, new_page: Callable[[LabServer], LabPage]
) -> None:
    own_engine.start()
    id = run(own_engine, "web")
    lab = new_page(own_server).open()
    panel = Panel(lab)
    panel.shows(id, "running")
    own_engine.stop()
    panel.notice("The engine is not running")
    own_engine.start()
    panel.shows(id, "exited")
