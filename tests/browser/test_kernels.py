"""Notebooks whose kernel runs in an image: from the launcher, from a card, with the engine at hand; what goes wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser.cells import card_output, write_notebook
from tests.browser.pages import LabPage
from tests.browser.servers import LabServer
from tests.system.conftest import EngineUnderTest, wait_until
from tests.system.kernels import IPYKERNEL, LABEL, import_image, labdock_command

pytestmark = [pytest.mark.browser, pytest.mark.limit(180)]
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
IMAGE = "class:1"
#: The quickstart's address is the machine's own; from a container, another container is at its address.
MACHINE, INSIDE = '"http://127.0.0.1:8080/"', 'f"http://{address}/"'
ALL_RAN = """window.jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === 'code')
    .every(c => c.model.executionCount || !c.model.sharedModel.getSource())"""
ADDRESS = "web = %container inspect web\naddress = web[0]['NetworkSettings']['IPAddress']"


def labdock(server: LabServer, *words: str) -> str:
    """The command in a terminal of the server's user."""
    command = [*labdock_command(), *words]
    done = subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(engine_of_all: EngineUnderTest) -> Iterator[str]:
    """With Python, ipykernel and labdock in it."""
    import_image(engine_of_all, IMAGE, *IPYKERNEL, "labdock")
    engine_of_all.docker("pull", "-q", "busybox")
    yield IMAGE
    engine_of_all.docker("rmi", "-f", IMAGE)


def kernels_of(engine: EngineUnderTest) -> list[str]:
    return engine.docker("ps", "-aq", "--filter", f"label={LABEL}").split()


def outputs(lab: LabPage) -> list[str]:
    """What the open notebook's code cells show, as text."""
    script = """window.jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === 'code').map(
        c => c.model.outputs.toJSON().map(
            o => [].concat(o.text ?? o.data?.['text/plain'] ?? o.evalue).join('')).join('\\n'))"""
    found: list[str] = lab.page.evaluate(script)
    return found


def run(lab: LabPage, source: str) -> str:
    """Put *source* into the notebook's first cell and run that; what it shows."""
    lab.page.evaluate(
        "s => window.jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel.setSource(s)", source
    )
    lab.page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0")
    lab.command("notebook:run-cell")
    return outputs(lab)[0]


@pytest.fixture
def quickstart(server: LabServer) -> Path:
    """The quickstart for a kernel in an image: all its cells, with the one address that differs."""
    notebook = json.loads((NOTEBOOKS / "quickstart.ipynb").read_text())
    cells = notebook["cells"]
    for cell in cells:
        cell["source"] = "".join(cell["source"]).replace(MACHINE, INSIDE)
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    first = next(n for n, cell in enumerate(cells) if INSIDE in cell["source"])
    cells.insert(first, {**cells[first], "id": "address", "source": ADDRESS})
    notebook["metadata"]["kernelspec"] = {"name": "class", "display_name": "Class", "language": "python"}
    path = server.work / "quickstart.ipynb"
    path.write_text(json.dumps(notebook))
    return path


def test_a_kernel_in_an_image_is_in_the_launcher_and_runs_the_quickstart(
    server: LabServer,
    engine: EngineUnderTest,
    image: str,
    quickstart: Path,
    new_page: Callable[[LabServer], LabPage],
) -> None:
    labdock(server, "kernel", "add", image, "--name", "class", "--display-name", "Class", "--use-api-socket")
    lab = new_page(server).open()
    lab.find(".jp-LauncherCard[data-category=Notebook]", has_text="Class").click()
    lab.find(".jp-NotebookPanel:visible").wait_for()
    lab.idle()
    (container,) = kernels_of(engine)
    assert run(lab, "import socket\nprint(socket.gethostname())") == f"{container}\n"

    # Interrupted, it keeps what was there; restarted, it is another container.
    lab.page.evaluate(
        "window.jupyterapp.shell.currentWidget.content.widgets[0].model.sharedModel.setSource("
        "'kept = 1\\nprint(\"asleep\")\\nimport time\\ntime.sleep(100)')"
    )
    lab.begin("notebook:run-cell")
    lab.find(".jp-OutputArea-output", has_text="asleep").wait_for()
    lab.command("notebook:interrupt-kernel")
    lab.find(".jp-OutputArea-output", has_text="KeyboardInterrupt").wait_for()
    assert run(lab, "kept") == "1"
    lab.begin("notebook:restart-kernel")
    lab.accept()
    wait_until(lambda: kernels_of(engine) not in ([], [container]), "another container")
    lab.idle()
    assert run(lab, "'kept' in dir()") == "False"

    lab.command("docmanager:open", path=quickstart.name)
    lab.find(".jp-NotebookPanel:visible .jp-MarkdownCell", has_text="your first container").wait_for()
    lab.idle()
    lab.begin("notebook:run-all-cells")
    try:
        lab.wait(ALL_RAN, "all cells ran", seconds=90)
    finally:
        said = "\n".join(outputs(lab))
        print(said)
    for words in ("<h1>Hello from a container</h1>", "counting 3", "index.html", "came from a notebook cell"):
        assert words in said
    assert len(kernels_of(engine)) == 2

    lab.expect("Could not restore the debugger state")
    lab.page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
    wait_until(lambda: not kernels_of(engine), "nothing is left of the kernels")
    assert not list((engine.run / "k").glob("*/*"))
    labdock(server, "kernel", "remove", "class")


