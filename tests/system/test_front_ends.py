"""The same cells in each front end, with a real engine: the same results, the same texts, the same failures.

VS Code and Colab themselves are not run here. Theirs is what a kernel can see of them: what starts it (VS Code: the
kernelspec's command over TCP, no provisioner), their variables, their cells' metadata, nobody who answers to widgets.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import nbformat
import pexpect
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from nbclient import NotebookClient
from traitlets.config import Config

from tests import stores
from tests.jupyter_servers import serve

from .conftest import EngineUnderTest, short_folder, wait_until
from .test_notebook import kernel_environment
from .test_notebook_cells import LENT

#: (cell, words of the error that it fails with; "" when it does not)
CELLS = (
    ("%load_ext labdock\nimport labdock", ""),
    ("word = 'hello'", ""),
    ("%%dockerfile --no-cache -t made\nFROM busybox\nRUN echo from a step; echo step > /step\nCMD cat /step", ""),
    ("%container run --rm made", ""),
    ("%container run --rm busybox sh -c 'echo {word} $0; echo aside >&2'", ""),
    ("%%container run -i --rm busybox sh\necho from $((20 + 3))", ""),
    ("%container run -d --name web -p 127.0.0.1::80 busybox sh -c 'echo said; exec sleep 1000'", ""),
    ("found = %container ps --format '{{.Names}} {{.Image}} {{.State}}'\nfound", ""),
    ("%container inspect web --format '{{.Config.Hostname}} {{json .Config.Cmd}}'", ""),
    ("%container logs web", ""),
    ("%explain web", ""),
    ("numbers = [1, 2, 3]", ""),
    (f"%%in {LENT} --in numbers --out total\ntotal = sum(numbers)\nprint('in', total)", ""),
    ("total", ""),
    ("%%compose -p tables config\nservices:\n  one:\n    image: busybox\n    ports: ['80']", ""),
    ("labdock.connect().containers.run('busybox', 'echo by hand').text", ""),
    ("board = labdock.dashboard()\nboard", ""),
    ("board.close()", ""),
    ("%container images made --format '{{.Repository}} {{.Tag}} {{.Size}}'", ""),
    ("%container rnu", "did you mean run?"),
    ("%container run --pull never nowhere/none", "No such image: nowhere/none"),
    ("%container run --rm busybox sh -c 'echo before; exit 3'", "the program ended with exit code 3"),
    ("%%dockerfile -t bad\nFROM busybox\nRUN echo so far && exit 7", "non-zero code: 7"),
    ("%%compose config\nservices:\n  web:\n    imag: x", "did you mean 'image'?"),
    ("%container rm -f web", ""),
    ("%container rmi made", ""),
)


@dataclass
class Shown:
    """What a cell has shown in the end, each part as text; ``error`` is what an error output says."""

    streams: dict[str, str] = field(default_factory=lambda: {"stdout": "", "stderr": ""})
    displays: list[str] = field(default_factory=list)
    error: str = ""

    @classmethod
    def of(cls, outputs: Iterable[Any]) -> Shown:
        made = cls()
        for output in outputs:
            if output["output_type"] == "stream":
                made.streams[output["name"]] += plain(output["text"])
            elif output["output_type"] == "error":
                made.error = plain(output["evalue"])
                assert "Traceback" not in "".join(output["traceback"]), output["traceback"]
            else:
                kinds = set(output["data"])
                # Where labdock's own renderer is missing, HTML stands in for it.
                assert "text/html" in kinds or not any("labdock" in kind for kind in kinds), kinds
                made.displays.append(plain(output["data"]["text/plain"]))
        return made

    @property
    def lines(self) -> list[str]:
        texts = [self.streams["stdout"], self.streams["stderr"], *self.displays, self.error]
        return [line.rstrip() for text in texts for line in text.split("\n") if line.strip()]


def plain(text: str) -> str:
    """*text* without colours, and with what differs from run to run made alike."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.replace("\r\n", "\n"))
    text = re.sub(r"(sha256:)?\b[0-9a-f]{12}([0-9a-f]{52})?\b", "ID", text)
    text = re.sub(r"\d+(\.\d+)? (s|second|seconds)( ago)?\b|Less than a second( ago)?|About a minute", "TIME", text)
    text = re.sub(r"(172\.\d+\.\d+\.\d+|([0-9a-f]{2}:){5}[0-9a-f]{2}|ld-\w+|cell-\w+|127\.0\.0\.1:\d+)", "PLACE", text)
    text = re.sub(r"\b\d{4,}\b", "NUMBER", text)
    return re.sub(r"TIME *", "TIME ", re.sub(r"process \d+ in", "process N in", text))


