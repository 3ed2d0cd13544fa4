"""Tab completion for the magics: commands and options with their help, names of containers and images, instructions."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labdock.errors import LabdockError

if TYPE_CHECKING:
    from labdock.commands.completing import Found

IDENTIFIER = "labdock"
INSTRUCTIONS = tuple(
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL "
    "ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split()
)
_LINE = re.compile(r"^\s*(?:[\w., ]+=\s*)?%(%?)(container|dockerfile|explain|in)\b(.*)$", re.DOTALL)
#: Names are asked of the engine at most this often (seconds), so that typing stays quick.
FRESH = 2.0


class Completion:
    """Completes for one shell. *names* gives the engine's names of a kind: container, image, network, volume."""

    def __init__(self, shell: Any, names: Callable[[str], list[str]] | None = None) -> None:
        self._shell = shell
        self._ask = names
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
        from labdock.commands.building import build_cell
        from labdock.commands.completing import complete_text
        from labdock.commands.explanation import explain
        from labdock.commands.tree import root
        from labdock.notebook.inside import run_inside

        known: dict[str, Any] = {"container": root, "dockerfile": build_cell, "explain": explain, "in": run_inside}
        path = [] if magic == "container" else [magic]
        return complete_text(known[magic], path, text, lambda _chosen: self._names).found

    def _names(self, kind: str) -> list[str]:
        asked, names = self._known.get(kind, (float("-inf"), []))
        if time.monotonic() - asked > FRESH:
            if self._ask is None:
                # Here: the command tree is not loaded before the first tab.
                from labdock.commands.completing import engine_names

                self._ask = engine_names()
            names = self._ask(kind)
            self._known[kind] = time.monotonic(), names
        return names


def unregister(shell: Any) -> None:
    completer = getattr(shell, "Completer", None)
    matchers = getattr(completer, "custom_matchers", None)
    if matchers is not None:
        matchers[:] = [m for m in matchers if getattr(m, "matcher_identifier", None) != IDENTIFIER]
