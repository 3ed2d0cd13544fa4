"""Execute a notebook from top to bottom on a real kernel, say what happened, and write it as HTML.

    demo.py NOTEBOOK PAGE            (XDG_RUNTIME_DIR: a folder of the caller's own)

Exits 1 with the failing cell and its error when a cell fails; the page is written then too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from traitlets.config import Config

#: Seconds that one cell may take.
CELL_LIMIT = 180
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Narrator:
    """Says each code cell when it ends: its number, its first line, its seconds, and the last line it showed."""

    def __init__(self) -> None:
        self.cells = 0
        self._begun = 0.0

    def start(self, cell: Any, cell_index: int) -> None:
        self._begun = time.monotonic()

    def end(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        self.cells += 1
        took = time.monotonic() - self._begun
        print(f"[{self.cells:>2}] {_shorten(_first(cell.source), 68):<68} {took:>6.2f} s")
        shown = _last_shown(cell.outputs)
        if shown:
            print(f"     {_shorten(shown, 100)}")


def main(notebook_path: Path, page: Path) -> int:
    notebook = nbformat.read(notebook_path, as_version=4)  # type: ignore[no-untyped-call]
    narrator = Narrator()
    # Unix sockets in the caller's own folder instead of open TCP ports.
    sockets = str(Path(os.environ["XDG_RUNTIME_DIR"]) / "kernel")
    client = NotebookClient(
        notebook,
        config=Config({"KernelManager": {"transport": "ipc", "ip": sockets}}),
        timeout=CELL_LIMIT,
        kernel_name="python3",
        resources={"metadata": {"path": str(notebook_path.parent)}},
        on_cell_execute=narrator.start,
        on_cell_executed=narrator.end,
    )
    begun = time.monotonic()
    failure = ""
    try:
        client.execute()
    except CellExecutionError as error:
        failure = ESCAPES.sub("", str(error))
    finally:
        subprocess.run([sys.executable, "-m", "labdock.daemon.stop"], check=False, timeout=60, capture_output=True)
    took = time.monotonic() - begun
    exporter = HTMLExporter(template_name="lab")  # type: ignore[no-untyped-call]
    html, _ = exporter.from_notebook_node(notebook)
    page.write_text(html)
    if failure:
        print(f"\n{notebook_path} failed:\n{failure}", file=sys.stderr)
        return 1
    print(f"{narrator.cells} cells of {notebook_path} ran from top to bottom in {took:.1f} s")
    return 0


def _first(source: str) -> str:
    return next((line for line in source.splitlines() if line.strip()), "")


def _last_shown(outputs: list[Any]) -> str:
    """The last line of text that *outputs* hold."""
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs]
    lines = [line.strip() for line in ESCAPES.sub("", "\n".join(texts)).splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
