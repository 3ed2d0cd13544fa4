"""One engine, one JupyterLab and one browser for all tests of this folder; a page for each test.

``LABDOCK_PICTURES=FOLDER`` keeps the pictures that tests make, and one of each page whose test failed;
``LABDOCK_PICTURE_SCALE`` is how many pixels they have for one of the page. See scripts/browser.sh.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, sync_playwright

from tests import stores
from tests.browser.pages import LabPage, open_context
from tests.browser.panels import Panel
from tests.browser.servers import LabServer, clean_environment
from tests.system.conftest import EngineUnderTest

_failed = pytest.StashKey[bool]()


def short_folder() -> Path:
    """A new folder with a short name that the ids which stand in for root can pass."""
    made = Path(tempfile.mkdtemp(prefix="ld-", dir="/tmp"))
    made.chmod(0o711)
    return made


@pytest.fixture(scope="session")
def engine_of_all() -> Iterator[EngineUnderTest]:
    root = short_folder()
    found = EngineUnderTest(root)
    found.start()
    yield found
    if ids := found.docker("ps", "-aq", check=False).split():
        found.docker("rm", "-f", *ids, check=False)
    found.stop()
    stores.remove(root)


@pytest.fixture(scope="session")
def server(engine_of_all: EngineUnderTest) -> Iterator[LabServer]:
    """The JupyterLab of all tests; its work folder is empty at the start."""
    root = short_folder()
    names = ("LABDOCK_DATA", "LABDOCK_RUN", "DOCKER_HOST", "DOCKER_CONFIG")
    found = LabServer(root, clean_environment(**{name: engine_of_all.environment[name] for name in names}))
    try:
        found.start()
        yield found
    finally:
        found.stop()
        shutil.rmtree(root)


@pytest.fixture(scope="session")
def context() -> Iterator[BrowserContext]:
    profile = short_folder()
    with sync_playwright() as playwright:
        found = open_context(playwright, profile, float(os.environ.get("LABDOCK_PICTURE_SCALE") or 1))
        yield found
        found.close()
    shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
def engine(engine_of_all: EngineUnderTest) -> Iterator[EngineUnderTest]:
    """The engine of all tests, without containers at the start and the end of this one."""
    yield engine_of_all
    if ids := engine_of_all.docker("ps", "-aq").split():
        engine_of_all.docker("rm", "-f", *ids)


@pytest.fixture
def lab(
    request: pytest.FixtureRequest, context: BrowserContext, server: LabServer, engine: EngineUnderTest
) -> Iterator[LabPage]:
    """A page with JupyterLab open; its test fails on errors on the console that it did not expect."""
    yield from _page(request, LabPage(context, server).open())


@pytest.fixture(scope="module")
def page_of_all(context: BrowserContext, server: LabServer) -> Iterator[LabPage]:
    """The page that the tests of a file share, with the side bar open."""
    found = LabPage(context, server).open()
    Panel(found).live()
    yield found
    found.close()


@pytest.fixture
def desk(request: pytest.FixtureRequest, page_of_all: LabPage, engine: EngineUnderTest) -> Iterator[LabPage]:
    """The file's one page: what a test leaves open in it is closed, and it is loaded anew after one that failed."""
    page = page_of_all
    page.errors.clear()
    page.unexpect()
    yield page
    if request.node.stash.get(_failed, False):
        page.picture(f"failed-{request.node.name}")
        page.open()
        return
    unexpected = page.unexpected()
    page.tidy()
    assert not unexpected, "errors on the console:\n" + "\n".join(unexpected)


@pytest.fixture
def new_page(request: pytest.FixtureRequest, context: BrowserContext) -> Iterator[Callable[[LabServer], LabPage]]:
    """Makes pages that are not opened yet, on any server."""
    made: list[Iterator[LabPage]] = []

    def make(server: LabServer) -> LabPage:
        made.append(_page(request, LabPage(context, server)))
        return next(made[-1])

    yield make
    for page in made:
        next(page, None)


def _page(request: pytest.FixtureRequest, page: LabPage) -> Iterator[LabPage]:
    try:
        yield page
        if request.node.stash.get(_failed, False):
            page.picture(f"failed-{request.node.name}")
            return
        unexpected = page.unexpected()
        assert not unexpected, "errors on the console:\n" + "\n".join(unexpected)
    finally:
        page.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report
