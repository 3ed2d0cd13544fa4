"""The tab key in a real bash, with a real engine's names."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.processor import cost

from .clients import Engine, Terminal

MAIN = "from labdock.cli import main; main()"


class Shell(Terminal):
    folder: Path


@pytest.fixture
def shell(engine: Engine, clean: None, tmp_path: Path) -> Iterator[Shell]:
    """An interactive bash without anybody's configuration, where ``labdock`` is this checkout's."""
    program = tmp_path / "bin" / "labdock"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{MAIN}" "$@"\n')
    program.chmod(0o755)
    environment = {
        **engine.environment,
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "INPUTRC": "/dev/null",
        "TERM": "dumb",
        "DOCKER_CONFIG": str(tmp_path / "docker"),
    }
    environment.pop("DOCKER_HOST", None)
    with Shell(["bash", "--norc", "-i"], environment, 24, 200) as terminal:
        terminal.folder = tmp_path
        terminal.send('show() { printf "%s|" "$@"; echo; }; PS1="re""ady> "; eval "$(labdock completion bash)"\r')
        terminal.expect("ready> ")
        terminal.send('cd "$HOME"; touch here.tar\r')
        terminal.expect("ready> ")
        yield terminal


def test_the_tab_key_completes_commands_options_and_names(shell: Shell, http: httpx.Client) -> None:
    for name in ("unmistakable", "other"):
        made = http.post(f"/containers/create?name={name}", json={"Image": "busybox", "Cmd": ["true"]})
        assert made.status_code == 201
    http.post("/networks/create", json={"Name": "wide net; touch hurt"})
    http.post("/networks/create", json={"Name": "esc\x1b]0;hurt\x07ape"})
    http.post("/volumes/create", json={"Name": "voluminous"})
    http.post("/images/busybox/tag?repo=distinct&tag=v1")
    for typed, words in (
        ("labdock manif", "labdock|manifest"),
        ("labdock container unpa", "labdock|container|unpause"),
        ("labdock run --detach-k", "labdock|run|--detach-keys"),
        ("labdock stop unm", "labdock|stop|unmistakable"),
        ("labdock logs -f --tail 3 unm", "labdock|logs|-f|--tail|3|unmistakable"),
        ("labdock -D volume rm volu", "labdock|-D|volume|rm|voluminous"),
        ("labdock rmi dist", "labdock|rmi|distinct:v1"),
        ("labdock rmi distinct:", "labdock|rmi|distinct:v1"),
        ("labdock run --network wide", "labdock|run|--network|wide net; touch hurt"),
        ("labdock run --network=wide", "labdock|run|--network=wide net; touch hurt"),
        ("labdock network rm esc", "labdock|network|rm|esc"),
        ("labdock completion fi", "labdock|completion|fish"),
        ("labdock context use def", "labdock|context|use|default"),
        ("labdock load -i he", "labdock|load|-i|here.tar"),
        ("labdock run busybox cat he", "labdock|run|busybox|cat|here.tar"),
        ("labdock stop he", "labdock|stop|he"),
    ):
        # What the tab has made of it becomes the arguments of `show`: bash itself says which words they are.
        shell.send(f"{typed}\t\x01show \r")
        shell.expect(r"show .*\r\n" + re.escape(words) + r"\|\r\n")
    assert not (shell.folder / "hurt").exists()
    http.post("/networks/prune")
    http.post('/volumes/prune?filters={"all":["1"]}')


def test_an_answer_costs_little_more_than_saying_the_version(engine: Engine) -> None:
    def asking(*words: str) -> str:
        return f"from labdock.cli import execute\nexecute({list(words)!r})"

    version, commands, options = cost(
        asking("--version"), asking("__complete", "bash", "labdock ru"), asking("__complete", "bash", "labdock run --n")
    )
    assert commands < 1.5 * version
    assert options < 2.5 * version


def test_without_an_engine_there_are_no_names_and_none_is_started(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LABDOCK_RUN": str(tmp_path / "r")}
    for line, said in (
        ("labdock stop ", "names\n"),
        ("labdock stop 'open quote ", "files\n"),
        ("labdock nonsense x", "names\n"),
        ("labdock -c nowhere ps ", "names\n"),
        ("labdock -H ", "files\n"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", MAIN, "__complete", "bash", line], env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, said, ""), line
    assert not (tmp_path / "r").exists()
