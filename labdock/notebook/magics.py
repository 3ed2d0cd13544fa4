"""The magics: ``%container``, ``%%container``, ``%%compose``, ``%%dockerfile``, ``%explain``, ``%%in``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labdock.errors import LabdockError
from labdock.notebook.face import NotebookFace
from labdock.notebook.failures import CommandFailed
from labdock.notebook.variables import split

NAMES = (
    ("compose", "line_cell"),
    ("container", "line_cell"),
    ("dockerfile", "cell"),
    ("explain", "line"),
    ("in", "cell"),
)
#: What an interrupted cell fails with, unless its command knows better.
INTERRUPTED = "interrupted; what the cell ran in the foreground was stopped"
#: Commands whose input a cell's body is.
TAKES_BODY = ("run", "exec")


class Magics:
    """The magics of one shell."""

    def __init__(self, shell: Any, face: Callable[..., NotebookFace] = NotebookFace) -> None:
        self._shell = shell
        self._face = face

    def register(self) -> None:
        from IPython.core.magic import no_var_expand

        from labdock.notebook.completion import Completion

        @no_var_expand
        def compose(line: str, cell: str | None = None) -> object:
            """Compose: the cell is the file. %%compose [up -d | config | …], then %compose ps (%compose --help)."""
            return self.compose(line, cell)

        @no_var_expand
        def container(line: str, cell: str | None = None) -> object:
            """Docker's commands: %container ps, %container run -d -p 8080:80 IMAGE … (%container --help)."""
            return self.container(line, cell)

        @no_var_expand
        def dockerfile(line: str, cell: str = "") -> object:
            """Build the cell: %%dockerfile -t NAME [--context FOLDER] [--build-arg K=V] (%%dockerfile --help)."""
            return self.dockerfile(line, cell)

        @no_var_expand
        def explain(line: str) -> object:
            """Draw what the engine did to make a container: %explain NAME (%explain --help)."""
            return self.explain(line)

        @no_var_expand
        def inside(line: str, cell: str = "") -> object:
            """Run the cell's Python in an image: %%in IMAGE [--in a,b] [--out c] (%%in --help)."""
            return self.inside(line, cell)

        for (name, kind), function in zip(NAMES, (compose, container, dockerfile, explain, inside), strict=True):
            self._shell.register_magic_function(function, magic_kind=kind, magic_name=name)
        Completion(self._shell).register()

    def container(self, line: str, cell: str | None = None) -> object:
        from labdock.commands.tree import root

        face = self._face(cell, input_line=self._body_line(), cell=self._cell())
        return self._run(line, face, "%container", root, body=cell is not None)

    def compose(self, line: str, cell: str | None = None) -> object:
        from labdock.commands.compose import compose, with_cell

        face = self._face(cell, input_line=self._body_line(), cell=self._cell())
        program = "%compose" if cell is None else "%%compose"
        return self._run(line, face, program, compose, body=False, change=None if cell is None else with_cell)

    def dockerfile(self, line: str, cell: str) -> object:
        from labdock.commands.building import build_cell

        face = self._face(cell, input_line=self._body_line(), cell=self._cell())
        return self._run(line, face, "%%dockerfile", build_cell, body=False)

    def explain(self, line: str) -> object:
        from labdock.commands.explanation import explain

        return self._run(line, self._face(), "%explain", explain, body=False)

    def inside(self, line: str, cell: str) -> object:
        from labdock.notebook.inside import InsideFace, run_inside

        face = self._face(cell, input_line=self._body_line())
        made = InsideFace(cell, space=self._shell.user_ns, input_line=face.input_line, client=face.client)
        return self._run(line, made, "%%in", run_inside, body=False)

    def _cell(self) -> str:
        """What tells this cell from the others, "" where the front end does not say."""
        try:
            return str(self._shell.get_parent()["metadata"].get("cellId") or "")
        except (AttributeError, KeyError, TypeError):
            return ""

    def _run(
        self,
        line: str,
        face: NotebookFace,
        program: str,
        command: Any,
        *,
        body: bool,
        change: Callable[[list[str]], list[str]] | None = None,
    ) -> object:
        from labdock.commands.dispatch import dispatch
        from labdock.commands.results import Exited

        try:
            try:
                words = split(line, self._shell.user_ns)
                words = change(words) if change else words
                result = dispatch(_with_input(words) if body else words, face, program, command)
            finally:
                face.close()
        except LabdockError as error:
            raise CommandFailed(error.message, hint=error.hint, error=error) from None
        except KeyboardInterrupt as interrupt:
            # A traceback through labdock's insides would tell the user nothing.
            raise CommandFailed(str(interrupt) or INTERRUPTED) from None
        if isinstance(result, Exited):
            if result.exit_code:
                raise CommandFailed(_ending(result.exit_code))
            return None
        return result if result is not None and str(result) else None

    def _body_line(self) -> int:
        """The number in the cell of the line after the magic's own, as front ends count."""
        try:
            code: str = self._shell.get_parent()["content"]["code"]
        except (AttributeError, KeyError, TypeError):
            return 2
        for number, text in enumerate(code.split("\n"), 1):
            if text.strip():
                return number + 1
        return 2


def _with_input(words: list[str]) -> list[str]:
    """*words* with ``-i`` after ``run`` or ``exec``: ``%%container run`` gives the body as input."""
    place = 1 if words[:1] == ["container"] else 0
    if words[place : place + 1] and words[place] in TAKES_BODY:
        return [*words[: place + 1], "-i", *words[place + 1 :]]
    return words


def _ending(code: int) -> str:
    meaning = {137: ": it was killed (SIGKILL, perhaps for want of memory)", 143: ": it was told to stop (SIGTERM)"}
    return f"the program ended with exit code {code}{meaning.get(code, '')}"


def unregister(shell: Any) -> None:
    """Take the magics and their completion away."""
    from labdock.notebook.completion import unregister as forget

    for name, kind in NAMES:
        for table in ("line", "cell"):
            if table in kind:
                shell.magics_manager.magics[table].pop(name, None)
    forget(shell)