def collect(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outputs that a front end has at the end of *messages* (of one cell)."""
    outputs: list[dict[str, Any]] = []
    for message in messages:
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "update_display_data":
            for output in outputs:
                if output.get("id") == content["transient"]["display_id"]:
                    output["data"] = content["data"]
        elif kind in ("stream", "error", "display_data", "execute_result"):
            outputs.append({"output_type": kind, "id": (content.get("transient") or {}).get("display_id"), **content})
    return outputs


class Place:
    """An engine, and a folder for the kernels."""

    def __init__(self, engine: EngineUnderTest) -> None:
        self.engine = engine
        self.folder = engine.root / "w"
        self.folder.mkdir()
        known = kernel_environment(engine, self.folder) | {"JUPYTER_PLATFORM_DIRS": "1"}
        self.environment = {name: value for name, value in known.items() if not name.startswith(("COLAB", "VSCODE"))}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    root = short_folder()
    engine = EngineUnderTest(root)
    engine.start()
    yield Place(engine)
    engine.stop()
    stores.remove(root)


def by_jupyter_server(place: Place) -> list[Shown]:
    """As JupyterLab and Notebook 7 do: a kernel of a Jupyter server, over its websocket."""

    async def main() -> list[Shown]:
        async with serve(place.environment, root=place.folder) as server:
            started = await server.ask("api/kernels", "POST", {"name": "python3"})
            id = json.loads(started.body)["id"]
            page = await server.open(path=f"api/kernels/{id}/channels")
            found = []
            for cell, _ in CELLS:
                header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": "s"}
                content = {"code": cell, "silent": False, "store_history": True, "allow_stdin": True}
                metadata = {"deletedCells": [], "recordTiming": False, "cellId": str(uuid.uuid4())}
                message = {"header": header | {"version": "5.3", "date": ""}, "parent_header": {}, "channel": "shell"}
                await page.send(message | {"metadata": metadata, "content": content, "buffers": []})
                messages = []
                while True:
                    got = await page.receive()
                    if got["parent_header"].get("msg_id") != header["msg_id"]:
                        continue
                    messages.append(got)
                    if got["header"]["msg_type"] == "status" and got["content"]["execution_state"] == "idle":
                        break
                found.append(Shown.of(collect(messages)))
            return found

    return asyncio.run(main())


def notebook() -> Any:
    made: Any = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    for cell, error in CELLS:
        made.cells.append(nbformat.v4.new_code_cell(cell))  # type: ignore[no-untyped-call]
        made.cells[-1].metadata["tags"] = ["raises-exception"] if error else []
    made.cells[1].metadata["tags"] = ["parameters"]
    made.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python"}
    return made


def of_notebook(made: Any) -> list[Shown]:
    own = [cell for cell in made.cells if cell.cell_type == "code" and cell.source in dict(CELLS)]
    return [Shown.of(cell.outputs) for cell in own if "injected-parameters" not in cell.metadata.get("tags", ())]


def by_nbclient(place: Place) -> list[Shown]:
    sockets = Config({"KernelManager": {"transport": "ipc", "ip": str(place.folder / "n")}})
    made = notebook()
    where = {"metadata": {"path": str(place.folder)}}
    NotebookClient(made, config=sockets, timeout=60, resources=where).execute(env=place.environment)
    return of_notebook(made)


def by_papermill(place: Place) -> list[Shown]:
    """With a parameter that says what the notebook says already, so that the same comes out."""
    nbformat.write(notebook(), place.folder / "in.ipynb")  # type: ignore[no-untyped-call]
    command = [sys.executable, "-W", "ignore", "-m", "papermill", "--no-progress-bar", "-p", "word", "hello"]
    command += ["in.ipynb", "out.ipynb"]
    done = subprocess.run(
        command, cwd=place.folder, env=place.environment, capture_output=True, text=True, timeout=100, check=False
    )
    # quirk: papermill runs on after a cell that is marked as failing, and ends with the last one's error all the same.
    assert done.returncode == 1 and "did you mean 'image'?" in done.stderr, done.stderr
    made = nbformat.read(place.folder / "out.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    assert any("injected-parameters" in cell.metadata.get("tags", ()) for cell in made.cells)
    return of_notebook(made)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def by_command(variables: dict[str, str], metadata: Callable[[int], dict[str, Any]]) -> Callable[[Place], list[Shown]]:
    """A kernel that is started by its kernelspec's command and spoken to over TCP; widgets have nobody to answer."""

    def run(place: Place) -> list[Shown]:
        file, _ = write_connection_file(str(place.folder / f"kernel-{uuid.uuid4().hex}.json"))
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", file]
        process = subprocess.Popen(
            command, cwd=place.folder, env=place.environment | variables, stdout=subprocess.DEVNULL
        )
        client = BlockingKernelClient(connection_file=file)
        client.load_connection_file()
        # A client that knows no process takes a kernel whose heart does not beat yet for dead.
        wait_until(lambda: listens(client.hb_port), "the kernel's heart beats", 60)
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            return [one_by_one(client, cell, metadata(number)) for number, (cell, _) in enumerate(CELLS)]
        finally:
            client.shutdown()
            client.stop_channels()
            client.context.term()
            process.wait(30)

    return run


def one_by_one(client: BlockingKernelClient, code: str, metadata: dict[str, Any]) -> Shown:
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
    message = client.session.msg("execute_request", content | {"stop_on_error": False}, metadata=metadata)
    client.shell_channel.send(message)
    messages = []
    while True:
        got = client.get_iopub_msg(timeout=60)
        if got["parent_header"].get("msg_id") != message["header"]["msg_id"]:
            continue
        messages.append(got)
        if got["msg_type"] == "status" and got["content"]["execution_state"] == "idle":
            return Shown.of(collect(messages))


VS_CODE = by_command(
    {"VSCODE_PID": "1", "VSCODE_CWD": "/", "VSCODE_IPC_HOOK_CLI": "/none", "ELECTRON_RUN_AS_NODE": "1"},
    lambda number: {"cellId": f"vscode-notebook-cell:/work/a.ipynb#W{number}sZmlsZQ%3D%3D", "deletedCells": []},
)
COLAB = by_command(
    {"COLAB_RELEASE_TAG": "release-colab", "COLAB_JUPYTER_IP": "172.28.0.12", "COLAB_BACKEND_VERSION": "next"},
    lambda number: {"colab": {"cell_id": f"cell{number}"}},
)
FRONT_ENDS: dict[str, Callable[[Place], list[Shown]]] = {
    "nbclient": by_nbclient,
    "papermill": by_papermill,
    "VS Code": VS_CODE,
    "Colab": COLAB,
}


@pytest.fixture(scope="module")
def reference(place: Place) -> list[Shown]:
    found = by_jupyter_server(place)
    for (cell, error), shown in zip(CELLS, found, strict=True):
        assert error in shown.error if error else not shown.error, (cell, shown)
    return found


class Terminal:
    """``ipython`` in a terminal of its own, as a user types into it."""

    def __init__(self, place: Place) -> None:
        environment = place.environment | {"TERM": "dumb", "COLUMNS": "200", "PROMPT_TOOLKIT_NO_CPR": "1"}
        arguments = ["-m", "IPython", "--no-banner", "--no-confirm-exit", "--simple-prompt", "--colors=NoColor"]
        self._child = pexpect.spawn(
            sys.executable,
            arguments,
            cwd=place.folder,
            env=environment,
            encoding="utf-8",
            timeout=60,
            dimensions=(50, 200),
            echo=False,
        )
        self._number = 1
        self._child.expect_exact("In [1]: ")

    def begin(self, cell: str) -> None:
        # quirk: with --simple-prompt IPython takes a cell magic's body to its second empty line.
        self._child.send(cell + ("\n\n\n" if "\n" in cell else "\n"))

    def wait_for(self, words: str) -> None:
        self._child.expect_exact(words)

    def finish(self) -> str:
        self._number += 1
        self._child.expect_exact(f"In [{self._number}]: ")
        return plain(self._child.before or "")

    def interrupt(self) -> None:
        self._child.sendintr()

    def close(self) -> None:
        self._child.close(force=True)


@pytest.fixture
def terminal(place: Place) -> Iterator[Terminal]:
    made = Terminal(place)
    yield made
    made.close()


def test_ipython_in_a_terminal_shows_the_same_texts(place: Place, reference: list[Shown], terminal: Terminal) -> None:
    for (cell, _), wanted in zip(CELLS, reference, strict=True):
        shown = ""
        # A terminal runs a line once it is complete; a cell magic's body is one thing.
        for part in [cell] if cell.startswith("%%") else cell.split("\n"):
            terminal.begin(part)
            shown += terminal.finish()
        assert "Traceback" not in shown, shown
        missing = [line for line in wanted.lines if line not in shown]
        assert not missing, (cell, missing, shown)


def test_ipython_in_a_terminal_is_interrupted_with_ctrl_c(place: Place, terminal: Terminal) -> None:
    terminal.begin("%load_ext labdock")
    terminal.finish()
    terminal.begin("%container run --rm busybox sh -c 'echo begun; exec sleep 1000'")
    terminal.wait_for("begun")
    terminal.interrupt()
    shown = terminal.finish()
    assert "interrupted; what the cell ran" in shown and "Traceback" not in shown
    wait_until(lambda: place.engine.docker("ps", "-aq") == "", "nothing is left")
    terminal.begin("%container run --rm busybox echo still here")
    assert "still here" in terminal.finish()


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_another_front_end_shows_the_same(place: Place, reference: list[Shown], name: str) -> None:
    for (cell, _), wanted, shown in zip(CELLS, reference, FRONT_ENDS[name](place), strict=True):
        assert shown == wanted, cell
