"""Notebooks in a real kernel against a real engine: the quickstart, first use, interrupts."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from traitlets.config import Config

from .conftest import EngineUnderTest, short_folder, wait_until

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


class Kernel:
    """A kernel that is told cells one by one. Its connections are unix sockets in *folder*."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.manager = KernelManager(transport="ipc", ip=str(folder / "k"))
        self.manager.connection_file = str(folder / "kernel.json")
        self.manager.start_kernel(env=environment, cwd=str(folder))
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def begin(self, code: str) -> str:
        message: str = self.client.execute(code)
        return message

    def finish(self, message: str, seconds: float = 60) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The reply to *message*, and what it showed."""
        end = time.monotonic() + seconds
        shown: list[dict[str, Any]] = []
        while True:
            got = self.client.get_iopub_msg(timeout=max(end - time.monotonic(), 0.01))
            if got["parent_header"].get("msg_id") != message:
                continue
            if got["msg_type"] == "status" and got["content"]["execution_state"] == "idle":
                break
            shown.append(got)
        while True:
            reply = self.client.get_shell_msg(timeout=10)
            if reply["parent_header"].get("msg_id") == message:
                return reply["content"], shown

    def run(self, code: str) -> tuple[dict[str, Any], str]:
        """The reply, and all text that was shown."""
        reply, shown = self.finish(self.begin(code))
        return reply, text_of(shown)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()
        self.manager.context.term()


def text_of(shown: list[dict[str, Any]]) -> str:
    parts = []
    for message in shown:
        content = message["content"]
        if message["msg_type"] == "stream":
            parts.append(content["text"])
        elif "data" in content:
            parts.append(content["data"].get("text/plain", ""))
    return "".join(parts)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = short_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def kernel(engine: EngineUnderTest, folder: Path) -> Iterator[Kernel]:
    kernel = Kernel(kernel_environment(engine, folder), folder)
    reply, _ = kernel.run("%load_ext labdock")
    assert reply["status"] == "ok"
    yield kernel
    kernel.close()
    for container in engine.docker("ps", "-aq").split():
        engine.docker("rm", "-f", container)


def kernel_environment(engine: EngineUnderTest, folder: Path) -> dict[str, str]:
    found = engine.environment | {"HOME": str(folder), "IPYTHONDIR": str(folder / "ipython")}
    return {name: value for name, value in found.items() if name != "DOCKER_HOST"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def execute_notebook(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, replaced: Mapping[str, str] | None = None
) -> Any:
    """``notebooks/NAME.ipynb`` with its outputs, texts *replaced* in its cells, from a kernel of its own.

    There is no engine beforehand: the first cell that needs one starts it.
    """
    engine = EngineUnderTest(folder)
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        for old, new in (replaced or {}).items():
            cell.source = cell.source.replace(old, new)
    known = kernel_environment(engine, folder)
    for variable in set(os.environ) - set(known):
        monkeypatch.delenv(variable)
    sockets = Config({"KernelManager": {"transport": "ipc", "ip": str(folder / "k")}})
    client = NotebookClient(notebook, config=sockets, timeout=120, resources={"metadata": {"path": str(folder)}})
    try:
        client.execute(env=known)
    finally:
        engine.stop()
    return notebook


def test_quickstart_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    notebook = execute_notebook("quickstart", folder, monkeypatch, {"8080": str(port)})
    shown = {cell.source.split("\n")[0]: outputs_text(cell) for cell in notebook.cells if cell.cell_type == "code"}
    assert "Built hello-web" in shown["%%dockerfile -t hello-web"]
    assert any("200 <h1>Hello from a container</h1>" in text for text in shown.values())
    assert "index.html" in shown["%container exec web ls -l /www"]
    assert "httpd" in shown["%container exec web ps"]
    assert "response:200" in shown["%container logs web"]
    assert shown["%container logs -f counter"] == "counting 1\ncounting 2\ncounting 3\n"
    assert any("This paragraph came from a notebook cell." in text for text in shown.values())
    assert "web" not in shown["%container ps -a"]
    html = [data["text/html"] for data in displayed(notebook) if "text/html" in data]
    assert any(f'href="http://localhost:{port}/"' in text for text in html)


def displayed(notebook: Any) -> list[dict[str, str]]:
    return [output.data for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]


def outputs_text(cell: Any) -> str:
    """All that the cell has shown; an error's words too."""
    return "".join(
        output.get("text") or output.get("evalue") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )


def interrupted(kernel: Kernel, message: str) -> tuple[dict[str, Any], str, float]:
    """Interrupt the running cell: its reply, what it showed, the seconds it took to end."""
    begun = time.monotonic()
    kernel.manager.interrupt_kernel()
    reply, shown = kernel.finish(message)
    return reply, text_of(shown), time.monotonic() - begun


def test_interrupting_a_pull_ends_it(engine: EngineUnderTest, kernel: Kernel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a registry that takes calls and says nothing
        name = f"localhost:{silent.getsockname()[1]}/never"
        message = kernel.begin(f"%container pull {name}")
        silent.settimeout(20)
        call, _ = silent.accept()
        with call:
            reply, shown, seconds = interrupted(kernel, message)
            assert reply["status"] == "error"
            assert "interrupted" in shown
            assert seconds < 1
            call.settimeout(3)
            while call.recv(1000):
                pass  # the engine hangs up as well
    assert "never" not in engine.docker("images")


def received(kernel: Kernel) -> list[dict[str, Any]]:
    found = []
    while kernel.client.iopub_channel.msg_ready():
        found.append(kernel.client.get_iopub_msg(timeout=1))
    return found


def test_following_logs_ends_with_an_interrupt_or_with_the_container(engine: EngineUnderTest, kernel: Kernel) -> None:
    kernel.run("%container run -d --name talks busybox sh -c 'while :; do echo tick; sleep 0.1; done'")
    message = kernel.begin("%container logs -f talks")
    wait_until(lambda: "tick" in text_of(received(kernel)), "its output comes while it runs")
    reply, _, seconds = interrupted(kernel, message)
    assert reply["status"] == "ok"
    assert seconds < 1
    assert engine.docker("ps", "-q") != ""
    message = kernel.begin("%container logs -f talks")
    engine.docker("kill", "talks")
    assert kernel.finish(message)[0]["status"] == "ok"


def test_a_failing_step_fails_the_cell_and_names_its_line(kernel: Kernel) -> None:
    reply, shown = kernel.run("%%dockerfile -t bad\nFROM busybox\n\nRUN echo so far && exit 7")
    assert reply["status"] == "error"
    assert reply["ename"] == "CommandFailed"
    assert "  4 | RUN echo so far && exit 7" in shown
    assert "so far" in shown
    assert "Traceback" not in "".join(reply["traceback"])


def test_a_dockerfile_that_is_none_names_its_line(kernel: Kernel) -> None:
    reply, _ = kernel.run("%%dockerfile -t bad\nFROM busybox\nRNU x")
    assert reply["status"] == "error"
    assert "RNU" in reply["evalue"]


def test_a_cell_is_a_programs_input(kernel: Kernel) -> None:
    reply, shown = kernel.run("%%container run --rm busybox sh\necho from $(hostname | wc -c)\nexit 0")
    assert reply["status"] == "ok"
    assert "from 13" in shown


def test_an_unknown_image_says_what_to_do(kernel: Kernel) -> None:
    reply, _ = kernel.run("%container run no-such-image")
    assert reply["status"] == "error"
    assert "no-such-image" in reply["evalue"]
    assert "hint: " in reply["evalue"]
