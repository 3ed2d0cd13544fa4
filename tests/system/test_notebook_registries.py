"""The notebook about registries, from top to bottom in a real kernel, an engine and a registry; then as saved HTML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from nbconvert import HTMLExporter

from .test_notebook import execute_notebook, folder, free_port

__all__ = ["folder"]

NOTEBOOK = Path(__file__).parents[2] / "notebooks/registries.ipynb"


def execute(folder: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The notebook with its outputs, *port* instead of 5000. The first cell that needs an engine starts it."""
    return execute_notebook("registries", folder, monkeypatch, {"5000": str(port)})


def text_of(cell: Any) -> str:
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)


@pytest.mark.limit(150)
def test_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    notebook = execute(folder, port, monkeypatch)
    host = f"localhost:{port}"
    shown = {cell.source.split("\n")[0]: text_of(cell) for cell in notebook.cells if cell.cell_type == "code"}
    assert f"Serving at 127.0.0.1:{port}" in shown[f"%container registry serve --port {port}"]
    pushed = shown[f"%container push {host}/class/greeting:1"]
    assert re.search(r"Pushing \S+ · .*2 layers", pushed)
    digest = re.search(r"1: digest: (sha256:[0-9a-f]{64})", pushed)
    assert digest is not None, pushed
    assert shown["import json"] == "{'name': 'class/greeting', 'tags': ['1']}\n"
    assert digest[1] in shown["%container images --digests"]
    assert f"{host}/class/greeting@{digest[1]}" in shown[f"found = %container inspect {host}/class/greeting:1"]
    assert '"schemaVersion": 2' in shown[f"%container manifest inspect {host}/class/greeting:1"]
    pulled = shown[f"%container pull {host}/class/greeting:1"]
    assert pulled.count("Already exists") == 2
    assert f"Digest: {digest[1]}" in pulled
    assert shown[f"%container run --rm {host}/class/greeting:1"] == "Hello from a registry\n"
    assert shown["%container run --rm {exact}"] == "Hello from a registry\n"
    assert "Images space usage:" in shown["%container system df -v"]
    assert shown["%container registry stop"] == "The registry is no longer served"
    assert "Deleted: sha256:" in shown[f"%container rmi {host}/class/greeting:1 class/greeting:1"]
    page, _ = HTMLExporter().from_notebook_node(notebook)  # type: ignore[no-untyped-call]
    for words in (f"Pushing {host}/class/greeting:1 · ", "Pushed", "Already exists", digest[1]):
        assert words in page, f"the saved page does not say {words!r}"
    assert "failed" not in "".join(shown.values())
