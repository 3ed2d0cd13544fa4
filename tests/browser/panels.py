"""The side bar with containers, as tests speak of it."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator

from tests.browser.pages import PATIENCE, LabPage

PANEL = "labdock-panel"

#: Writes down, for the row of the container named, when it first shows each state: milliseconds since 1970.
WATCH = """name => {
  const seen = window.labdockSeen = {};
  const look = () => {
    for (const row of document.querySelectorAll('#labdock-panel [data-kind="container"]')) {
      if ((row.getAttribute('aria-label') ?? row.textContent).trim().startsWith(name)) {
        seen[row.dataset.state] ??= performance.timeOrigin + performance.now();
      }
    }
  };
  new MutationObserver(look).observe(document.querySelector('#labdock-panel'),
    { subtree: true, childList: true, attributes: true, characterData: true });
}"""


class Panel:
    """The side bar of *lab*, opened."""

    def __init__(self, lab: LabPage) -> None:
        self.lab = lab
        self.widget = lab.sidebar(PANEL)

    def row(self, id: str, kind: str = "container") -> Locator:
        """The row of the thing with this full id (a volume's name)."""
        return self.widget.locator(f'[data-kind="{kind}"][data-id="{id}"]')

    def rows(self, kind: str = "container") -> Locator:
        return self.widget.locator(f'[data-kind="{kind}"][data-id]')

    def shows(self, id: str, state: str) -> Locator:
        """Wait until the container's row says this state; the row."""
        found = self.widget.locator(f'[data-kind="container"][data-id="{id}"][data-state="{state}"]')
        found.wait_for()
        return found

    def gone(self, id: str, kind: str = "container") -> None:
        self.row(id, kind).wait_for(state="detached")

    def filter(self, text: str) -> None:
        self.widget.locator('input[type="search"]').fill(text)

    def section(self, kind: str) -> Locator:
        """The line above all of a kind ("container", "image", "network", "volume")."""
        return self.widget.locator(f'[role="treeitem"][aria-level="1"][data-kind="{kind}"]')

    def unfold(self, kind: str) -> None:
        header = self.section(kind)
        header.wait_for()
        if header.get_attribute("aria-expanded") == "false":
            header.click()

    def menu(self, id: str, label: str, kind: str = "container") -> None:
        """Choose *label* of the row's context menu."""
        self.row(id, kind).click(button="right")
        item = self.lab.find(".lm-Menu-item:not(.lm-mod-hidden)", has_text=label).first
        item.click(timeout=PATIENCE)

    def live(self) -> Panel:
        """Wait until it lists what there is."""
        self.section("container").wait_for()
        return self

    def notice(self, title: str) -> Locator:
        """Wait until it says *title* in the place of the lists; the notice."""
        found = self.widget.locator(".jp-labdock-notice", has_text=title)
        found.wait_for()
        return found

    def watch(self, name: str) -> None:
        self.lab.page.evaluate(WATCH, name)

    def seen(self) -> dict[str, float]:
        """When the watched container's row first showed which state: seconds since 1970."""
        found: dict[str, Any] = self.lab.page.evaluate("window.labdockSeen")
        return {state: float(at) / 1000 for state, at in found.items()}
