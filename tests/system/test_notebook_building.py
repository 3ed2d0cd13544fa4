"""``notebooks/building.ipynb`` in a real kernel against a real engine, from top to bottom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .test_notebook import execute_notebook, folder, outputs_text

__all__ = ["folder"]


def test_building_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = execute_notebook("building", folder, monkeypatch)
    shown: dict[str, str] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shown.setdefault(cell.source, outputs_text(cell))

    def of(beginning: str) -> str:
        return next(text for source, text in shown.items() if source.startswith(beginning))

    assert of("%container run --rm report") == "10 /data/numbers\none two three\n"
    explained = of("%%dockerfile -t greeting --build-arg")
    assert "variable WHO changed" in explained
    assert "RUN echo before  (cached)" not in explained, "WHO is in this step's environment as well"
    broken = of("%%dockerfile -t broken")
    assert "4 | RUN cat /anser" in broken, "counted in the cell"
    assert "can't open '/anser'" in broken
    assert "%%container debug" in broken
    assert of("%%container debug").endswith("42\n")
    assert "COPPY" in of("%%dockerfile\nFROM busybox\nCOPPY")
    checked = of("%%dockerfile --check")
    for name in ("StageNameCasing", "WorkdirRelativePath", "SecretsUsedInArgOrEnv", "JSONArgsRecommended"):
        assert name in checked
    assert of("%container run --rm careful").split() == ["12"]
    assert of("%container run --rm counted").strip() == "2"
    assert of("first = %container").strip() == "True"
    assert of("%run built/made.py") == "made in a container\n"
    assert "Total reclaimed space" in of("result = %container builder prune")
    assert "s3cr3t-words" not in "".join(text for source, text in shown.items() if "environ" not in source)
    assert_marked(notebook)


def assert_marked(notebook: Any) -> None:
    """The failing line is underlined in the HTML."""
    html = [
        output.data.get("text/html", "")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if cell.source.startswith("%%dockerfile -t broken") and "data" in output
    ]
    assert any("underline wavy" in text and "RUN cat /anser" in text for text in html)
