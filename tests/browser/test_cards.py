"""Outputs that show things as they are now: stored notebooks that nobody trusted, without a word from a kernel."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator

from tests.browser import axe
from tests.browser.cells import card_output, write_notebook
from tests.browser.pages import LabPage
from tests.system.conftest import EngineUnderTest

pytestmark = pytest.mark.browser
CARD = ".jp-labdock-card"


def run(engine: EngineUnderTest, name: str, *options: str, command: tuple[str, ...] = ("sleep", "600")) -> str:
    return engine.docker("run", "-d", "--name", name, *options, "busybox", *command)


def show(lab: LabPage, name: str) -> None:
    lab.command("docmanager:open", path=name)
    lab.find(".jp-NotebookPanel:visible").wait_for()


def state(lab: LabPage, text: str) -> Locator:
    found = lab.find(f"{CARD} .jp-labdock-badge", has_text=text)
    found.first.wait_for()
    return found


def test_a_stored_card_shows_what_is_now_and_acts(lab: LabPage, engine: EngineUnderTest) -> None:
    id = run(engine, "web", "--expose", "80", "--stop-timeout", "0")
    write_notebook(lab.server.work / "card.ipynb", ("web", [card_output("container", [id], ["web"])]))
    show(lab, "card.ipynb")
    state(lab, "running")
    card = lab.find(CARD)
    assert not lab.find(".stored").is_visible(), "the card stands for the HTML"
    lab.find(f"{CARD}-usage", has_text="Memory").wait_for()
    lab.picture("card")
    assert axe.violations(lab, CARD) == []
    assert axe.small_targets(lab, CARD) == []
    card.locator("[data-verb=stop]").click()
    state(lab, "exited")
    card.locator("[data-verb=start]").click()
    state(lab, "running")
    engine.docker("pause", "web")
    state(lab, "paused")
    engine.docker("unpause", "web")
    lab.reload()
    show(lab, "card.ipynb")
    state(lab, "running")


def test_a_card_of_what_is_gone_says_so_and_keeps_what_was_said(lab: LabPage, engine: EngineUnderTest) -> None:
    id = run(engine, "brief")
    write_notebook(lab.server.work / "gone.ipynb", ("x", [card_output("container", [id], ["brief"])]))
    show(lab, "gone.ipynb")
    state(lab, "running")
    engine.docker("rm", "-f", "brief")
    lab.find(f"{CARD}-gone", has_text="brief removed since").wait_for()
    lab.find(".stored").wait_for()


def test_tables_of_each_kind_are_live(lab: LabPage, engine: EngineUnderTest) -> None:
    one, two = run(engine, "one", "--stop-timeout", "0"), run(engine, "two", "--stop-timeout", "0")
    network = engine.docker("network", "create", "cards")
    engine.docker("volume", "create", "cards")
    image = engine.docker("image", "inspect", "-f", "{{.Id}}", "busybox")
    try:
        write_notebook(
            lab.server.work / "tables.ipynb",
            ("a", [card_output("containers", [one, two, "f" * 64], ["one", "two", "old"])]),
            ("b", [card_output("images", [image], ["busybox"]), card_output("build", [image], ["busybox"])]),
            ("c", [card_output("networks", [network], ["cards"]), card_output("volumes", ["cards"], ["cards"])]),
        )
        show(lab, "tables.ipynb")
        state(lab, "running")
        table = lab.find(f"{CARD} tr")
        table.filter(has_text="old").filter(has_text="removed since").wait_for()
        table.filter(has_text="two").locator("[data-verb=stop]").click()
        table.filter(has_text="two").filter(has_text="exited").wait_for()
        assert table.filter(has_text="one").filter(has_text="running").count() == 1
        lab.find(f"{CARD} [data-verb=use-as-kernel]").first.wait_for()
        lab.find(f"{CARD} [data-verb=run-image]").first.wait_for()
        assert table.filter(has_text="bridge").filter(has_text="cards").count() == 1
        lab.picture("cards-tables")
        assert axe.violations(lab, ".jp-NotebookPanel .jp-labdock-card") == []
    finally:
        engine.docker("network", "rm", "cards")
        engine.docker("volume", "rm", "cards", check=False)


def test_hostile_names_and_shapes_stay_text(lab: LabPage, engine: EngineUnderTest) -> None:
    evil = '<img src=x onerror="window.fired=1"><script>window.fired=2</script>'
    strange = card_output("container", ["a"], ["x"])
    shapes: tuple[object, ...] = (
        {"kind": "constructor", "ids": ["a"]},
        {"kind": "container", "ids": [{}]},
        [],
        7,
        None,
    )
    broken = [{**strange, "data": {**strange["data"], "application/vnd.labdock.v1+json": data}} for data in shapes]
    write_notebook(
        lab.server.work / "evil.ipynb",
        ("1", [card_output("container", ["f" * 64], [evil], html=evil)]),
        ("2", [card_output("images", [evil], [evil])]),
        *(("3", [output]) for output in broken),
    )
    lab.expect("404.*/x", "Failed to load resource.*404")
    show(lab, "evil.ipynb")
    lab.find(f"{CARD}-gone", has_text="onerror").nth(1).wait_for()
    # What has no shape is the HTML that came with it.
    lab.find(".stored").nth(len(shapes) - 1).wait_for()
    assert lab.page.evaluate("window.fired") is None


def test_a_card_without_a_running_engine_is_its_html(lab: LabPage, engine: EngineUnderTest) -> None:
    id = run(engine, "later")
    write_notebook(lab.server.work / "html.ipynb", ("x", [card_output("container", [id], ["later"])]))
    engine.stop()
    try:
        show(lab, "html.ipynb")
        lab.find(".stored").wait_for()
        lab.find(".jp-labdock-card-note", has_text="the engine does not run").wait_for()
        assert lab.find(CARD).count() == 0
    finally:
        engine.start()
    state(lab, "exited")
    assert not lab.find(".stored").is_visible()
