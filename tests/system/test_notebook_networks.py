"""``notebooks/networks.ipynb`` in a real kernel against a real engine, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .test_notebook import execute_notebook, folder, outputs_text

__all__ = ["folder"]


def test_networks_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = execute_notebook("networks", folder, monkeypatch)
    shown = {cell.source: outputs_text(cell) for cell in notebook.cells if cell.cell_type == "code"}

    def of(words: str) -> str:
        return next(text for source, text in shown.items() if words in source)

    for words, name in (("busybox nslookup -type=a db", "db"), ("storage.shop", "storage.shop")):
        assert re.search(rf"Name:\t{name}\nAddress: 172\.", of(words)), words
    assert re.search(r"\d\d:\d\d:\d\d UTC", of("nc -w 3 db"))
    turns = of("grep -A1 Name").split("\n")
    assert len(set(turns[:3])) == 3 and turns[:3] == turns[3:6], "each of the three is first in its turn"
    assert of("nslookup -type=a web-1").endswith("nobody of that name here\n")
    assert "Name:\tvault-db" in of("exec web-1")
    drawn = next(cell for cell in notebook.cells if cell.source == "%container network graph").outputs[0]["data"]
    assert "├─ db " in drawn["text/plain"] and "vault  (bridge · " in drawn["text/plain"]
    assert "<svg " in drawn["text/html"] and ">storage</text>" in drawn["text/html"]
    assert "'vault': ['vault-db', 'web-1']" in of("map.of").replace("['web-1', 'vault-db']", "['vault-db', 'web-1']")
