"""The tree of docker's CLI 28 beside ours: every command and option is there, or has its reason here.

``tests/golden/docker-28-options.txt`` is that CLI's tree; where it is installed the file is held against it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import click
import pytest

from labdock.client import Client
from labdock.client.scripted import Reply, Script, ScriptedTransport
from labdock.commands import run
from labdock.commands.tree import root
from labdock.errors import LabdockError
from labdock.notebook.face import NotebookFace
from tests.command_line import KEPT

from .clients import find_docker
from .tree import read, walk, write

GOLDEN = Path(__file__).parents[1] / "golden" / f"docker-{KEPT}-options.txt"
TREE = read(GOLDEN.read_text())
#: Commands whose own commands and options we don't have: each is known, and answers with an error.
REFUSED = {
    "checkpoint": "only an experimental Docker has it; CRIU is nobody's to use without privileges",
    "trust": "Notary v1 has no service any more",
}
SWARM_WORDS = "This node is not a swarm manager"


def command(path: str) -> click.Command | None:
    found: click.Command | None = root
    for word in path.split():
        found = found.get_command(click.Context(found), word) if isinstance(found, click.Group) else None
    return found


def ours(path: str) -> set[str]:
    found = command(path)
    assert found is not None, f"there is no {path}"
    return {
        name for each in found.params if isinstance(each, click.Option) for name in (*each.opts, *each.secondary_opts)
    }


@pytest.mark.parametrize("path", [path for path in TREE if not {path, path.split(" ")[0]} & set(REFUSED)], ids=str)
def test_every_command_and_option_is_there(path: str) -> None:
    known = ours(path) | {"--help"}
    lacking = {name for spelled in TREE[path] for name in spelled.split(", ") if name not in known}
    assert not lacking


def test_the_golden_is_what_that_docker_says() -> None:
    for program in find_docker():
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        tree = walk(program) if f"version {KEPT}." in said else None
        assert tree is None or write(tree) == GOLDEN.read_text(), "made by tests/contract/tree.py"
    assert len(TREE) > 140


def ask(*words: str) -> object:
    refusal = Reply(404, {"message": 'plugin "x" not found'})
    script = (
        Script()
        .on("GET", "/volumes/v", Reply(json={"Name": "v", "Driver": "local"}))
        .on("GET", "/plugins", Reply(json=[]))
    )
    for method, path in (("GET", "json"), ("POST", "enable"), ("POST", "disable"), ("POST", "set")):
        script.on(method, f"/plugins/x/{path}", refusal)
    return run(words, NotebookFace(client=Client(ScriptedTransport(script.on("DELETE", "/plugins/x", refusal)))))


def test_there_are_no_plugins_to_list() -> None:
    assert str(ask("plugin", "ls")).split() == ["ID", "NAME", "DESCRIPTION", "ENABLED"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        *((f"{name} ls", SWARM_WORDS) for name in ("config", "node", "secret", "service", "stack", "swarm")),
        ("swarm init --advertise-addr x", SWARM_WORDS),
        ("volume update --availability drain v", "can only update cluster volumes"),
        ("volume update --availability never v", "'never' is not one of 'active', 'pause', 'drain'"),
        ("volume create --type block v", SWARM_WORDS),
        ("network create --ingress n", SWARM_WORDS),
        ("network create --config-only n", "no configuration-only networks"),
        ("checkpoint ls web", "only supported on a Docker daemon with experimental features enabled"),
        ("start --checkpoint c web", '"--checkpoint" is only supported on a Docker daemon with experimental features'),
        ("build --squash .", '"--squash" is only supported on a Docker daemon with experimental features'),
        ("build --security-opt x=y .", "does not support setting security options on build"),
        ("run --cpu-count 2 busybox", '"--cpu-count" is only supported on a Docker daemon running on windows'),
        *(
            (f"plugin {words}", "labdock does not install plugins")
            for words in ("install x", "upgrade x", "push x", "create x .")
        ),
        *((f"plugin {words} x", 'plugin "x" not found') for words in ("rm -f", "enable", "disable", "inspect")),
        ("plugin set x A=1", 'plugin "x" not found'),
        ("trust sign x", "Notary"),
    ],
)
def test_what_there_is_not_says_so(words: str, said: str) -> None:
    with pytest.raises(LabdockError, match=said) as caught:
        ask(*words.split())
    assert getattr(caught.value, "exit_code", 1) in (1, 125)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("container list", "container ls"),
        ("container ps", "container ls"),
        ("container remove", "container rm"),
        ("image list", "image ls"),
        ("image remove", "image rm"),
        ("network list", "network ls"),
        ("network remove", "network rm"),
        ("volume list", "volume ls"),
        ("volume remove", "volume rm"),
        ("context list", "context ls"),
        ("context remove", "context rm"),
    ],
)
def test_dockers_other_names(alias: str, name: str) -> None:
    assert command(alias) is command(name) is not None
