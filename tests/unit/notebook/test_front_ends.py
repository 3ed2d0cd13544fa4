"""The same cells in nbclient, papermill and plain IPython: the same results, the same failures. No engine is needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

from labdock.client.scripted import Reply, Script, ScriptedServer

ID = "ab" * 32
CELLS = (
    "%load_ext labdock",
    "found = %container ps\nfound",
    "wanted = 'web'",
    "%container ps --format '{{.Names}} {wanted}'",
    "%container rnu",
)
TABLE = "CONTAINER ID   IMAGE     COMMAND   CREATED"


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ld-", dir="/tmp"))
    script = Script().on(
        "GET", "/containers/json", Reply(json=[{"Id": ID, "Names": ["/web"], "State": "running", "Status": "Up"}])
    )
    with ScriptedServer(script, made / "s"):
        yield made
    shutil.rmtree(made)


def environment(folder: Path) -> dict[str, str]:
    wanted = {"LABDOCK_HOST": f"unix://{folder}/s", "HOME": str(folder), "IPYTHONDIR": str(folder / "ipython")}
    return {**os.environ, **wanted, "JUPYTER_PLATFORM_DIRS": "1", "NO_COLOR": "1"}


def notebook() -> Any:
    made: Any = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    made.cells = [nbformat.v4.new_code_cell(source) for source in CELLS]  # type: ignore[no-untyped-call]
    made.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python"}
    return made


def check(made: Any) -> None:
    """The outputs of the notebook after it ran."""
    cells = [cell for cell in made.cells if cell.cell_type == "code" and cell.source in CELLS]
    assert len(cells) == len(CELLS)
    table = cells[1].outputs[0].data
    assert table["text/plain"].startswith(TABLE)
    assert "<table" in table["text/html"]
    assert table["application/vnd.labdock.v1+json"] == {"kind": "containers", "ids": [ID], "names": ["web"]}
    assert cells[3].outputs[0].data["text/plain"] == "web web"
    failed = "".join(output.get("text", "") + output.get("evalue", "") for output in cells[4].outputs)
    assert "did you mean run?" in failed
    assert "Traceback" not in failed


def nbclient(made: Any, folder: Path, **options: Any) -> NotebookClient:
    sockets = Config({"KernelManager": {"transport": "ipc", "ip": str(folder / "k")}})
    return NotebookClient(made, config=sockets, timeout=60, resources={"metadata": {"path": str(folder)}}, **options)


def test_nbclient(folder: Path) -> None:
    """It stops at the cell that failed; told to go on, it has all outputs."""
    with pytest.raises(CellExecutionError, match="did you mean run"):
        nbclient(notebook(), folder).execute(env=environment(folder))
    made = notebook()
    nbclient(made, folder, allow_errors=True).execute(env=environment(folder))
    check(made)


def test_papermill(folder: Path) -> None:
    """Its process ends with an error, as the cell did, and leaves what the cells have shown."""
    nbformat.write(notebook(), folder / "in.ipynb")  # type: ignore[no-untyped-call]
    command = [sys.executable, "-W", "ignore", "-m", "papermill", "--no-progress-bar", "in.ipynb", "out.ipynb"]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode != 0
    assert "did you mean run?" in done.stderr
    check(nbformat.read(folder / "out.ipynb", as_version=4))  # type: ignore[no-untyped-call]


def test_plain_ipython(folder: Path) -> None:
    code = f"""
import json
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
done = [shell.run_cell(cell) for cell in {CELLS!r}]
print(json.dumps([[bool(each.success), str(each.result)] for each in done]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    results = json.loads(done.stdout.splitlines()[-1])
    assert [success for success, _ in results] == [True, True, True, True, False]
    assert results[1][1].startswith(TABLE)
    assert results[3][1] == "web web"
    said = done.stdout + done.stderr
    assert "did you mean run?" in said
    assert "Traceback" not in said
