"""The notebook face: output into the cell, input from the cell's body, progress in place."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from labdock.errors import InvalidRequest
from labdock.notebook.live import LiveOutput, Picture

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.engine import Endpoint
    from labdock.client.progress import JobLine
    from labdock.client.streams import Attached
    from labdock.commands.build_view import BuildView
    from labdock.commands.face import Target
    from labdock.commands.results import Result
    from labdock.schema.build import AnyBuildEvent

#: A cell that shows more than this makes a notebook nobody can open.
MOST_OUTPUT = 4 * 1024 * 1024

_clients: dict[tuple[Endpoint, int], Client] = {}


def kernel_client() -> Client:
    """One client for the whole kernel, as long as the environment and the chosen context name the same engine."""
    from labdock.client import connect
    from labdock.client.engine import find_endpoint

    key = find_endpoint(os.environ), os.getpid()
    if key not in _clients:
        _clients[key] = connect()
    return _clients[key]


class Printer:
    """Writes a program's bytes as text to the cell's stdout and stderr; half a character waits for its rest."""

    def __init__(self) -> None:
        make = codecs.getincrementaldecoder("utf-8")
        self._decoders = {"stdout": make("replace"), "stderr": make("replace")}
        self._left = MOST_OUTPUT
        self.dropped = 0

    def write(self, stream: str, data: bytes) -> None:
        text = self._decoders[stream].decode(data)
        if len(text) > self._left:
            self.dropped += len(text) - self._left
            text = text[: self._left]
        self._left -= len(text)
        if text:
            out = sys.stderr if stream == "stderr" else sys.stdout
            out.write(text)
            out.flush()

    def finish(self) -> None:
        for stream in self._decoders:
            rest = self._decoders[stream].decode(b"", final=True)
            if rest and self._left:
                (sys.stderr if stream == "stderr" else sys.stdout).write(rest)
        if self.dropped:
            sys.stderr.write(
                f"\n… {self.dropped} more characters are not shown: a cell shows {MOST_OUTPUT // 2**20} MB at most\n"
            )


class NotebookFace:
    """One run of a magic. ``body``: the cell below the magic's line, None for a line magic."""

    keeps_results = True

    def __init__(
        self,
        body: str | None = None,
        *,
        input_line: int = 2,
        cell: str = "",
        client: Client | None = None,
        live: Callable[[Picture], LiveOutput] = LiveOutput,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._body = (body or "").encode()
        self.input_line = input_line
        self.cell = cell
        self._client = client
        self._live = live
        self._clock = clock
        self._printer = Printer()
        self._chosen: dict[str, str] = {}
        self._own: Client | None = None

    @cached_property
    def client(self) -> Client:
        if self._client is None and self._chosen:
            from labdock.client import connect

            self._own = connect(self.environment)
            return self._own
        return self._client or kernel_client()

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ | self._chosen

    def choose(self, overrides: Mapping[str, str]) -> None:
        self._chosen = dict(overrides)

    def close(self) -> None:
        """The command is over: what waits to be shown is shown."""
        if self._own is not None:
            self._own.close()
        self._printer.finish()

    def write(self, stream: str, data: bytes) -> None:
        self._printer.write(stream, data)

    def say(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def read_input(self) -> bytes:
        return self._body

    def input_chunks(self) -> Iterator[bytes]:
        if self._body:
            yield self._body

    def output_is_terminal(self) -> bool:
        return False

    def terminal_size(self) -> tuple[int, int] | None:
        return None

    def check_tty(self) -> None:
        raise InvalidRequest(
            "the input device is not a TTY",
            hint="a cell has no keyboard to give away: leave out -t. %%container run IMAGE sends the cell's body as "
            "input; `labdock exec -it` in a terminal opens a shell",
        )

    def converse(
        self, attached: Attached, target: Target, *, stdin: bool, tty: bool, proxy_signals: bool = True
    ) -> None:
        from labdock.client.conversation import Input, converse

        converse(attached, self.write, Input(self._body) if stdin else None)

    def follow(self, output: Iterable[tuple[str, bytes]]) -> None:
        # The user has seen enough; the cell is done and the next one may run.
        with contextlib.suppress(KeyboardInterrupt):
            for stream, data in output:
                self.write(stream, data)

    def show_changing(self, shots: Iterator[Result]) -> None:
        last: list[Result] = []
        picture = Picture(lambda: str(last[-1]), lambda: last[-1]._repr_html_() or "")
        output = self._live(picture)
        with contextlib.suppress(KeyboardInterrupt):
            for shot in shots:
                last[:] = [shot]
                output.refresh()
        if last:
            output.refresh(force=True)

    def picture(self, text: Callable[[], str], html: Callable[[], str]) -> Callable[[bool], None]:
        output = self._live(Picture(text, html))
        return lambda last: output.refresh(force=last, paced=True)

    def show_job(self, title: str, lines: Iterable[JobLine | None]) -> None:
        from labdock.commands.transfer_view import TransferView, as_html, as_text

        view = TransferView(title or "Loading images", self._clock())
        picture = Picture(lambda: as_text(view, self._clock()), lambda: as_html(view, self._clock()))
        output = self._live(picture)
        state = "failed"
        try:
            for line in lines:
                if line is not None:
                    view.take(line, self._clock())
                output.refresh()
            state = "done"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            view.end(state, self._clock())
            close = getattr(lines, "close", None)
            if close is not None:
                close()
            # What was refused before it began has nothing to show but its error.
            if state != "failed" or not view.is_empty:
                output.refresh(force=True)

    def ask(self, prompt: str, *, secret: bool = False) -> str:
        import getpass

        # ipykernel puts its own getpass and input in place, which ask the front end.
        try:
            return getpass.getpass(prompt) if secret else input(prompt)
        except (EOFError, NotImplementedError) as error:
            raise InvalidRequest("cannot ask: this notebook is run without somebody to answer") from error

    def show_build(self, view: BuildView, events: Iterator[AnyBuildEvent | None]) -> None:
        from labdock.commands.build_view import as_html, as_text

        picture = Picture(lambda: as_text(view, time.monotonic()), lambda: as_html(view, time.monotonic()))
        output = self._live(picture)
        try:
            for event in events:
                if event is not None:
                    view.apply(event, time.monotonic())
                output.refresh()
        except KeyboardInterrupt:
            view.stop()
            raise
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()
            if view.steps or view.over:
                output.refresh(force=True)
