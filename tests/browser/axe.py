"""What axe-core finds fault with in a part of a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser.pages import LabPage

AXE = Path(__file__).parents[2] / "extension" / "node_modules" / "axe-core" / "axe.min.js"

RUN = """async selector => {
  const found = await axe.run(selector, { resultTypes: ['violations'] });
  return { passes: found.passes.length, violations: found.violations.map(violation => ({
    id: violation.id, help: violation.help,
    nodes: violation.nodes.map(node =>
      node.html.slice(0, 300) + ' :: ' + node.failureSummary.replace(/\\s+/g, ' ')) })) };
}"""

#: Elements that can be pressed and are smaller than 24 pixels either way (WCAG 2.5.8), inside *selector*.
SMALL = """selector => [...document.querySelectorAll(selector)].flatMap(part =>
  [...part.querySelectorAll('button, a[href], input, select, [role=button], [role=treeitem], [role=option]')])
  .filter(element => element.checkVisibility({ visibilityProperty: true }))
  .map(element => [element, element.getBoundingClientRect()])
  .filter(([element, box]) => box.width > 0 && (box.width < 23.5 || box.height < 23.5)
     && !['checkbox', 'radio', 'hidden', 'file'].includes(element.type))
  .map(([element, box]) => `${Math.round(box.width)}x${Math.round(box.height)} ${element.outerHTML.slice(0, 160)}`)"""


def violations(lab: LabPage, selector: str) -> list[str]:
    """A line for each rule and element that fails within the elements that *selector* finds."""
    lab.page.locator(selector).first.wait_for()
    if not lab.page.evaluate("'axe' in window"):
        assert AXE.is_file(), f"{AXE} is not there: make setup"
        lab.page.add_script_tag(path=str(AXE))
    found: dict[str, Any] = lab.page.evaluate(RUN, selector)
    assert found["passes"] > 3, "axe looked at something"
    return [f"{fault['id']}: {fault['help']}\n    {node}" for fault in found["violations"] for node in fault["nodes"]]


def small_targets(lab: LabPage, selector: str) -> list[str]:
    found: list[str] = lab.page.evaluate(SMALL, selector)
    return found
