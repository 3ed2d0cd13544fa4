"""Images on a stick: one engine writes a bundle, another that is told where it lies runs from it without a network."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import stores

from .conftest import EngineUnderTest, short_folder

LABDOCK = [sys.executable, "-c", "from labdock.cli import main; main()"]


def labdock(engine: EngineUnderTest, *words: str, given: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        [*LABDOCK, *words], env=engine.environment, input=given, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def shelf() -> Iterator[Path]:
    made = short_folder()
    yield made
    stores.remove(made)


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_from_one_engine_to_another(engine: EngineUnderTest, shelf: Path, name: str) -> None:
    output = shelf / name
    dockerfile = "FROM busybox\nRUN echo from a bundle > /words\nCMD cat /words\n"
    assert labdock(engine, "build", "-q", "-t", "lesson:1", "-", given=dockerfile)[0] == 0
    code, said, errors = labdock(engine, "images", "bundle", "lesson:1", "-o", str(output))
    assert (code, errors) == (0, "")
    assert said.startswith(f"{output}: ")
    if output.is_dir():
        # Another image is added; what is there stays.
        assert labdock(engine, "images", "bundle", "busybox", "-o", str(output))[0] == 0
        index = json.loads((output / "index.json").read_text())
        assert len(index["manifests"]) == 2
    else:
        with tarfile.open(output) as archive:
            assert {"oci-layout", "index.json"} <= set(archive.getnames())
    identity = engine.docker("images", "-q", "--no-trunc", "lesson:1")
    other = EngineUnderTest(shelf / "e", LABDOCK_BUNDLES=str(output))
    other.root.mkdir()
    other.start()
    try:
        code, said, errors = labdock(other, "run", "--rm", "lesson:1")
        assert (code, said) == (0, "from a bundle\n"), errors
        assert "Unable to find image 'lesson:1' locally" in errors
        assert other.docker("images", "-q", "--no-trunc", "lesson:1") == identity
    finally:
        other.stop()
