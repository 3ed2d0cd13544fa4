"""Tab completion for the magics: commands and options with their help, names of containers and images, instructions."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from labdock.errors import LabdockError

if TYPE_CHECKING:
    from labdock.commands.completing import Found

IDENTIFIER = "labdock"
INSTRUCTIONS = tuple(
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL "
    "ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split()
)
_LINE = re.compile(r"^\s*(?:[\w., ]+=\s*)?%(%?)(compose|container|dockerfile|explain|in)\b(.*)$", re.DOTALL)
#: Names are asked of the engine at most this often (seconds), so that typing stays quick.
FRESH = 2.0
#: Seconds that a key waits for an engine which does not answer.
PATIENCE = 0.08


class Completion:
    """Completes for one shell. *names* gives the engine's names of a kind: container, image, network, volume."""

    def __init__(self, shell: Any, names: Callable[[str], list[str]] | None = None) -> None:
        self._shell = shell
        self._ask = names
        self._known: dict[str, tuple[float, list[str]]] = {}
        self._asking: dict[str, threading.Thread] = {}

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
        first, *body = context.full_text.split("\n")[: context.cursor_line] or [line]
        try:
            found = self.complete(first, line, in_body=context.cursor_line > 0, before=body)
        except (LabdockError, ValueError):
            found = None
        if found is None:
            return {"completions": [], "suppress": False}
        completions = [SimpleCompletion(text, type=text_help or "labdock") for text, text_help in found]
        return {"completions": completions, "suppress": bool(completions)}

    def complete(self, first: str, line: str, *, in_body: bool, before: Sequence[str] = ()) -> list[Found] | None:
        """What may follow *line* (up to the cursor); None when it is no business of ours.

        *first*: the cell's first line; *before*: those between it and *line*.
        """
        if in_body and re.match(r"\s*%%compose\b", first):
            from labdock.commands.compose_keys import keys_after

            keys = keys_after("\n".join([*before, line]))
            return None if keys is None else [(key, "key") for key in keys]
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
        from labdock.commands.compose import compose
        from labdock.commands.explanation import explain
        from labdock.commands.tree import root
        from labdock.notebook.inside import run_inside

        known: dict[str, Any] = {
            "compose": compose,
            "container": root,
            "dockerfile": build_cell,
            "explain": explain,
            "in": run_inside,
        }
        path = [] if magic == "container" else [magic]
        return complete_text(known[magic], path, text, lambda _chosen: self._names).found

    def _names(self, kind: str) -> list[str]:
        """Those that are known within PATIENCE; what an engine says later is there for the next key."""
        asked, names = self._known.get(kind, (float("-inf"), []))
        if time.monotonic() - asked <= FRESH:
            return names
        asking = self._asking.get(kind)
        if asking is None:
            asking = threading.Thread(target=self._find, args=(kind,), name="labdock-names", daemon=True)
            self._asking[kind] = asking
            asking.start()
        asking.join(PATIENCE)
        return self._known.get(kind, (0.0, names))[1]

    def _find(self, kind: str) -> None:
        if self._ask is None:
            # Here: the command tree is not loaded before the first tab.
            from labdock.commands.completing import engine_names

            self._ask = engine_names()
        try:
            self._known[kind] = time.monotonic(), self._ask(kind)
        finally:
            self._asking.pop(kind, None)


def unregister(shell: Any) -> None:
    completer = getattr(shell, "Completer", None)
    matchers = getattr(completer, "custom_matchers", None)
    if matchers is not None:
        matchers[:] = [m for m in matchers if getattr(m, "matcher_identifier", None) != IDENTIFIER]
