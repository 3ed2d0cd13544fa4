"""A clean clone of this checkout, built once; and environments that what was built is installed into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
#: What is not of the sources: made by builds and runs (.gitignore says the same of most).
MADE = shutil.ignore_patterns(
    ".git",
    ".venv",
    "build",
    "dist",
    "node_modules",
    "lib",
    "labextension",
    "__pycache__",
    ".yarn",
    "*.tsbuildinfo",
    ".*_cache",
    ".hypothesis",
)
GIT = ("git", "-c", "user.name=tests", "-c", "user.email=tests@example.invalid", "-c", "init.defaultBranch=main")


def call(*command: str | Path, cwd: Path, **environment: str) -> str:
    """The standard output; AssertionError with all that was said when the command fails."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@dataclass(frozen=True, slots=True)
class Built:
    """A clone and what was built from it."""

    clone: Path
    wheel: Path
    sdist: Path


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with this checkout's sources as its only commit, and nothing built in it."""
    origin = tmp_path_factory.mktemp("origin") / "labdock"
    shutil.copytree(HERE, origin, ignore=MADE, symlinks=True)
    call(*GIT, "init", "-q", cwd=origin)
    call(*GIT, "add", "-A", cwd=origin)
    call(*GIT, "commit", "-qm", "As it is", cwd=origin)
    found = tmp_path_factory.mktemp("clone") / "labdock"
    call("git", "clone", "-q", origin, found, cwd=origin)
    return found


@pytest.fixture(scope="session")
def built(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist from the clone, the wheel from the sdist, with no node on PATH but the one that the build requires."""
    out = tmp_path_factory.mktemp("dist")
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", out)
    # What `make setup` fetched for the same lock file is enough.
    call(
        *command,
        cwd=clone,
        PATH=path_without_node(),
        YARN_ENABLE_NETWORK="0",
        YARN_GLOBAL_FOLDER=str(HERE / "build/yarn"),
    )
    (wheel,) = out.glob("*.whl")
    (sdist,) = out.glob("*.tar.gz")
    return Built(clone, wheel, sdist)


def path_without_node() -> str:
    """PATH of a machine that has no node: this environment's programs, git, and a shell."""
    folder = Path(sys.executable).parent
    kept = [str(folder)]
    for entry in os.environ["PATH"].split(":"):
        if entry and entry not in kept and not any((Path(entry) / name).exists() for name in ("node", "npm", "yarn")):
            kept.append(entry)
    return ":".join(kept)


class Venv:
    """An environment with Jupyter but without labdock: it borrows this one's packages, not its console scripts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        call(sys.executable, "-m", "venv", root, cwd=root.parent)
        self.python = root / "bin" / "python"
        site = Path(sysconfig.get_path("purelib", vars={"base": str(root), "platbase": str(root)}))
        # A plain entry of the path: the .pth files there, an editable labdock's too, are not read.
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def call(self, *arguments: str | Path) -> str:
        """Python with *arguments* in it, from a folder where no labdock lies."""
        return call(
            self.python,
            *arguments,
            cwd=self.root,
            PATH=f"{self.root / 'bin'}:/usr/bin:/bin",
            JUPYTER_CONFIG_DIR=str(self.root / "none"),
            JUPYTER_DATA_DIR=str(self.root / "none"),
        )

    def files(self) -> set[str]:
        """All files in it, but what Python compiled."""
        found = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return {str(path) for path in found if path.suffix != ".pyc"}


@pytest.fixture
def venv(tmp_path: Path) -> Iterator[Venv]:
    made = Venv(tmp_path / "venv")
    yield made
    shutil.rmtree(made.root)
