# ruff: noqa: E501  (a table: one line, one expectation)
"""Contexts by the docker CLI and by labdock: one store, the same words. ``docker`` and ``labdock`` take turns."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import KEPT

from .clients import PATIENCE, Engine, find_docker

# (words, exit code, stdout, stderr); {socket} is the engine's. Both must say the same where the words are `both …`.
# fmt: off
LINES: list[tuple[str, int, str, str]] = [
    ("both context show", 0, r"^default\n$", ""),
    ("both context create x", 1, "^$", r'context name "x" is invalid, names are validated against regexp "\^\[a-zA-Z0-9\]\[a-zA-Z0-9_.\+-\]\+\$"'),
    ("both context create default", 1, "^$", '"default" is a reserved context name'),
    ("both context create bad --docker host=bla", 1, "^$", "unable to create docker endpoint config: unable to apply docker endpoint options: unable to parse docker host `bla`"),
    ("both context create bad --docker foo=1", 1, "^$", "unable to create docker endpoint config: unrecognized config key: foo"),
    ("labdock context create mine --description 'my own' --docker host=unix://{socket}", 0, r"^mine\n$", 'Successfully created context "mine"'),
    ("docker context create theirs --docker host=tcp://127.0.0.1:9,skip-tls-verify=true", 0, r"^theirs\n$", 'Successfully created context "theirs"'),
    ("both context create mine", 1, "^$", 'context "mine" already exists'),
    ("both context ls -q", 0, r"^default\nmine\ntheirs\n$", ""),
    ("both context inspect mine -f '{{{{.Name}}}} {{{{.Endpoints.docker.Host}}}}'", 0, r"^mine unix://{socket}\n$", ""),
    ("both context inspect theirs -f '{{{{.Endpoints.docker.SkipTLSVerify}}}}'", 0, r"^true\n$", ""),
    ("both context inspect gone", 1, "", r'context "gone": context not found: open .*meta\.json: no such file or directory'),
    ("both --context mine ps -q", 0, "^$", ""),
    ("both -c gone ps", 1, "^$", 'context "gone"'),
    ("both -H unix://{socket} -c mine ps", 1, "^$", "conflicting options: .*--host and --context"),
    ("docker context use mine", 0, r"^mine\n$", 'Current context is now "mine"'),
    ("both context show", 0, r"^mine\n$", ""),
    ("both context ls", 0, r"(?m)^mine \* +my own +unix://{socket} ", ""),
    ("both ps -q", 0, "^$", ""),
    ("both context rm mine", 1, "^$", 'context "mine" is in use, set -f flag to force remove'),
    ("labdock context use default", 0, r"^default\n$", 'Current context is now "default"'),
    ("both context show", 0, r"^default\n$", ""),
    ("docker context export mine d.tar", 0, "^$", 'Written file "d.tar"'),
    ("labdock context export mine l.tar", 0, "^$", 'Written file "l.tar"'),
    ("both context export mine l.tar", 1, "^$", "open l.tar: file exists"),
    ("labdock context import from-docker d.tar", 0, r"^from-docker\n$", 'Successfully imported context "from-docker"'),
    ("docker context import from-labdock l.tar", 0, r"^from-labdock\n$", 'Successfully imported context "from-labdock"'),
    ("both context ls --format '{{{{.Name}}}} {{{{.Description}}}}'", 0, r"from-docker my own\nfrom-labdock my own\nmine my own\n", ""),
    ("labdock context update mine --description other", 0, r"^mine\n$", 'Successfully updated context "mine"'),
    ("both context ls --format '{{{{.Name}}}} {{{{.Description}}}}'", 0, r"mine other\n", ""),
    ("labdock context rm mine from-docker", 0, r"^mine\nfrom-docker\n$", ""),
    ("both context rm gone", 1, "^$", 'context "gone"'),
    ("docker context rm theirs from-labdock", 0, r"^theirs\nfrom-labdock\n$", ""),
    ("both context ls -q", 0, r"^default\n$", ""),
    ("labdock context use labdock", 0, r"^labdock\n$", 'Current context is now "labdock"'),
    ("both info -f '{{{{.ServerVersion}}}}'", 0, r"^\d", ""),
]
# fmt: on


def newest() -> str:
    """The docker CLI whose words are kept, else the one that is here."""
    for program in find_docker():
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        if f"version {KEPT}." in said:
            return program
    return find_docker()[0]


def test_one_store_for_both(engine: Engine, tmp_path: Path) -> None:
    program = newest()
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    same_words = f"version {KEPT}." in said
    ours = [sys.executable, "-c", "from labdock.cli import main; main()"]
    environment = {name: value for name, value in engine.environment.items() if not name.startswith("DOCKER_")}
    environment |= {"DOCKER_CONFIG": str(tmp_path / "config"), "HOME": str(tmp_path)}
    failures = []
    for line, code, out, err in LINES:
        who, _, words = line.partition(" ")
        socket = {"socket": str(engine.socket)}
        for name, command in (("docker", [program]), ("labdock", ours)):
            # Debian's docker (20.10) has no `context show`.
            if who not in ("both", name) or (words == "context show" and name == "docker" and not same_words):
                continue
            done = subprocess.run(
                [*command, *shlex.split(words.format(**socket))],
                env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False,
            )  # fmt: skip
            # An older docker has other words for its errors; it reads and writes the same store.
            checks_words = name == "labdock" or same_words
            fits = (done.returncode == 0) == (code == 0)
            if checks_words or code == 0:
                fits &= re.search(out.replace("{socket}", re.escape(socket["socket"])), done.stdout) is not None
            if checks_words:
                fits &= done.returncode == code and re.search(err, done.stderr) is not None
            if not fits:
                failures.append(f"{name} {words} → {done.returncode}\n{done.stdout}{done.stderr}")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("name", ["labdock", "default"])
def test_the_own_engine_has_a_name_before_anybody_made_a_context(engine: Engine, tmp_path: Path, name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")}
    environment |= {"LABDOCK_RUN": str(engine.socket.parent), "DOCKER_CONFIG": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", "from labdock.cli import main; main()", "-c", name, "version", "-f", "{{.Server.Version}}"],
        env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
