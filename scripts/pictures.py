"""The documentation's pictures of JupyterLab: one engine, one server, one browser, a scene for each.

    scripts/pictures.py docs             # all of them, as docs/NAME.png
    scripts/pictures.py build card port

``scripts/user.sh .venv/bin/python scripts/pictures.py /tmp/…`` is the unprivileged way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import stores
from tests.browser.cells import write_notebook
from tests.browser.conftest import short_folder
from tests.browser.pages import LabPage, open_context
from tests.browser.panels import Panel
from tests.browser.servers import LabServer, clean_environment
from tests.browser.test_kernels import labdock
from tests.system.conftest import EngineUnderTest
from tests.system.kernels import IPYKERNEL, import_image

#: A page that says what it is; served by the busybox that labdock brings.
SITE = (
    "<!doctype html><title>The shop</title><style>body{font:18px system-ui;margin:3em}</style><h1>The shop</h1>"
    "<p>Served by a container, seen through the Jupyter server: no port of this machine is taken.</p>"
)
SERVE = f"mkdir /www && echo '{SITE}' > /www/index.html && exec httpd -f -p 80 -h /www"


class Studio:
    def __init__(self, engine: EngineUnderTest, server: LabServer, lab: LabPage, folder: Path) -> None:
        self.engine = engine
        self.server = server
        self.lab = lab
        self.folder = folder

    def shoot(self, name: str, part: str | None = None) -> None:
        path = self.folder / f"{name}.png"
        where = self.lab.page.locator(part).first if part else self.lab.page
        where.screenshot(path=path, animations="disabled", caret="hide")
        click.echo(f"{path} ({path.stat().st_size // 1024} KiB)")

    def furnish(self) -> None:
        """Some things to see."""
        run = ("run", "-d", "--stop-timeout", "0")
        self.engine.docker(*run, "--name", "web", "--expose", "80", "busybox", "sh", "-c", SERVE)
        shop = ("--label", "com.docker.compose.project=shop", "--label")
        for name in ("db", "worker"):
            self.engine.docker(*run, "--name", name, *shop, f"com.docker.compose.service={name}", "busybox", "top")
        self.engine.docker("run", "--name", "once", "busybox", "true")
        self.engine.docker("volume", "create", "data")
        self.engine.docker("network", "create", "shop_default")


def sidebar(studio: Studio) -> None:
    """In each theme."""
    for theme, name in (("dark", "sidebar-dark"), ("contrast", "sidebar-contrast"), ("light", "sidebar")):
        studio.lab.open(size=(1000, 560)).theme(theme)
        panel = Panel(studio.lab).live()
        panel.row(studio.engine.docker("inspect", "-f", "{{.Id}}", "worker")).locator(".jp-labdock-name").click()
        studio.lab.page.mouse.move(600, 540)
        # Two samples: a figure has a line then.
        studio.lab.page.wait_for_timeout(4000)
        studio.shoot(name)


def card(studio: Studio) -> None:
    lab = studio.lab.open(size=(900, 420))
    write_notebook(studio.server.work / "card.ipynb", ("%load_ext labdock\n%container ps --filter name=web", []))
    lab.command("application:toggle-left-area")
    lab.notebook("card.ipynb")
    lab.page.evaluate(
        "s => window.jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel.setSource(s)",
        "%load_ext labdock\n%container run -d --name shop --expose 80 busybox httpd -f -p 80",
    )
    lab.command("notebook:run-all-cells")
    lab.find(".jp-labdock-card .jp-labdock-badge", has_text="running").wait_for()
    lab.page.wait_for_timeout(4000)
    studio.shoot("card")


def port(studio: Studio) -> None:
    lab = studio.lab.open(size=(1000, 420))
    id = studio.engine.docker("inspect", "-f", "{{.Id}}", "web")
    Panel(lab).shows(id, "running")
    lab.begin("labdock:open-port", id=id, port=80)
    lab.dialog()
    studio.shoot("port-trust")
    lab.accept()
    lab.find(".jp-labdock-page iframe").content_frame.locator("h1").wait_for()
    studio.shoot("port")


def kernel(studio: Studio) -> None:
    import_image(studio.engine, "analysis:2026", *IPYKERNEL)
    labdock(studio.server, "kernel", "add", "analysis:2026", "--name", "analysis", "--display-name", "Analysis 2026")
    lab = studio.lab.open(size=(760, 420))
    lab.command("application:toggle-left-area")
    lab.find(".jp-LauncherCard", has_text="Analysis").first.wait_for()
    lab.page.wait_for_timeout(500)
    studio.shoot("kernel")


SCENES: dict[str, Callable[[Studio], None]] = {"sidebar": sidebar, "card": card, "port": port, "kernel": kernel}


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("scenes", nargs=-1, type=click.Choice(tuple(SCENES)))
def main(folder: Path, scenes: tuple[str, ...]) -> None:
    root = short_folder()
    engine = EngineUnderTest(root)
    names = ("LABDOCK_DATA", "LABDOCK_RUN", "DOCKER_HOST", "DOCKER_CONFIG")
    server = LabServer(root / "lab", clean_environment(**{name: engine.environment[name] for name in names}))
    server.root.mkdir()
    server.work.mkdir()
    engine.start()
    try:
        server.start()
        with sync_playwright() as playwright:
            context = open_context(playwright, root / "profile")
            studio = Studio(engine, server, LabPage(context, server), folder)
            studio.furnish()
            for name in scenes or SCENES:
                SCENES[name](studio)
            context.close()
    finally:
        server.stop()
        if ids := engine.docker("ps", "-aq", check=False).split():
            engine.docker("rm", "-f", *ids, check=False)
        engine.stop()
        stores.remove(root)


if __name__ == "__main__":
    main()
