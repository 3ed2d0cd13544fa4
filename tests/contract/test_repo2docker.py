"""repo2docker with ``--engine labdock``: a repository becomes an image and runs, without the docker command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx

from .clients import PATIENCE, Engine


def test_a_repository_with_a_dockerfile_is_built_and_run(
    engine: Engine, http: httpx.Client, clean: None, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY said /said\nLABEL made=here\n")
    (tmp_path / "said").write_text("from a repository\n")
    environment = {**engine.environment, "PATH": str(Path(sys.executable).parent), "HOME": str(tmp_path)}
    environment |= {"LABDOCK_HOST": f"unix://{engine.socket}", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "repo2docker", "--engine", "labdock", "--user-id", "1000", "--user-name", "joan"]
    done = subprocess.run(
        [*command, "--image-name", "r2d:1", str(tmp_path), "cat", "/said"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "from a repository" in done.stdout + done.stderr
    assert http.get("/images/r2d:1/json").json()["Config"]["Labels"]["made"] == "here"


def test_what_a_failing_build_says_is_told(engine: Engine, clean: None, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN exit 5\n")
    environment = {**engine.environment, "LABDOCK_HOST": f"unix://{engine.socket}", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "repo2docker", "--engine", "labdock", "--user-id", "1000", "--user-name", "joan"]
    done = subprocess.run(
        [*command, "--no-run", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode != 0
    assert "returned a non-zero code: 5" in done.stdout + done.stderr
