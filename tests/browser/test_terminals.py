"""JupyterLab's own terminal in a container: it types and answers, keeps its size, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.pages import LabPage
from tests.browser.panels import Panel
from tests.browser.test_sidebar import start
from tests.system.conftest import EngineUnderTest, wait_until

pytestmark = pytest.mark.browser

#: The text in the terminal that is open, whatever draws it.
SCREEN = """() => {
  const buffer = window.jupyterapp.shell.currentWidget?.content?._term?.buffer?.active;
  return !buffer ? '' : Array.from({ length: buffer.length },
    (_, n) => buffer.getLine(n)?.translateToString(true) ?? '').join('\\n');
}"""


def says(lab: LabPage, text: str) -> None:
    lab.wait(f"text => ({SCREEN})().includes(text)", f"the terminal says {text!r}", text)


def kind(lab: LabPage, text: str) -> None:
    lab.page.keyboard.type(text)
    lab.page.keyboard.press("Enter")


def shells(engine: EngineUnderTest, name: str) -> int:
    """How many processes of the container have a terminal."""
    return engine.docker("top", name).count("pts/")


@pytest.fixture
def web(desk: LabPage, engine: EngineUnderTest) -> Iterator[str]:
    """The id of a running container, with a terminal in it open."""
    id = start(engine, "web", "--hostname", "inside")
    Panel(desk).menu(id, "Terminal")
    desk.find(".jp-Terminal:visible").wait_for()
    says(desk, "#")
    yield id
    for name in (each["name"] for each in desk.server.fetch("api/terminals")):
        desk.server.delete(f"api/terminals/{name}")


def test_a_terminal_types_answers_follows_its_size_and_ends(desk: LabPage, engine: EngineUnderTest, web: str) -> None:
    kind(desk, "echo $(hostname) $((6 * 7)) 'ünïcode'")
    says(desk, "inside 42 ünïcode")
    kind(desk, "while :; do stty size > /size; sleep 0.1; done")
    wait_until(lambda: engine.docker("exec", "web", "cat", "/size", check=False), "the size is written down")
    size = tuple(map(int, engine.docker("exec", "web", "cat", "/size").split()))
    shown = desk.page.evaluate("(term => [term.rows, term.cols])(window.jupyterapp.shell.currentWidget.content._term)")
    assert size == tuple(shown), "as large as it is seen"
    desk.resize(1000, 500)

    def smaller() -> bool:
        found = tuple(map(int, (engine.docker("exec", "web", "cat", "/size") or "0 0").split()))
        return 0 < found[0] < size[0] and 0 < found[1] < size[1]

    wait_until(smaller, "the program sees the new size")
    desk.resize(1280, 800)
    # The key that interrupts does so in the container, and only what runs in the foreground.
    desk.page.keyboard.press("Control+c")
    kind(desk, "echo interr''upted; exec 2>/dev/null; yes | head -c 300000 | tr -d '\\n' | wc -c")
    says(desk, "interrupted")
    says(desk, "300000")
    desk.picture("terminal")
    kind(desk, "exit")
    wait_until(lambda: shells(engine, "web") == 0, "no shell is left in the container")
    wait_until(lambda: desk.server.fetch("api/terminals") == [], "the server has no terminal")
    desk.find(".jp-Terminal:visible").wait_for(state="detached")


def test_a_terminal_of_a_container_that_ends_is_over(desk: LabPage, engine: EngineUnderTest, web: str) -> None:
    engine.docker("kill", "web")
    wait_until(lambda: desk.server.fetch("api/terminals") == [], "the server has no terminal")


def test_a_terminal_that_is_shut_down_leaves_no_shell(desk: LabPage, engine: EngineUnderTest, web: str) -> None:
    kind(desk, "sleep 1000")
    wait_until(lambda: shells(engine, "web") == 2, "a shell and what runs in it")
    [found] = desk.server.fetch("api/terminals")
    desk.server.delete(f"api/terminals/{found['name']}")
    wait_until(lambda: shells(engine, "web") == 0, "no shell is left in the container")
