"""What a command needs from where it was typed: a terminal and a notebook each have their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.progress import JobLine
    from labdock.client.streams import Attached
    from labdock.commands.build_view import BuildView
    from labdock.commands.results import Result
    from labdock.schema.build import AnyBuildEvent


class Target(Protocol):
    """The process at the other end of a conversation."""

    def resize(self, rows: int, columns: int) -> None:
        """Give its terminal a new size."""

    def signal(self, name: str) -> None:
        """Send it a signal (``INT``, ``TERM`` …)."""


class Face(Protocol):
    """Where output goes and input comes from."""

    #: Whether answers are values to look at (a notebook) rather than text to print.
    keeps_results: bool
    #: The number, as the user counts, of the first line of what ``read_input`` gives.
    input_line: int
    #: What tells the notebook's cell from the others; "" when there is none or it is not known.
    cell: str

    @property
    def client(self) -> Client: ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What says which engine is meant and where its user's configuration is."""

    def choose(self, overrides: Mapping[str, str]) -> None:
        """For this command, *overrides* stand above the environment; called before ``client`` is used."""

    def write(self, stream: str, data: bytes) -> None:
        """A program's own output, to ``stdout`` or ``stderr``. Raises BrokenPipeError when nobody reads."""

    def say(self, text: str) -> None:
        """A line for the human: notices, warnings."""

    def read_input(self) -> bytes:
        """All of standard input."""

    def input_chunks(self) -> Iterator[bytes]:
        """Standard input in parts."""

    def output_is_terminal(self) -> bool: ...

    def terminal_size(self) -> tuple[int, int] | None:
        """(rows, columns) when there is a terminal."""

    def check_tty(self) -> None:
        """Raises InvalidRequest when ``-it`` can't work because input is no terminal."""

    def converse(
        self, attached: Attached, target: Target, *, stdin: bool, tty: bool, proxy_signals: bool = True
    ) -> None:
        """Carry a process's streams until its output ends or the user detaches.

        Raises KeyboardInterrupt when the user gave up, BrokenPipeError when nobody reads the output.
        """

    def follow(self, output: Iterable[tuple[str, bytes]]) -> None:
        """Show output until it ends; for what is followed, an interrupt is no error."""

    def show_changing(self, shots: Iterator[Result]) -> None:
        """Show each of *shots* in the place of the one before, until they end.

        An interrupt is no error in a cell; in a terminal it is docker's exit code, KeyboardInterrupt.
        """

    def picture(self, text: Callable[[], str], html: Callable[[], str]) -> Callable[[bool], None]:
        """Something that changes while work goes on; whoever works calls what is given when it has changed.

        Call it ten times a second at most, and with True for the last time. A terminal shows none.
        """

    def ask(self, prompt: str, *, secret: bool = False) -> str:
        """What the user types; without an echo when it is *secret*. Raises InvalidRequest when nobody can answer."""

    def show_job(self, title: str, lines: Iterable[JobLine | None]) -> None:
        """Show a pull's, a push's, a load's or a bootstrap's progress to its end; closes *lines*, which stops it."""

    def show_build(self, view: BuildView, events: Iterator[AnyBuildEvent | None]) -> None:
        """Feed *view* with *events* and show it as it changes; closes *events*, which stops an unfinished build."""
