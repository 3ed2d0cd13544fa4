"""What is built from a clean clone: what is in it, that it enables itself, and that nothing of it stays."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import Built, Venv, call

pytestmark = pytest.mark.limit(400)

EXTENSION = "share/jupyter/labextensions/labdock/"
CONFIG = "etc/jupyter/jupyter_server_config.d/labdock.json"


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as file:
        return file.namelist()


def test_the_clone_is_clean_after_the_build(built: Built) -> None:
    assert call("git", "status", "--porcelain", cwd=built.clone) == ""


def test_the_wheel_has_the_extension_once_and_its_configuration(built: Built) -> None:
    names = names_in(built.wheel)
    entries = [name for name in names if "/remoteEntry" in name]
    assert len(entries) == 1, entries
    assert EXTENSION + "static/" in entries[0]
    assert not [name for name in names if name.startswith("labdock/labextension")]
    ends = (EXTENSION + "package.json", EXTENSION + "install.json", CONFIG)
    assert [end for end in ends if not any(name.endswith(end) for name in names)] == []
    assert not [name for name in names if "node_modules" in name or name.endswith((".ts", ".tsx", ".tsbuildinfo"))]


def test_the_sdist_is_small_and_carries_what_was_built(built: Built) -> None:
    assert built.sdist.stat().st_size < 2_000_000
    with tarfile.open(built.sdist) as file:
        names = file.getnames()
    assert any("labdock/labextension/static/remoteEntry" in name for name in names)
    assert not [name for name in names if "/.yarn/" in name or "/node_modules/" in name]


@pytest.mark.parametrize("kind", ["wheel", "sdist", "clone"])
def test_an_install_without_node_enables_both_extensions_and_an_uninstall_leaves_nothing(
    built: Built, venv: Venv, kind: str
) -> None:
    assert "node" not in {path.name for path in (venv.root / "bin").iterdir()}
    before = venv.files()
    what: Path = getattr(built, kind)
    venv.call("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", what)

    listed = jupyter(venv, "labextension", "list")
    assert "labdock v" in listed, listed
    line = next(line for line in listed.splitlines() if "labdock v" in line)
    assert "enabled" in line, listed
    assert "OK" in line, listed
    listed = jupyter(venv, "server", "extension", "list")
    assert "labdock enabled" in listed, listed
    assert "OK" in listed.partition("labdock enabled")[2].partition("Config dir")[0], listed

    venv.call("-m", "pip", "uninstall", "--quiet", "--yes", "labdock")
    assert {name for name in venv.files() - before if "__pycache__" not in name} == set()
    assert call("git", "status", "--porcelain", cwd=built.clone) == ""


def jupyter(venv: Venv, *arguments: str) -> str:
    """What ``jupyter …`` says, on either stream, without colours."""
    module = {"labextension": "jupyterlab.labextensions", "server": "jupyter_server"}[arguments[0]]
    done = subprocess.run(
        [venv.python, "-W", "ignore", "-m", module, *arguments[1:]],
        cwd=venv.root,
        env={"PATH": "/usr/bin:/bin", "HOME": str(venv.root), "JUPYTER_PLATFORM_DIRS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = done.stdout + done.stderr
    for colour in ("\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[0m"):
        said = said.replace(colour, "")
    return said
