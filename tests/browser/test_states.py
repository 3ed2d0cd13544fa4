"""What the side bar says when there is nothing to list: each state in words, with the next step."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import WebSocketRoute

from tests.browser.axe import small_targets, violations
from tests.browser.conftest import short_folder
from tests.browser.pages import THEMES, LabPage
from tests.browser.panels import PANEL, Panel
from tests.browser.servers import LabServer, clean_environment
from tests.system.conftest import EngineUnderTest

pytestmark = [pytest.mark.browser, pytest.mark.limit(180)]

Serve = Callable[..., LabServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server without an engine, in an environment of its own."""
    made: list[LabServer] = []

    def start(*flags: str, config: object = None, wrapper: str = "", **environment: str) -> LabServer:
        root = short_folder()
        python = ""
        if wrapper:
            (root / "python").write_text(f'#!/bin/sh\nexec {wrapper} {sys.executable} "$@"\n')
            (root / "python").chmod(0o755)
            python = str(root / "python")
        for folder in ("data", "run"):
            environment.setdefault(f"LABDOCK_{folder.upper()}", str(root / folder))
        found = LabServer(root, clean_environment(**environment), flags=flags, python=python)
        made.append(found)
        if config:
            place = root / "jupyter" / "config" / "jupyter_server_config.json"
            place.parent.mkdir(parents=True)
            place.write_text(json.dumps(config))
        found.start()
        return found

    yield start
    for one in made:
        one.stop()
        shutil.rmtree(one.root)


def is_fit(lab: LabPage, name: str) -> None:
    """Nothing is wrong with how it looks, in any theme."""
    for theme in THEMES:
        lab.theme(theme)
        assert violations(lab, f"#{PANEL}") == [], f"{name}, {theme}"
        assert small_targets(lab, f"#{PANEL}") == [], f"{name}, {theme}"
        lab.picture(f"state-{name}-{theme}")
    lab.theme("light")


def test_an_empty_side_bar_says_how_to_begin(desk: LabPage, engine: EngineUnderTest) -> None:
    panel = Panel(desk)
    panel.widget.get_by_text("No containers yet").wait_for()
    is_fit(desk, "empty")
    panel.widget.locator("button", has_text="Run an image").click()
    desk.dialog().locator("input[name=image]").wait_for()
    desk.page.keyboard.press("Escape")
    panel.filter("nothing is called this")
    panel.widget.get_by_text("Nothing matches").first.wait_for()
    panel.filter("")


def test_while_the_server_says_nothing_the_side_bar_says_that_it_waits(
    new_page: Callable[[LabServer], LabPage], server: LabServer, engine: EngineUnderTest
) -> None:
    lab = new_page(server)
    waiting: list[WebSocketRoute] = []

    def hold(route: WebSocketRoute) -> None:
        # The first connection is one that nothing comes from; the next are the server's.
        if waiting:
            route.connect_to_server()
        waiting.append(route)

    lab.page.route_web_socket("**/labdock/api/live*", hold)
    panel = Panel(lab.open())
    panel.widget.locator(".jp-labdock-notice", has_text="Looking for containers").wait_for()
    is_fit(lab, "waiting")
    waiting[0].close()
    panel.live()


def test_an_engine_that_cannot_run_here_is_explained_in_the_doctors_words(
    new_page: Callable[[LabServer], LabPage], serve: Serve
) -> None:
    # As in a container that may not gain rights: the programs that write id maps have none there.
    found = serve(wrapper="setpriv --no-new-privs")
    said = found.fetch("labdock/api/engine", timeout=90)
    assert said["state"] == "unavailable" and said["message"] and said["hint"]
    lab = new_page(found).open()
    notice = Panel(lab).notice("The engine can’t run here")
    text = " ".join((notice.text_content() or "").split())
    assert said["message"] in text and said["hint"] in text
    problems = [each["text"] for each in said["findings"] if each["level"] == "problem"]
    assert problems and all(problem in text for problem in problems), "each thing that is wanting"
    is_fit(lab, "unavailable")
    # The way on is tried again, and says the same: no dead end, and no silence.
    lab.expect("50. .*", "Failed to load resource")
    notice.get_by_role("button", name="Try again").click()
    lab.told(said["message"][:40])


def test_a_server_without_labdock_is_said_to_be_one(new_page: Callable[[LabServer], LabPage], serve: Serve) -> None:
    found = serve(config={"ServerApp": {"jpserver_extensions": {"labdock": False}}})
    lab = new_page(found)
    lab.expect("404", "WebSocket connection to")
    notice = Panel(lab.open()).notice("The server part is not there")
    assert "jupyter server extension list" in (notice.text_content() or "")
    is_fit(lab, "missing")


def test_who_may_not_use_containers_is_told_so(new_page: Callable[[LabServer], LabPage], serve: Serve) -> None:
    found = serve(
        "--ServerApp.authorizer_class=tests.browser.refusing.Refusing", PYTHONPATH=str(Path(__file__).parents[2])
    )
    lab = new_page(found)
    lab.expect("403", "WebSocket connection to")
    Panel(lab.open()).notice("Not allowed")
    is_fit(lab, "refused")
