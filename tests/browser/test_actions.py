"""What can be done with one container, by its menu and by the keyboard alone: told by the docker command afterwards."""

from __future__ import annotations

import json

import pytest

from tests.browser.pages import LabPage
from tests.browser.panels import Panel
from tests.browser.test_sidebar import focused, start, state
from tests.system.conftest import EngineUnderTest, wait_until

pytestmark = pytest.mark.browser


def fact(engine: EngineUnderTest, name: str, what: str) -> str:
    return engine.docker("inspect", "-f", "{{" + what + "}}", name, check=False)


def until_state(engine: EngineUnderTest, name: str, wanted: str) -> None:
    wait_until(lambda: state(engine, name) == wanted, f"docker says that {name} is {wanted}")


def test_the_menu_pauses_resumes_restarts_stops_starts_and_kills(desk: LabPage, engine: EngineUnderTest) -> None:
    id = start(engine, "web")
    panel = Panel(desk)
    began = fact(engine, "web", ".State.StartedAt")
    for label, wanted in (("Pause", "paused"), ("Resume", "running"), ("Stop", "exited"), ("Start", "running")):
        panel.menu(id, label)
        panel.shows(id, wanted)
        until_state(engine, "web", wanted)
    assert fact(engine, "web", ".State.StartedAt") != began
    began = fact(engine, "web", ".State.StartedAt")
    panel.menu(id, "Restart")
    wait_until(lambda: fact(engine, "web", ".State.StartedAt") != began, "it began anew")
    panel.shows(id, "running")
    until_state(engine, "web", "running")
    panel.menu(id, "Kill")
    panel.shows(id, "exited")
    assert fact(engine, "web", ".State.ExitCode") == "137"
    # What was killed by mistake is started again where that is said.
    desk.told("web was killed")
    desk.find(".jp-toast-button", has_text="Start again").click()
    panel.shows(id, "running")
    until_state(engine, "web", "running")


def test_the_menu_has_only_what_fits(desk: LabPage, engine: EngineUnderTest) -> None:
    id = start(engine, "web")
    panel = Panel(desk)
    panel.shows(id, "running").click(button="right")
    assert {"Stop", "Pause", "Terminal"} <= set(menu(desk)) and not {"Start", "Resume", "Open Port"} & set(menu(desk))
    desk.page.keyboard.press("Escape")
    engine.docker("kill", "web")
    panel.shows(id, "exited").click(button="right")
    assert {"Start", "Rename…", "Remove…"} <= set(menu(desk)) and not {"Stop", "Kill", "Terminal"} & set(menu(desk))
    desk.page.keyboard.press("Escape")


def menu(lab: LabPage) -> list[str]:
    """The labels of the menu that is open."""
    lab.find(".lm-Menu").wait_for()
    return lab.find(".lm-Menu .lm-Menu-item:not(.lm-mod-hidden) .lm-Menu-itemLabel:visible").all_text_contents()


def test_the_menu_renames_commits_copies_and_removes(desk: LabPage, engine: EngineUnderTest) -> None:
    id = start(engine, "web")
    panel = Panel(desk)
    panel.menu(id, "Copy Id")
    desk.wait("async id => await navigator.clipboard.readText() === id", "the id is in the clipboard", id)
    panel.menu(id, "Rename…")
    desk.dialog().locator("input").fill("renamed")
    desk.accept()
    desk.find("[data-kind=container]", has_text="renamed").wait_for()
    assert fact(engine, id, ".Name") == "/renamed"
    engine.docker("exec", "renamed", "sh", "-c", "echo kept > /kept")
    panel.menu(id, "Commit to Image…")
    desk.dialog().locator("input").fill("kept:1")
    desk.accept()
    desk.told("kept:1 was made")
    assert engine.docker("run", "--rm", "kept:1", "cat", "/kept") == "kept"
    panel.menu(id, "Remove…")
    assert "renamed" in (desk.dialog().text_content() or "")
    desk.accept()
    panel.gone(id)
    assert state(engine, "renamed") == ""
    engine.docker("rmi", "kept:1")


def test_what_the_engine_refuses_is_said_in_its_words(desk: LabPage, engine: EngineUnderTest) -> None:
    desk.expect("409 .Conflict")
    id, _ = start(engine, "web"), start(engine, "taken")
    Panel(desk).menu(id, "Rename…")
    desk.dialog().locator("input").fill("taken")
    desk.accept()
    desk.told("is already in use")
    assert fact(engine, id, ".Name") == "/web"


def test_without_being_asked_what_is_removed_is_gone(desk: LabPage, engine: EngineUnderTest) -> None:
    id = start(engine, "web")
    desk.setting("labdock:panel", "confirm", False)
    try:
        Panel(desk).menu(id, "Remove…")
        Panel(desk).gone(id)
    finally:
        desk.setting("labdock:panel", "confirm", None)
    assert state(engine, "web") == ""


