"""Tab completion for the magics: commands and options with their help, names of containers and images, instructions."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Iterable
from typing import Any

from labdock.errors import LabdockError

IDENTIFIER = "labdock"
INSTRUCTIONS = tuple(
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL "
    "ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split()
)
_LINE = re.compile(r"^\s*(?:[\w., ]+=\s*)?%(%?)(container|dockerfile|explain|in)\b(.*)$", re.DOTALL)
#: Options whose values are names of a kind.
VALUES = {"--network": "network", "--net": "network", "--volumes-from": "container", "--link": "container"}
#: Commands whose arguments are containers, and those whose arguments are images.
OF_CONTAINERS = frozenset(
    "attach commit cp diff exec explain export inspect kill logs pause port rename restart rm start stats stop top "
    "unpause update wait".split()
)
OF_IMAGES = frozenset("create history in inspect push rmi run save tag".split())
#: Names are asked of the engine at most this often (seconds), so that typing stays quick.
FRESH = 2.0

Found = tuple[str, str]  # text, its help


class Completion:
    """Completes for one shell. *names* gives the engine's names of a kind: container, image, network, volume."""

    def __init__(self, shell: Any, names: Callable[[str], list[str]] | None = None) -> None:
        self._shell = shell
        self._ask = names or engine_names
        self._known: dict[str, tuple[float, list[str]]] = {}

    def register(self) -> None:
        completer = getattr(self._shell, "Completer", None)
        if completer is None or not hasattr(completer, "custom_matchers"):
            return
        unregister(self._shell)
        try:
            from IPython.core.completer import context_matcher
        except ImportError:
            # quirk: Colab has IPython 7.34, whose matchers get a word and know of no help.
            completer.custom_matchers.append(self._plain_matcher(completer))
            return

        @context_matcher(identifier=IDENTIFIER)  # type: ignore[untyped-decorator]
        def match(context: Any) -> Any:
            return self._answer(context)

        completer.custom_matchers.append(match)

    def _plain_matcher(self, completer: Any) -> Callable[[str], list[str]]:
        def match(text: str) -> list[str]:
            line = completer.text_until_cursor
            try:
                found = self.complete(line, line, in_body=False) or []
            except (LabdockError, ValueError):
                return []
            # What is completed may begin before the word: IPython's words end at a colon, names of images don't.
            begun = len(line.rsplit(None, 1)[-1]) - len(text) if line and not line[-1].isspace() else 0
            return [name[max(begun, 0) :] for name, _ in found]

        match.matcher_identifier = IDENTIFIER  # type: ignore[attr-defined]
        return match

    def _answer(self, context: Any) -> Any:
        from IPython.core.completer import SimpleCompletion

        line = context.full_text.split("\n")[context.cursor_line][: context.cursor_position]
        first = context.full_text.split("\n")[0]
        try:
            found = self.complete(first, line, in_body=context.cursor_line > 0)
        except (LabdockError, ValueError):
            found = None
        if found is None:
            return {"completions": [], "suppress": False}
        completions = [SimpleCompletion(text, type=text_help or "labdock") for text, text_help in found]
        return {"completions": completions, "suppress": bool(completions)}

    def complete(self, first: str, line: str, *, in_body: bool) -> list[Found] | None:
        """What may follow *line* (up to the cursor); None when it is no business of ours."""
        if in_body:
            starts = re.match(r"^\s*(\w*)$", line)
            if not starts or not re.match(r"\s*%%dockerfile\b", first):
                return None
            return [(name, "instruction") for name in INSTRUCTIONS if name.startswith(starts[1].upper())]
        found = _LINE.match(line)
        if not found or not found[3][:1].isspace():
            return None
        return self._words(found[2], found[3])

    def _words(self, magic: str, text: str) -> list[Found]:
        import click

        from labdock.commands.building import build_cell
        from labdock.commands.explanation import explain
        from labdock.commands.tree import root

        incomplete = "" if text[-1:].isspace() else text.rsplit(None, 1)[-1]
        words = shlex.split(text[: len(text) - len(incomplete)])
        from labdock.notebook.inside import run_inside

        known = {"container": root, "dockerfile": build_cell, "explain": explain, "in": run_inside}
        command: click.Command = known[magic]
        context = click.Context(command)
        path: list[str] = [] if magic == "container" else [magic]
        while isinstance(command, click.Group) and words:
            following = command.get_command(context, words[0])
            if following is None:
                return []
            path.append(words.pop(0))
            command = following
            context = click.Context(command, parent=context)
        if isinstance(command, click.Group):
            lazy: dict[str, tuple[str, str]] = getattr(command, "lazy", {})
            return [(name, lazy[name][1]) for name in command.list_commands(context) if name.startswith(incomplete)]
        if incomplete.startswith("-"):
            return _options(command, incomplete)
        if words and words[-1] in VALUES:
            return self._matching([VALUES[words[-1]]], incomplete)
        if (program := self._in_program(command, words)) is not None:
            return program
        return self._matching(self._kinds(path, words), incomplete)

    def _matching(self, kinds: Iterable[str], incomplete: str) -> list[Found]:
        return [(name, kind) for kind in kinds for name in self._names(kind) if name.startswith(incomplete)]

    @staticmethod
    def _in_program(command: Any, words: list[str]) -> list[Found] | None:
        """After ``run IMAGE`` comes a program's own line, of which nothing is known here."""
        if command.name not in ("run", "create", "exec") or command.context_settings.get(
            "allow_interspersed_args", True
        ):
            return None
        flags = {name for each in command.params if getattr(each, "is_flag", False) for name in each.opts}
        place = 0
        while place < len(words) and words[place].startswith("-"):
            alone = words[place] in flags or "=" in words[place] or set(words[place][1:]) <= {f[1:] for f in flags}
            place += 1 if alone else 2
        return [] if place < len(words) else None

    def _kinds(self, path: list[str], words: list[str]) -> Iterable[str]:
        last = path[-1] if path else ""
        group = path[0] if len(path) > 1 else ""
        if group == "network" and last in ("connect", "disconnect"):
            yield "container" if any(not word.startswith("-") for word in words) else "network"
        elif group in ("network", "volume"):
            if last not in ("create", "ls", "prune"):
                yield group
        elif last in OF_CONTAINERS and group in ("", "container"):
            yield "container"
        if (last in OF_IMAGES and group in ("", "container")) or group == "image":
            yield "image"
        if last == "inspect" and not group:
            yield from ("network", "volume")

    def _names(self, kind: str) -> list[str]:
        asked, names = self._known.get(kind, (float("-inf"), []))
        if time.monotonic() - asked > FRESH:
            names = self._ask(kind)
            self._known[kind] = time.monotonic(), names
        return names


def _options(command: Any, incomplete: str) -> list[Found]:
    found = []
    for parameter in command.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith(incomplete) and name.startswith("-"):
                found.append((name, getattr(parameter, "help", None) or "option"))
    return sorted(found)


def engine_names(kind: str) -> list[str]:
    """The names the engine knows now; none when there is no engine: completing must not start one."""
    from labdock.client import connect

    try:
        with connect(start=False) as client:
            if kind == "container":
                return [container.name for container in client.containers.list(all=True)]
            if kind == "network":
                return [network.name for network in client.networks.list()]
            if kind == "volume":
                return [volume.name for volume in client.volumes.list()]
            return [name for image in client.images.list() for name in image.repo_tags]
    except LabdockError:
        return []


def unregister(shell: Any) -> None:
    completer = getattr(shell, "Completer", None)
    matchers = getattr(completer, "custom_matchers", None)
    if matchers is not None:
        matchers[:] = [m for m in matchers if getattr(m, "matcher_identifier", None) != IDENTIFIER]
