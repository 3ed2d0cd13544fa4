"""``notebooks/volumes.ipynb`` in a real kernel against a real engine, from top to bottom."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_notebook import folder
from .test_notebooks import executed, of

__all__ = ["folder"]


def test_volumes_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = executed("volumes", folder, monkeypatch)
    assert of(shown, "%container run --rm -v notes:/notes busybox cat") == "written by the first\n"
    assert "1000     1000" in of(shown, "%container run --rm -v shelf:/shop shop ls -ln")
    assert of(shown, "%container run --rm -v bare:") == "here\n"
    assert "volume is in use" in of(shown, "%container volume rm shelf")
    said = of(shown, "%container run --rm --volumes-from")
    assert "apples" in said and "Read-only file system" in said
    assert "from the container\n True" in of(shown, "print((folder")
    assert "the container's user 1000 can't write there" in of(shown, "%container run --rm -u 1000")
    said = of(shown, "%container run --rm --read-only")
    assert "head: standard output" in said and "Read-only file system" in said
    assert "written by the first" in of(shown, "%container volume import diary")
    assert "Total reclaimed space" in of(shown, "%container rm keeper")
