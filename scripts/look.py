"""Open JupyterLab on an engine of its own in a headless browser, do a few things, and leave a picture.

    scripts/look.py build/look.png --docker "run -d --name web busybox sleep 100" --command labdock:open-panel
    scripts/look.py build/dark.png --theme dark --size 800x600 --width 200 --open notebooks/quickstart.ipynb

Everything happens in folders under /tmp that are removed; errors on the page's console are printed. As root it runs as
root; ``scripts/user.sh .venv/bin/python scripts/look.py /tmp/…`` is the unprivileged way.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import click
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import stores
from tests.browser.conftest import short_folder
from tests.browser.pages import LabPage, open_context
from tests.browser.servers import LabServer, clean_environment
from tests.system.conftest import EngineUnderTest


@click.command(help=__doc__)
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("--docker", "calls", multiple=True, help="Arguments of the docker command, before the page opens.")
@click.option("--later", multiple=True, help="The same, when the page is open.")
@click.option(
    "--file", "files", multiple=True, type=click.Path(exists=True, path_type=Path), help="Put into the work folder."
)
@click.option(
    "--open", "opened", multiple=True, type=click.Path(exists=True, path_type=Path), help="Put there and opened."
)
@click.option("--command", "commands", multiple=True, help="ID or ID={JSON arguments}, in order.")
@click.option("--click", "clicks", multiple=True, help="CSS selectors to click then, in order.")
@click.option("--js", default="", help="JavaScript to run then; what it gives is printed.")
@click.option("--theme", default="light", help="light, dark or contrast")
@click.option("--size", default="1280x800")
@click.option("--scale", default=1.0, help="Pixels of the picture for one of the page.")
@click.option("--width", type=int, help="Width of the left side bar.")
@click.option("--wait", "pause", default=1000, help="Milliseconds before the picture.")
@click.option("--part", help="CSS selector of the part that is wanted.")
@click.option("--without-engine", is_flag=True, help="Do not start the engine.")
def main(
    picture: Path,
    calls: tuple[str, ...],
    later: tuple[str, ...],
    files: tuple[Path, ...],
    opened: tuple[Path, ...],
    commands: tuple[str, ...],
    clicks: tuple[str, ...],
    js: str,
    theme: str,
    size: str,
    scale: float,
    width: int | None,
    pause: int,
    part: str | None,
    without_engine: bool,
) -> None:
    root = short_folder()
    engine = EngineUnderTest(root)
    names = ("LABDOCK_DATA", "LABDOCK_RUN", "DOCKER_HOST", "DOCKER_CONFIG")
    server = LabServer(root / "lab", clean_environment(**{name: engine.environment[name] for name in names}))
    server.root.mkdir()
    server.work.mkdir()
    if not without_engine:
        engine.start()
    try:
        for call in calls:
            click.echo(engine.docker(*shlex.split(call), check=False))
        for path in (*files, *opened):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, server.work / path.name)
        server.start()
        with sync_playwright() as playwright:
            context = open_context(playwright, root / "profile", scale)
            wide, high = (int(side) for side in size.split("x"))
            page = LabPage(context, server).open(size=(wide, high), theme=theme)
            for path in opened:
                page.command("docmanager:open", path=path.name)
            for command in commands:
                id, _, arguments = command.partition("=")
                page.begin(id, **json.loads(arguments or "{}"))
                page.page.wait_for_timeout(300)
            for call in later:
                click.echo(engine.docker(*shlex.split(call), check=False))
            for selector in clicks:
                page.find(selector).first.click()
                page.page.wait_for_timeout(300)
            if width:
                page.widen(width)
            if js:
                click.echo(json.dumps(page.page.evaluate(js), indent=1))
            page.page.wait_for_timeout(pause)
            os.environ["LABDOCK_PICTURES"] = str(picture.parent)
            page.picture(picture.stem, part)
            click.echo("\n".join([str(picture), *page.errors]))
            context.close()
    finally:
        server.stop()
        if ids := engine.docker("ps", "-aq", check=False).split():
            engine.docker("rm", "-f", *ids, check=False)
        engine.stop()
        stores.remove(root)


if __name__ == "__main__":
    main()
