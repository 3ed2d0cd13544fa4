"""The tree itself: every name leads to a command, and the helps shown without loading are the commands' own."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from labdock.client import Client
from labdock.client.scripted import Script, ScriptedTransport
from labdock.commands import run
from labdock.commands.tree import LazyGroup, root
from labdock.errors import InvalidRequest, LabdockError
from labdock.notebook.face import NotebookFace


def commands(group: LazyGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, LazyGroup):
            yield from commands(command, (*path, name))


ALL = dict(commands(root))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert command.help
    unexplained = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert unexplained == []


def ask(*words: str) -> object:
    return run(words, NotebookFace(client=Client(ScriptedTransport(Script()))))


@pytest.mark.parametrize("words", [(), ("--help",), ("run", "--help"), ("container", "--help"), ("container",)])
def test_help_asks_the_engine_nothing(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    shown = ask(*words)
    assert "Usage:" in (str(shown) if shown else capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rnu",), "'rnu' is not a labdock command."),
        (("container", "x"), "'x' is not a labdock container command."),
        (("run", "--nope", "a"), "unknown flag: --nope"),
        (("run", "-Z", "a"), "unknown shorthand flag: 'Z' in -Z"),
        (("run", "a", "-Z"), "page not found"),
        (("run",), "'labdock run' requires at least 1 argument"),
        (("stop",), "'labdock stop' requires at least 1 argument"),
        (("rename", "a"), "'labdock rename' requires 1 argument"),
        (("ps", "extra"), "'labdock ps' does not take 'extra'"),
        (("run", "--rm=maybe", "a"), 'invalid argument "maybe" for "--rm" flag'),
        (("run", "--name"), "flag needs an argument: --name"),
        (("ps", "-f", "x"), "invalid argument 'x' for \"-f, --filter\" flag"),
    ],
)
def test_words_that_make_no_sense(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(LabdockError) as caught:
        ask(*words)
    assert message in caught.value.message


def test_a_near_miss_is_offered() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ask("rnu")
    assert caught.value.hint == "did you mean run?"
