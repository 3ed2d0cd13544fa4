"""Notebooks with outputs, as somebody stored them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from labdock.commands.results import LIVE_TYPE, live_card

HTML = "<p class='stored'>as it was stored</p>"


def card_output(kind: str, ids: list[str], names: list[str], html: str = HTML) -> dict[str, Any]:
    """A cell's output with a live card in it."""
    data = {"text/plain": "as text", "text/html": html, LIVE_TYPE: live_card(kind, ids, names)}
    return {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": data}


def write_notebook(path: Path, *cells: tuple[str, list[dict[str, Any]]]) -> None:
    """A notebook with code *cells*, each its source and outputs; nobody has trusted it."""
    found = [
        {"id": f"c{n}", "cell_type": "code", "execution_count": 1, "metadata": {}, "source": source, "outputs": outputs}
        for n, (source, outputs) in enumerate(cells)
    ]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    path.write_text(json.dumps({"cells": found, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
