"""``notebooks/compose.ipynb`` in a real kernel against a real engine, from top to bottom."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_notebook import folder
from .test_notebooks import executed, of

__all__ = ["folder"]


def test_compose_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = executed("compose", folder, monkeypatch)
    assert "secret 'word' of service 'web': there is no file" in of(shown, "%%compose -p shop\n")
    assert "shop-client-1" in of(shown, "%compose -p shop up -d --wait")
    assert of(shown, "%compose -p shop exec client") == "a word between us\n"
    said = of(shown, "%compose -p shop up -d --scale")
    assert "Container shop-web-1 Running" in said and "Container shop-client-2 Started" in said
    assert '"image": "nginx:1.27"' in of(shown, "%%compose -p lines")
    said = of(shown, "%%compose config -q")
    assert "the cell:5: services.web.prots: unknown key" in said and "did you mean 'ports'?" in said
    assert "Volume shop_pages Removed" in of(shown, "%%compose -p shop down")
    assert "shop" not in of(shown, "%container ps -a")
