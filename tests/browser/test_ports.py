"""What containers serve, opened by a browser: by a result's link, and in a tab of JupyterLab; below a base URL."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Frame, Page

from tests import web_app
from tests.browser import axe
from tests.browser.cells import write_notebook
from tests.browser.conftest import short_folder
from tests.browser.pages import LabPage
from tests.browser.servers import LabServer, clean_environment
from tests.system.conftest import EngineUnderTest

pytestmark = [pytest.mark.browser, pytest.mark.limit(240)]

#: A page that asks is a refusal until it was answered, and the application breaks an answer off on purpose.
EXPECTED = (r"403 \(Forbidden\)", r"net::ERR_")


@pytest.fixture(scope="module")
def hub_server(engine_of_all: EngineUnderTest) -> Iterator[LabServer]:
    """JupyterLab as a Hub's user has it, on an engine with the application's image."""
    root = short_folder()
    names = ("LABDOCK_DATA", "LABDOCK_RUN", "DOCKER_HOST", "DOCKER_CONFIG")
    environment = clean_environment(**{name: engine_of_all.environment[name] for name in names})
    environment["JUPYTERHUB_SERVICE_PREFIX"] = "/user/x/"
    found = LabServer(root, environment, base_url="/user/x/")
    web_app.make_image(engine_of_all, root)
    try:
        found.start()
        yield found
    finally:
        found.stop()
        engine_of_all.docker("rmi", "-f", web_app.IMAGE)
        shutil.rmtree(root)


def check(page: Page | Frame) -> None:
    """The application's own page, with all that it asked for by itself."""
    page.wait_for_function("document.querySelector('#result')?.textContent.startsWith('{')")
    assert json.loads(page.locator("#result").inner_text()) == {
        "colour": "rgb(1, 2, 3)",
        "echo": {"query": "a=%2F", "body": "said"},
        "uploaded": {"bytes": 20_000_000},
        "landed": [True, "session s3"],
        "socket": "hello back",
        "events": ["0", "1", "2"],
        "cut": "TypeError",
    }


def test_a_results_link_asks_once_and_opens_the_application(
    hub_server: LabServer, engine: EngineUnderTest, new_page: Callable[[LabServer], LabPage]
) -> None:
    lab = new_page(hub_server).open()
    lab.expect(*EXPECTED)
    # HTML alone, as pages without labdock's own cards show it: Notebook 7's, VS Code's.
    source = (
        "%load_ext labdock\nfrom IPython.display import HTML, display\n"
        f"made = %container run {' '.join(web_app.arguments())}\n"
        "listed = %container ps\n"
        "for each in (made, listed): display(HTML(each._repr_html_()))"
    )
    write_notebook(hub_server.work / "link.ipynb", (source, []))
    lab.notebook("link.ipynb")
    lab.command("notebook:run-all-cells")
    link = lab.find(".jp-OutputArea-output a", has_text=f"port {web_app.PORT}")
    link.wait_for()
    listed = lab.find(".jp-OutputArea-output a", has_text=f"{web_app.PORT}/tcp")
    assert "/labdock/port/" in (listed.get_attribute("href") or "")
    web_app.wait_ready(engine)
    with lab.page.context.expect_page() as opened:
        link.click()
    page = opened.value
    page.locator("h1", has_text=f"Open what {web_app.IMAGE} serves on port {web_app.PORT}?").wait_for()
    if folder := lab.picture("port-asks"):
        page.screenshot(path=folder)
    page.get_by_role("button", name="Trust this image and open").click()
    check(page)
    assert page.url.startswith(f"{hub_server.url}labdock/port/")
    page.get_by_role("link", name="deep").click()
    page.wait_for_url("**/sub/deep")
    page.close()
    with lab.page.context.expect_page() as again:
        listed.click()
    check(again.value)
    again.value.close()
    hub_server.forget_trust()


def test_a_port_opens_in_a_tab_when_its_image_is_trusted_and_not_before(
    hub_server: LabServer, engine: EngineUnderTest, new_page: Callable[[LabServer], LabPage]
) -> None:
    id = engine.docker("run", *web_app.arguments())
    web_app.wait_ready(engine)
    lab = new_page(hub_server).open()
    lab.expect(*EXPECTED)
    lab.sidebar("labdock-panel").locator(f'[data-id="{id}"][data-state="running"]').wait_for()
    lab.begin("labdock:open-port", id=id)
    dialog = lab.dialog()
    assert f"trust the image {web_app.IMAGE}" in dialog.inner_text()
    assert axe.violations(lab, ".jp-Dialog") == []
    lab.picture("port-trust")
    dialog.locator(".jp-mod-reject").click()
    dialog.wait_for(state="detached")
    assert lab.find(".jp-labdock-page").count() == 0
    lab.begin("labdock:open-port", id=id)
    lab.accept()
    tab = lab.find(".jp-labdock-page iframe")
    tab.wait_for()
    frame = tab.element_handle().content_frame()
    assert frame is not None
    check(frame)
    lab.picture("port-tab")
    lab.begin("labdock:open-port", id=id)
    lab.wait("document.querySelectorAll('.jp-labdock-page iframe').length === 2", "it does not ask again")
    hub_server.forget_trust()
