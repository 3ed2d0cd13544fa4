"""Logs, figures and files of containers, each in its tab."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import FilePayload

from tests.browser import axe
from tests.browser.pages import THEMES, LabPage
from tests.browser.panels import Panel
from tests.system.conftest import EngineUnderTest

pytestmark = pytest.mark.browser
LINES = ".jp-labdock-logs-line"
#: Milliseconds that the page may be held up at once on a busy machine; figures are some 100.
LONG = 1000


def run(engine: EngineUnderTest, name: str, script: str) -> str:
    return engine.docker("run", "-d", "--name", name, "--stop-timeout", "0", "busybox", "sh", "-c", script)


def open_log(lab: LabPage, id: str) -> None:
    lab.begin("labdock:logs", id=id)
    lab.find(LINES).first.wait_for()


def status(lab: LabPage, text: str) -> None:
    lab.find(".jp-labdock-logs-foot", has_text=text).first.wait_for()


def test_a_long_log_is_followed_searched_and_only_partly_in_the_page(
    lab: LabPage, engine: EngineUnderTest, record_property: Callable[[str, object], None]
) -> None:
    script = "seq 1 100000; while [ ! -e /go ]; do sleep 0.2; done; echo the very last; sleep 600"
    id = run(engine, "long", script)
    with lab.long_tasks() as tasks:
        open_log(lab, id)
        status(lab, "100,000 lines")
        assert lab.find(LINES).count() < 300
        assert lab.find(LINES, has_text="100000").count() == 1, "it follows"
        search = lab.find(".jp-labdock-logs input[type=search]")
        search.fill("7777")
        lab.find(".jp-labdock-logs-count", has_text="of 19").wait_for()
    record_property("milliseconds", tasks)
    assert max(tasks, default=0) < LONG, tasks
    status(lab, "Stopped where you read")
    lab.find(".jp-labdock-logs-line.jp-labdock-mod-current mark", has_text="7777").wait_for()
    before = lab.find(".jp-labdock-logs-line.jp-labdock-mod-current").text_content()
    search.press("Shift+Enter")
    lab.wait(
        "before => document.querySelector('.jp-labdock-logs-line.jp-labdock-mod-current')?.textContent !== before",
        "another match",
        before,
    )
    lab.picture("log-search")
    engine.docker("exec", "long", "touch", "/go")
    end = lab.find(".jp-labdock-logs-foot button", has_text="1 new")
    end.wait_for()
    assert lab.find(LINES, has_text="the very last").count() == 0, "what is read stays where it is"
    end.click()
    lab.find(LINES, has_text="the very last").wait_for()
    status(lab, "Following")
    assert axe.violations(lab, ".jp-labdock-logs") == []
    assert axe.small_targets(lab, ".jp-labdock-logs") == []


def test_a_log_has_colours_streams_times_and_wrapped_lines(lab: LabPage, engine: EngineUnderTest) -> None:
    script = (
        r"""printf '\033[31mred\033[0m plain\n'; echo '<b>bold?</b>'; echo wrong >&2; printf '%0600d\n' 0; sleep 600"""
    )
    id = run(engine, "colours", script)
    open_log(lab, id)
    status(lab, "4 lines")
    assert lab.find(".jp-labdock-ansi-fg1").all_text_contents() == ["red"]
    assert lab.find(LINES, has_text="<b>bold?</b>").count() == 1
    assert lab.find(".jp-labdock-logs-err").all_text_contents() == ["wrong"]
    lab.find(".jp-labdock-logs button", has_text="Times").click()
    lab.find(".jp-labdock-logs-time").first.wait_for()
    lab.find(".jp-labdock-logs button", has_text="Wrap").click()
    lab.wait(
        "[...document.querySelectorAll('.jp-labdock-logs-line')].some(line => line.clientHeight > 50)", "wrapped lines"
    )
    for theme in ("dark", "light"):
        lab.theme(theme)
        assert axe.violations(lab, ".jp-labdock-logs") == []
        lab.picture(f"log-{theme}")
    engine.docker("rm", "-f", "colours")
    status(lab, "removed")


def test_figures_are_drawn(lab: LabPage, engine: EngineUnderTest) -> None:
    id = run(engine, "busy", "sleep 600")
    lab.begin("labdock:stats", id=id)
    lab.find(".jp-labdock-usage-memory").wait_for()
    lab.find(".jp-labdock-usage-memory polyline").wait_for(state="attached")
    lab.find(".jp-labdock-stats-figures", has_text="Processes").wait_for()
    lab.picture("stats")
    assert axe.violations(lab, ".jp-labdock-stats") == []
    lab.begin("labdock:stats", id="all")
    lab.find(".jp-labdock-stats tr", has_text="busy").locator("polyline").first.wait_for(state="attached")


@pytest.mark.parametrize("running", [True, False])
def test_files_are_browsed_uploaded_and_downloaded(lab: LabPage, engine: EngineUnderTest, running: bool) -> None:
    script = "mkdir -p /data/in; echo hello > /data/note.txt; ln -s in /data/link"
    id = run(engine, "files", f"{script}; sleep 600" if running else script)
    if running:
        engine.docker("exec", "files", "sh", "-c", "until [ -L /data/link ]; do sleep 0.1; done")
    else:
        engine.docker("wait", "files")
    lab.begin("labdock:browse-files", id=id)
    files = lab.find(".jp-labdock-files")
    files.locator("th button", has_text="data").click()
    files.locator("tr", has_text="note.txt").wait_for()
    assert axe.violations(lab, ".jp-labdock-files") == []
    with lab.page.expect_download() as download:
        files.locator("a[aria-label='Download note.txt']").click()
    assert download.value.path().read_text() == "hello\n"
    files.locator("th button", has_text="link").click()
    files.locator(".jp-labdock-crumbs [aria-current]").wait_for()
    payload = FilePayload(name="sent.txt", mimeType="text/plain", buffer=b"from the browser")
    files.locator("input[type=file]").set_input_files([payload])
    files.locator("tr", has_text="sent.txt").wait_for()
    assert engine.docker("cp", "files:/data/in/sent.txt", "-", check=True).count("from the browser") == 1
    lab.picture("files")


def test_what_the_engine_knows_is_unfolded_searched_and_copied(lab: LabPage, engine: EngineUnderTest) -> None:
    id = run(engine, "known", "sleep 600")
    Panel(lab).shows(id, "running")
    lab.begin("labdock:inspect", id=id)
    view = lab.find(".jp-labdock-inspect")
    lines = view.locator("[role=treeitem]")
    lines.first.wait_for()
    for theme in THEMES:
        lab.theme(theme)
        assert axe.violations(lab, ".jp-labdock-inspect") == [], theme
    assert axe.small_targets(lab, ".jp-labdock-inspect") == []
    lab.picture("inspect")
    view.get_by_role("button", name="Fold all", exact=True).click()
    before = lines.count()
    lines.filter(has_text="HostConfig").click()
    assert lines.count() > before
    search = view.locator("input[type=search]")
    search.fill("sleep 600")
    view.locator("[role=status]", has_text="matches").wait_for()
    assert lines.filter(has_text="Config").count() >= 1, "the way there is shown"
    search.fill("stopTimeout")
    lines.filter(has_text="StopTimeout").wait_for()
    assert view.locator(".jp-labdock-mod-found").all_text_contents() == ["StopTimeout0"]
    # By the keyboard: to the line, up the tree and down again, and what is chosen is copied.
    view.locator("[role=tree]").focus()
    lab.page.keyboard.press("End")
    lab.page.keyboard.press("ControlOrMeta+c")
    lab.wait("async () => await navigator.clipboard.readText() === '0'", "the value is in the clipboard")
    lab.page.keyboard.press("ArrowLeft")
    lab.page.keyboard.press("ArrowLeft")
    lab.wait("!document.querySelector('.jp-labdock-inspect').textContent.includes('StopTimeout')", "folded up")
    search.fill("")
    view.locator("button", has_text="Copy Config").click()
    lab.wait("async () => !!JSON.parse(await navigator.clipboard.readText()).Cmd", "the part is in the clipboard")
    engine.docker("rename", "known", "renamed")
    view.locator("button", has_text="Refresh").click()
    lines.filter(has_text="/renamed").wait_for()
