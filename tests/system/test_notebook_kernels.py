"""``notebooks/kernels.ipynb``, from top to bottom offline."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_notebook import execute_notebook, folder, outputs_text

__all__ = ["folder"]


def test_kernels_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = execute_notebook("kernels", folder, monkeypatch)
    shown = {cell.source: outputs_text(cell) for cell in notebook.cells if cell.cell_type == "code"}

    def of(beginning: str) -> str:
        return next(text for source, text in shown.items() if source.startswith(beginning))

    assert of("%container kernel add borrowed") == "class"
    assert "busybox has no python3" in of("%container kernel add busybox")
    assert "class" in of("%container kernel list")
    assert of("from jupyter_client").endswith("process 2 of user 0\n['lo']\n")
    assert of("run(\"print('written inside'") == "('written inside\\n', True)"
    assert of("import os").endswith("False\n")
    assert of("client.execute") == "'KeyboardInterrupt'"
    assert of("ps = ") == "('borrowed', 'running')"
    assert "kernel-" not in of("%container ps -a")
    assert not (folder / ".local/share/jupyter/kernels/class").exists()
