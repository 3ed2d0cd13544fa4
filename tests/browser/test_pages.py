"""Results in a real browser: whatever names, labels and logs say, no script runs, no page is fetched.

What can be told without a browser (elements, attributes, addresses) is tested in tests/unit/commands.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert import HTMLExporter

from tests.browser.pages import find_browser
from tests.unit.notebook.test_hostile import TOGETHER, of_builds, of_commands, of_values, of_widgets

pytestmark = pytest.mark.browser

GOLDEN = Path(__file__).parents[1] / "unit" / "commands" / "golden"
#: Runs before anything else in the page: whatever runs later is written down where --dump-dom shows it.
WATCH = """<script>
const fired = [];
const note = what => { fired.push(what); document.documentElement.dataset.fired = fired.join(" "); };
window.alert = window.prompt = window.confirm = text => note("dialog:" + text);
window.addEventListener("error", event => event.target !== window && note("loaded:" + event.target.tagName), true);
document.documentElement.dataset.fired = "";
</script>"""
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --disable-sync --disable-background-networking "
    "--disable-component-update --no-first-run --virtual-time-budget=3000 --dump-dom"
).split()
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">'


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ld-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


def fired(folder: Path, body: str) -> str:
    """What ran in a page with *body*: words, "" for nothing."""
    page = folder / "page.html"
    page.write_text(f"<!doctype html><html><head><meta charset=utf-8>{WATCH}</head><body>{body}</body></html>")
    command = [find_browser(), *FLAGS, f"--user-data-dir={folder / 'profile'}", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True).stdout
    found = re.search(r'data-fired="([^"]*)"', dom)
    assert found, dom[:500]
    return found[1]


def test_the_watch_sees_what_runs(folder: Path) -> None:
    assert set(fired(folder, HOSTILE).split()) == {"dialog:1", "dialog:2", "loaded:IMG"}


def test_results_run_nothing(folder: Path) -> None:
    pages = sorted(GOLDEN.glob("*.html"))
    texts = [page.read_text() for page in pages]
    assert sum("&lt;script&gt;" in text for text in texts) > 10, "the goldens have hostile names"
    # Everything folded is opened, as a reader would.
    assert fired(folder, "".join(texts).replace("<details>", "<details open>")) == ""


@pytest.mark.parametrize("make", [of_commands, of_values, of_builds])
def test_results_of_a_hostile_engine_run_nothing(folder: Path, make: Callable[[str], Iterator[Any]]) -> None:
    """Every kind of result, error and widget, of an engine all whose texts are attacks."""
    texts = []
    for payload in TOGETHER:
        texts += [shown._repr_mimebundle_().get("text/html", "") for shown in make(payload)]
        texts += list(of_widgets(payload)) if make is of_values else []
    assert sum("&lt;script&gt;" in text for text in texts) > 5, "hostile names are in them"
    assert fired(folder, "".join(texts).replace("<details>", "<details open>")) == ""


def test_a_converted_notebook_runs_nothing(folder: Path) -> None:
    made = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    for page in sorted(GOLDEN.glob("*.html")):
        data = {"text/html": page.read_text(), "text/plain": page.with_suffix(".txt").read_text()}
        output = nbformat.v4.new_output("display_data", data=data)  # type: ignore[no-untyped-call]
        stream = nbformat.v4.new_output("stream", name="stdout", text=HOSTILE)  # type: ignore[no-untyped-call]
        cell = nbformat.v4.new_code_cell("%container ps", outputs=[output, stream])  # type: ignore[no-untyped-call]
        made.cells.append(cell)
    exporter = HTMLExporter(template_name="basic")  # type: ignore[no-untyped-call]
    body, _ = exporter.from_notebook_node(made)
    assert fired(folder, body) == ""
