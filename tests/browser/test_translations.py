"""Every text of the side bar, its menus and dialogs can be translated: in a language of brackets, none is without."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route

from tests.browser.pages import LabPage
from tests.browser.panels import Panel
from tests.browser.test_accessibility import DIALOGS, fill
from tests.system.conftest import EngineUnderTest

pytestmark = [pytest.mark.browser, pytest.mark.limit(120)]
POT = Path(__file__).parents[2] / "extension" / "locale" / "labdock.pot"
#: Any but English, which JupyterLab does not look up.
LOCALE = "eo"
#: Texts and names below an element that a person is shown or read, without those inside code.
TEXTS = """selector => [...document.querySelectorAll(selector)].flatMap(root => {
    const found = [];
    const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        found.push(walk.currentNode.data);
    }
    for (const one of [root, ...root.querySelectorAll('*')]) {
        found.push(...['title', 'aria-label', 'placeholder'].map(name => one.getAttribute(name) ?? ''));
    }
    return found;
})"""
#: What is no language's: the things' own names and ids, numbers with units, and examples of what to type.
DATA = (
    r"web|paused|ended|failed|made|files|shop|busybox(:latest)?|bridge|host|none|local|null",
    r"busybox sleep \d+|sleep|\d+m?",
    r"[0-9a-f]{12}|sha256:[0-9a-f]+|[\d.,:]+ ?(ms|s|m|h|d|B|kB|MB|GB|%)?|[\d.]+/\d+",
    r"[\d.:]+ ?→ ?\d+(/tcp)?|127\.0\.0\.1",
)


def bracketed(text: str) -> str:
    return f"⟦{text}⟧"


def messages() -> dict[str, list[str]]:
    """The template's texts as a catalogue in the language of brackets, in the form that JupyterLab's server gives."""
    found: dict[str, list[str]] = {}
    for entry in POT.read_text().split("\n\n")[1:]:
        words = dict(re.findall(r'^(msgctxt|msgid|msgid_plural) (".*")$', entry, flags=re.M))
        context, text, plural = (ast.literal_eval(words.get(n, '""')) for n in ("msgctxt", "msgid", "msgid_plural"))
        key = f"{context}\u0004{text}" if context else text
        found[key] = [bracketed(text), bracketed(plural)] if plural else [bracketed(text)]
    return found


def in_brackets(route: Route) -> None:
    """What the server says of a language, and ours in brackets."""
    header = {"domain": "labdock", "language": LOCALE, "plural_forms": "nplurals=2; plural=(n != 1);", "version": "0"}
    catalogue: dict[str, Any] = {"": header, **messages()}
    route.fulfill(body=json.dumps({"data": {"labdock": catalogue}, "message": ""}), content_type="application/json")


def untranslated(lab: LabPage, selector: str) -> list[str]:
    """Words below *selector* that stand outside all brackets and are no data."""
    rest = set()
    for text in lab.page.evaluate(TEXTS, selector):
        while (outer := re.sub(r"⟦[^⟦⟧]*⟧", " ", text)) != text:
            text = outer
        for part in re.split(r"\s*[·:,]\s+|\s{2,}|\n", text):
            part = part.strip(" ·:,–()…")
            if re.search(r"[A-Za-z]", part) and not any(re.fullmatch(known, part) for known in DATA):
                rest.add(part)
    return sorted(rest)


@contextmanager
def spoken(lab: LabPage, locale: str) -> Iterator[None]:
    """JupyterLab's language, from the next page on."""
    save = "locale => window.jupyterapp.serviceManager.settings.save('@jupyterlab/translation-extension:plugin',"
    save += " JSON.stringify({ locale }))"
    lab.page.evaluate(save, locale)
    try:
        yield
    finally:
        lab.page.evaluate(save, "default")


def test_no_text_is_without_a_translation(lab: LabPage, engine: EngineUnderTest) -> None:
    lab.page.route("**/lab/api/translations/*", in_brackets)
    with spoken(lab, LOCALE):
        lab.reload()
        look(lab, engine)


def look(lab: LabPage, engine: EngineUnderTest) -> None:
    panel = Panel(lab).live()
    id = fill(engine, panel)
    lab.find("#labdock-panel", has_text="⟦").wait_for()
    assert untranslated(lab, "#labdock-panel") == []
    lab.picture("brackets")

    panel.row(id).click(button="right")
    menu = lab.find(".lm-Menu[data-type], .lm-Menu").last
    menu.wait_for()
    labels = ".lm-Menu-item[data-command^='labdock:'] .lm-Menu-itemLabel"
    assert lab.find(labels).count() > 5
    assert untranslated(lab, labels) == []
    lab.page.keyboard.press("Escape")

    about = {"": {}, "container": {"id": id}}
    for verb, what in DIALOGS.items():
        if what not in about:
            continue
        lab.begin(f"labdock:{verb}", **about[what])
        lab.dialog().locator("button").first.wait_for()
        # JupyterLab's own parts of a dialog are not in our catalogue.
        assert untranslated(lab, ".jp-Dialog-header, .jp-Dialog .jp-labdock-form, .jp-Dialog-footer") == [], verb
        lab.page.keyboard.press("Escape")
        lab.find(".jp-Dialog").wait_for(state="detached")

    labels = "window.jupyterapp.commands.listCommands().filter(id => id.startsWith('labdock:')).flatMap(id => {"
    labels += " const c = window.jupyterapp.commands; return [c.label(id, {}), c.caption(id, {})]; })"
    outside = [text for text in lab.page.evaluate(labels) if text and not re.fullmatch(r"⟦.*⟧", text)]
    assert outside == []