def test_images_networks_and_volumes_are_made_and_removed(desk: LabPage, engine: EngineUnderTest) -> None:
    panel = Panel(desk)
    for kind in ("image", "network", "volume"):
        panel.unfold(kind)
    panel.section("network").locator("button").click()
    desk.dialog().locator("input[name=name]").fill("shop")
    desk.dialog().locator("input[name=subnet]").fill("10.77.0.0/24")
    desk.dialog().locator("input[name=internal]").check()
    desk.accept()
    desk.find("[data-kind=network]", has_text="shop").wait_for()
    made = json.loads(engine.docker("network", "inspect", "shop"))[0]
    assert made["Internal"] and made["IPAM"]["Config"][0]["Subnet"] == "10.77.0.0/24"
    panel.section("volume").locator("button").click()
    desk.dialog().locator("input[name=name]").fill("files")
    desk.accept()
    panel.row("files", "volume").wait_for()
    assert engine.docker("volume", "ls", "-q") == "files"
    engine.docker("tag", "busybox", "another:1")
    image = engine.docker("image", "inspect", "-f", "{{.Id}}", "busybox")
    desk.find("[data-kind=image]", has_text="another:1").first.wait_for()
    engine.docker("build", "-q", "-t", "own", "-", stdin="FROM busybox\nLABEL a=b\n")
    own = engine.docker("image", "inspect", "-f", "{{.Id}}", "own")
    for key, kind in ((made["Id"], "network"), ("files", "volume"), (own, "image")):
        panel.menu(key, "Remove…", kind)
        desk.accept()
        panel.gone(key, kind)
    assert engine.docker("volume", "ls", "-q") == "" and "shop" not in engine.docker("network", "ls")
    assert engine.docker("images", "-q", "own") == ""
    engine.docker("rmi", "another:1")
    panel.row(image, "image").wait_for()


def test_everything_of_a_container_is_done_with_the_keyboard_alone(desk: LabPage, engine: EngineUnderTest) -> None:
    id = start(engine, "web")
    panel = Panel(desk)
    panel.shows(id, "running")
    choose(desk, id)
    keys = desk.page.keyboard

    def answer(text: str) -> None:
        desk.dialog().locator("input").wait_for()
        keys.press("ControlOrMeta+a")
        keys.type(text)
        keys.press("Enter")
        desk.find(".jp-Dialog").wait_for(state="detached")

    for label, wanted in (
        ("Pause Container", "paused"),
        ("Resume Container", "running"),
        ("Stop Container", "exited"),
        ("Start Container", "running"),
        ("Kill Container", "exited"),
        ("Start Container", "running"),
    ):
        desk.palette(label)
        panel.shows(id, wanted)
        until_state(engine, "web", wanted)
    began = fact(engine, "web", ".State.StartedAt")
    desk.palette("Restart Container")
    wait_until(lambda: fact(engine, "web", ".State.StartedAt") != began, "it began anew")
    panel.shows(id, "running")
    desk.palette("Copy Container’s Id")
    desk.wait("async id => await navigator.clipboard.readText() === id", "the id is in the clipboard", id)
    desk.palette("Rename Container…")
    answer("keyed")
    wait_until(lambda: fact(engine, id, ".Name") == "/keyed", "the new name")
    desk.palette("Commit Container to an Image…")
    answer("keyed:1")
    wait_until(lambda: engine.docker("images", "-q", "keyed:1"), "the image")
    for label, part in (
        ("Show a Container’s Log", ".jp-labdock-logs"),
        ("Show What Containers Use", ".jp-labdock-stats"),
        ("Browse a Container’s Files", ".jp-labdock-files"),
        ("Inspect Container, Image, Network or Volume", ".jp-labdock-inspect"),
        ("Open Terminal in Container", ".jp-Terminal"),
    ):
        desk.palette(label)
        desk.find(f"{part}:visible").wait_for()
    choose(desk, id)
    keys.press("Delete")
    desk.dialog().wait_for()
    # What is asked is answered with No unless one goes to the other button.
    keys.press("ArrowRight")
    keys.press("Enter")
    panel.gone(id)
    assert state(engine, "keyed") == ""
    engine.docker("rmi", "keyed:1")


def choose(lab: LabPage, id: str) -> None:
    """Go to the container's line by the keyboard."""
    lab.find("#labdock-panel [role=tree]").focus()
    lab.page.keyboard.press("Home")
    for _ in range(20):
        if focused(lab) == id:
            return
        lab.page.keyboard.press("ArrowDown")
    raise AssertionError(f"no line for {id}")


@pytest.mark.parametrize("kind", ["pull", "run", "prune", "network", "volume"])
def test_what_makes_and_frees_is_in_the_palette(desk: LabPage, kind: str, engine: EngineUnderTest) -> None:
    labels = {
        "pull": "Pull Image…",
        "run": "Run Image…",
        "prune": "Remove What Is Unused…",
        "network": "Create Network…",
        "volume": "Create Volume…",
    }
    desk.palette(labels[kind])
    dialog = desk.dialog()
    dialog.locator("input, select").first.wait_for()
    desk.wait("!!document.activeElement.closest('.jp-Dialog')", "the dialog has the focus")
    desk.page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
