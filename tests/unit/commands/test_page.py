"""``docs/commands.md`` says what the commands say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from labdock.cli.terminal import Terminal
from labdock.client import Client
from labdock.client.scripted import Script, ScriptedTransport
from labdock.commands import run
from labdock.notebook.face import NotebookFace

from .test_tree import ALL

ROOT = Path(__file__).parents[3]


def test_the_page_is_current() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "scripts/commands_page.py"), "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "the commands have changed: .venv/bin/python scripts/commands_page.py"


PAGE = (ROOT / "docs/commands.md").read_text()
#: Of each command, the page's section: one with two names has one.
SECTIONS = {
    id(ALL[words]): part
    for part in re.split(r"^#+ ", PAGE, flags=re.MULTILINE)
    if (words := tuple(part.split("\n")[0].split()[1:])) in ALL
}
COMMANDS = [path for path, each in ALL.items() if not isinstance(each, click.Group)]


def options_of(text: str) -> set[str]:
    """The options that a help lists: names at the beginnings of the lines below its headline."""
    lines = text.partition("\nOptions:\n")[2].splitlines()
    heads = [line[2:].partition("  ")[0] for line in lines if line.startswith("  -")]
    return {name for head in heads for name in re.findall(r"(?<![\w-])--?[\w-]+", head)}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_is_the_same_in_a_terminal_in_a_cell_and_on_the_page(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run([*path, "--help"], Terminal())
    here = capsys.readouterr().out
    run([*path, "--help"], NotebookFace(client=Client(ScriptedTransport(Script()))), "%container")
    cell = capsys.readouterr().out
    assert here.startswith(f"Usage: labdock {' '.join(path)}")

    def plain(text: str) -> list[str]:
        return text.replace("%container", "labdock").split()

    assert plain(cell) == plain(here)
    section = SECTIONS[id(ALL[path])]
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", section, re.MULTILINE)
    shown = {name for names, _ in rows for name in re.findall(r"`(-[^`]*)`", names)}
    assert options_of(here) == shown | {"--help"}
    words = "".join(here.split())
    for names, about in rows:
        about = about.replace("\\|", "|").replace("&lt;", "<").replace("&gt;", ">")
        assert "".join(about.split()) in words, f"{names}: the page says something else"
    usage = re.search(r"```\n(.*?)\n```", section, re.DOTALL)
    assert usage is not None
    assert usage[1].split("[", 1)[-1].split() == here.partition("\n\n")[0].split("[", 1)[-1].split()