def test_an_image_that_was_built_is_a_kernel_with_one_click(lab: LabPage, engine: EngineUnderTest, image: str) -> None:
    ids = {name: engine.docker("image", "inspect", "-f", "{{.Id}}", name) for name in (image, "busybox")}
    write_notebook(lab.server.work / "built.ipynb", *((n, [card_output("build", [id], [n])]) for n, id in ids.items()))
    lab.command("docmanager:open", path="built.ipynb")
    button = lab.find(".jp-labdock-card [data-verb=use-as-kernel]")
    button.first.click()
    asked = lab.dialog()
    asked.locator("input[name=title]").fill("Built")
    asked.locator("input[name=memory]").fill("512m")
    asked.locator("input[name=network]").uncheck()
    lab.accept()
    lab.find(".Toastify__toast", has_text="“Built” is in the launcher").locator(
        "button", has_text="New Notebook"
    ).click()
    lab.find(".jp-NotebookPanel:visible .jp-KernelName", has_text="Built").wait_for()
    lab.idle()
    (container,) = kernels_of(engine)
    assert engine.docker("inspect", "-f", "{{.HostConfig.NetworkMode}} {{.HostConfig.Memory}}", container) == (
        f"none {512 << 20}"
    )
    # JupyterLab's debugger may be asking at that moment.
    lab.expect("Could not restore the debugger state")
    lab.page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
    wait_until(lambda: not kernels_of(engine), "nothing is left of the kernel")
    lab.command("launcher:create")
    lab.find(".jp-LauncherCard[data-category=Notebook]", has_text="Built").first.wait_for()
    labdock(lab.server, "kernel", "remove", "class-1")

    # One that has no Python: what to do about it.
    lab.command("docmanager:open", path="built.ipynb")
    lab.expect("400")
    button.last.click()
    lab.accept()
    lab.find(".Toastify__toast", has_text="busybox:latest has no python3").wait_for()


@contextmanager
def told_to(server: LabServer, name: str, old: str, new: str) -> Iterator[None]:
    """The kernelspec *name* changed by hand."""
    path = Path(server.environment["JUPYTER_DATA_DIR"]) / "kernels" / name / "kernel.json"
    before = path.read_text()
    path.write_text(before.replace(json.dumps(old), json.dumps(new)))
    yield
    path.write_text(before)


def test_why_a_kernel_does_not_start_is_in_the_dialog_with_the_next_step(
    lab: LabPage, engine: EngineUnderTest, image: str
) -> None:
    server = lab.server
    engine.docker("tag", "busybox", "nopython")
    labdock(server, "kernel", "add", image, "--name", "class")
    lab.page.evaluate("window.jupyterapp.serviceManager.kernelspecs.refreshSpecs()")
    # The second is ipywidgets' own about a notebook whose kernel did not start.
    lab.expect("500", r"reading 'kernel'[\s\S]*jupyterlab-manager")

    def says(*words: str) -> None:
        """The dialog says it, in one line; JupyterLab then asks for another kernel."""
        error = lab.find(".jp-Dialog", has_text="Error Starting Kernel")
        error.wait_for(timeout=60_000)
        text = error.locator(".jp-Dialog-body").inner_text()
        assert all(word in text for word in words), text
        assert len(text.splitlines()) == 1, text
        error.locator(".jp-mod-accept").click()
        other = lab.find(".jp-Dialog", has_text="Select Kernel")
        other.locator("button", has_text="No Kernel").click()
        other.wait_for(state="detached")

    def begin() -> None:
        lab.begin("notebook:create-new", kernelName="class")

    with told_to(server, "class", image, "nowhere:1"):
        begin()
        says("No such image: nowhere:1: `labdock pull nowhere:1`, or build it")
    with told_to(server, "class", image, "nopython"):
        begin()
        says("nopython has no python3: take an image with Python in it")
    # A stopped engine is started; one that can't be says why.
    engine.stop()
    engine.data.chmod(0)
    try:
        begin()
        says(f"opening {engine.data}/engine.log: Permission denied", "choose another place with LABDOCK_DATA")
    finally:
        engine.data.chmod(0o700)
        engine.start()
    labdock(server, "kernel", "remove", "class")
    engine.docker("rmi", "nopython")
