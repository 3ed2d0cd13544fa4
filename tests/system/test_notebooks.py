"""``notebooks/running.ipynb`` and ``reproducibility.ipynb``, from top to bottom offline; and what is stored in all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from .test_notebook import NOTEBOOKS, execute_notebook, folder, outputs_text

__all__ = ["folder"]


def executed(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What each code cell has shown, by its source."""
    notebook = execute_notebook(name, folder, monkeypatch)
    return {cell.source: outputs_text(cell) for cell in notebook.cells if cell.cell_type == "code"}


def of(shown: dict[str, str], beginning: str) -> str:
    return next(text for source, text in shown.items() if source.startswith(beginning))


def test_running_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = executed("running", folder, monkeypatch)
    assert of(shown, "%%container run --rm busybox sh\nfor").endswith("3 squared is 9\n")
    assert "exit code 3" in of(shown, "%%container run --rm busybox sh\necho so far")
    assert "It runs" in of(shown, "from urllib")
    assert "pid     its own" in of(shown, "%explain web")
    assert of(shown, "result") == "{'sorted': [1, 2, 3], 'files': ['bin', 'dev', 'etc']}"
    assert "IndexError: list index out of range (line 3 of the cell)" in of(shown, "%%in -v /usr:/usr:ro borrowed")
    assert of(shown, "count = ") == "tick 1\ntick 2\ntick 3\n"
    assert of(shown, "import asyncio") == "[0, 1, 4, 9, 16, 25]"
    assert "web" not in of(shown, "%container ps -a")


def test_reproducibility_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = executed("reproducibility", folder, monkeypatch)
    assert of(shown, "import labdock") == "2", "two plain builds are two images"
    assert of(shown, 'len(set(ids("same-1"') == "1", "two reproducible ones are one"
    assert of(shown, "for name in") == "2"
    assert "variable RELEASE changed" in of(shown, "%%dockerfile -t stepwise --build-arg")
    assert "as it was" in of(shown, "%%container run --rm --network none")
    assert of(shown, 'ids("same-1") == before') == "True"


def stored() -> list[tuple[str, Any]]:
    found = sorted(NOTEBOOKS.glob("*.ipynb"))
    return [(path.stem, nbformat.read(path, as_version=4)) for path in found]  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(("name", "notebook"), stored(), ids=lambda value: value if isinstance(value, str) else "")
def test_notebooks_are_stored_with_their_outputs(name: str, notebook: Any) -> None:
    """``make notebooks`` writes them; they are to be looked at before they are kept."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in code), f"{name} has no outputs"
    assert all(cell.execution_count for cell in code), f"{name} was not run from top to bottom"
    assert "widgets" not in notebook.metadata
    for cell in code:
        meant = "raises-exception" in cell.metadata.get("tags", ())
        assert meant == any(output.output_type == "error" for output in cell.outputs), cell.source
        for output in cell.outputs:
            data = output.get("data", {})
            assert "text/plain" in data or not data
            assert "<script" not in data.get("text/html", "")
