"""What a command costs before it does anything: as a ratio to a known import, and in what it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processor import cost


def loaded(code: str) -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(shown.stdout.split())


RUN = "import labdock.cli.terminal, labdock.cli.signals, labdock.client.containers, labdock.client.conversation\n"
RUN += "import labdock.commands.dispatch, labdock.commands.running, labdock.client.engine"


def test_importing_labdock_loads_none_of_its_rooms() -> None:
    assert {name for name in loaded("import labdock") if name.startswith("labdock")} == {"labdock"}


def test_importing_labdock_costs_less_than_importing_asyncio() -> None:
    bare, ours, theirs = cost("pass", "import labdock", "import asyncio")
    assert ours - bare < theirs - bare


@pytest.mark.parametrize(
    "heavy", ["httpx", "aiohttp", "rich", "asyncio", "http.client", "ssl", "email", "subprocess", "tarfile", "IPython"]
)
def test_running_a_container_does_without(heavy: str) -> None:
    assert heavy not in loaded(RUN)


def test_running_a_container_costs_less_than_importing_an_http_library() -> None:
    bare, ours, theirs = cost("pass", RUN, "import httpx")
    assert ours - bare < 0.75 * (theirs - bare)


def test_help_imports_no_command() -> None:
    code = "from labdock.cli import execute\nexecute(['--help'])"
    assert not {"labdock.commands.running", "labdock.client.containers", "labdock.schema.container"} & loaded(code)
