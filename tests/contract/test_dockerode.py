"""dockerode, the client of node's programs, against the engine: its tables of expectations are in ``node/``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from . import registry
from .clients import Engine

TABLES = sorted(path.stem for path in (Path(__file__).parent / "node").glob("*.mjs") if path.stem != "table")


@pytest.mark.parametrize("table", TABLES)
def test_each_line_of_the_table_holds(engine: Engine, clean: None, tmp_path: Path, table: str) -> None:
    folder = Path(__file__).parent / "node"
    node = shutil.which("node")
    assert node and (folder / "node_modules/dockerode").is_dir(), "`make setup` installs them"
    with registry.serve(tmp_path) as host:
        environment = {**engine.environment, "LABDOCK_SOCKET": str(engine.socket), "LABDOCK_REGISTRY": host}
        command = [node, f"{table}.mjs"]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.endswith(" rows, 0 broken\n")
