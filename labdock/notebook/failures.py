"""How a command's failure looks in a cell: its message and what to do, no traceback through labdock's insides."""

from __future__ import annotations

from labdock.errors import LabdockError

RED, PLAIN = "\x1b[31m", "\x1b[0m"


class CommandFailed(Exception):
    """A magic's command failed; the text is the message and, after an empty line, the hint.

    Front ends get an error like any other (a run of all cells stops, papermill and nbclient repeat it), only that its
    traceback is the message. ``error`` is what was raised: ``%debug`` and code around a magic find it there.
    """

    def __init__(self, message: str, *, hint: str | None = None, error: LabdockError | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.error = error

    def __str__(self) -> str:
        return f"{self.message}\n\nhint: {self.hint}" if self.hint else self.message

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        from labdock.commands.results import printable

        first, *rest = str(self).split("\n")
        return [f"{RED}Error:{PLAIN} {printable(first)}", *map(printable, rest)]


class Interrupted(KeyboardInterrupt):
    """An interrupt of labdock's own work, shown without the way through its insides."""

    def _render_traceback_(self) -> list[str]:
        return [f"{RED}Error:{PLAIN} {self}"]
