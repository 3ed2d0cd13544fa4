"""Run notebooks from top to bottom on a real kernel and a fresh engine, and store them with their outputs.

    notebooks.py FOLDER NAME…        (writes FOLDER/NAME.ipynb and .html; XDG_RUNTIME_DIR is the caller's own)

What changes at every run and tells nothing (execution times, widget states) is left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from traitlets.config import Config

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
#: Seconds that one cell may take.
CELL_LIMIT = 180


def execute(name: str, work: Path) -> Any:
    """The notebook *name*, run in the folder *work*. Raises CellExecutionError."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    # A store of its own each: no notebook sees what another has left.
    os.environ["LABDOCK_DATA"] = str(work.parent / f"{name}.store")
    os.environ["LABDOCK_RUN"] = str(Path(os.environ["XDG_RUNTIME_DIR"]) / name[:4])
    sockets = str(Path(os.environ["XDG_RUNTIME_DIR"]) / "kernel")
    client = NotebookClient(
        notebook,
        config=Config({"KernelManager": {"transport": "ipc", "ip": sockets}}),
        timeout=CELL_LIMIT,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(work)}},
    )
    try:
        client.execute()
    finally:
        subprocess.run([sys.executable, "-m", "labdock.daemon.stop"], check=False, timeout=60, capture_output=True)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


def main(target: Path, names: list[str]) -> int:
    for name in names:
        work = Path(os.environ["HOME"]) / name
        work.mkdir(exist_ok=True)
        notebook = execute(name, work)
        nbformat.write(notebook, target / f"{name}.ipynb")  # type: ignore[no-untyped-call]
        html, _ = HTMLExporter(template_name="lab").from_notebook_node(notebook)  # type: ignore[no-untyped-call]
        (target / f"{name}.html").write_text(html)
        print(name)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
