"""JupyterLab with labdock beside it, before anything of labdock is touched."""

from __future__ import annotations

import pytest

from tests.browser.pages import THEMES, LabPage

pytestmark = pytest.mark.browser


def test_jupyterlab_opens_and_changes_its_themes_without_an_error(lab: LabPage) -> None:
    for name in THEMES:
        lab.theme(name)
    assert lab.page.title().startswith("JupyterLab")


def test_an_error_on_the_console_is_seen(lab: LabPage) -> None:
    lab.expect("told on purpose", "thrown on purpose")
    lab.page.evaluate("console.error('told on purpose'); setTimeout(() => { throw new Error('thrown on purpose') })")
    lab.page.wait_for_timeout(200)
    assert len(lab.errors) == 2
    assert not lab.unexpected()
