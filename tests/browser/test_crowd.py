"""A thousand containers: the side bar is there soon, only partly in the page, and never holds it up."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.browser.pages import LabPage
from tests.browser.panels import Panel
from tests.system.conftest import EngineUnderTest

pytestmark = [pytest.mark.browser, pytest.mark.limit(180)]
MANY = 1000
#: Milliseconds that the page may be held up at once on a busy machine; figures are some 100.
LONG = 1000


def test_a_thousand_containers_are_listed_filtered_and_kept_current(
    lab: LabPage, engine: EngineUnderTest, record_property: Callable[[str, object], None]
) -> None:
    engine.docker("create", "--name", "zebra", "busybox", "sleep", "600")
    client = engine.client()

    def make(number: int) -> str:
        labels = {"com.docker.compose.project": f"project{number % 20}"}
        found: str = client.api.create_container("busybox", ["sleep", "600"], name=f"many{number:03}", labels=labels)[
            "Id"
        ]
        return found

    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(make, range(MANY)))
    try:
        with lab.long_tasks() as tasks:
            began = time.monotonic()
            panel = Panel(lab).live()
            lab.find(".jp-labdock-count", has_text=str(MANY + 1)).first.wait_for()
            took = time.monotonic() - began
            assert panel.rows().count() < 100
            panel.widget.locator("[role=tree]").hover()
            for _ in range(20):
                lab.page.mouse.wheel(0, 2500)
            lab.find("#labdock-panel [data-kind=container]", has_text="zebra").wait_for()
            panel.filter("many777")
            panel.row(ids[777]).wait_for()
            assert panel.rows().count() == 1
            panel.filter("")
            # What changes is told one by one, while all are listed.
            for id in ids[:20]:
                client.api.start(id)
            panel.filter("running")
            panel.shows(ids[19], "running")
        record_property("milliseconds", {"tasks": tasks, "first": round(took * 1000)})
        assert max(tasks, default=0) < LONG, tasks
    finally:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda id: client.api.remove_container(id, force=True), ids))
        client.close()
