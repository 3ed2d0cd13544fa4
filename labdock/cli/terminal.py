"""The terminal face: raw mode, window sizes, signals, progress on stderr."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

from labdock.errors import InvalidRequest, LabdockError

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.client.progress import JobLine
    from labdock.client.streams import Attached
    from labdock.commands.build_view import BuildView
    from labdock.commands.face import Target
    from labdock.commands.results import Result
    from labdock.schema.build import AnyBuildEvent

STDIN, STDOUT, STDERR = 0, 1, 2
DIM, RED, PLAIN = "\x1b[2m", "\x1b[31m", "\x1b[0m"


class Terminal:
    """Standard input, output and errors, a terminal or not."""

    keeps_results = False
    input_line = 1
    cell = ""
    _chosen: Mapping[str, str] = MappingProxyType({})

    @cached_property
    def client(self) -> Client:
        from labdock.client import connect

        return connect(self.environment if self._chosen else None)

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ | self._chosen

    def choose(self, overrides: Mapping[str, str]) -> None:
        self._chosen = dict(overrides)

    def close(self) -> None:
        if "client" in self.__dict__:
            self.client.close()

    def write(self, stream: str, data: bytes) -> None:
        descriptor = STDERR if stream == "stderr" else STDOUT
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def say(self, text: str) -> None:
        """Without control characters: much of what is said has come from engines and registries."""
        from labdock.commands.results import visible

        self._say(visible(text))

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self.write("stderr", f"{text}\n".encode("utf-8", "backslashreplace"))

    def show(self, text: str) -> None:
        """A result. A terminal gets no control characters, which would be orders to it; a pipe gets what there is."""
        from labdock.commands.results import visible

        if text and self.output_is_terminal():
            text = visible(text)
        if text:
            self.write("stdout", text.encode("utf-8", "surrogateescape") + (b"" if text.endswith("\n") else b"\n"))

    def show_error(self, error: LabdockError) -> None:
        """The message, a blank line, the hint; without control characters from elsewhere."""
        from labdock.commands.results import visible

        label = f"{RED}Error:{PLAIN}" if self._colours else "Error:"
        hint = f"\n\nhint: {visible(error.hint)}" if error.hint else ""
        self._say(f"{label} {visible(error.message)}{hint}")

    @cached_property
    def _colours(self) -> bool:
        return os.isatty(STDERR) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def read_input(self) -> bytes:
        return b"".join(self.input_chunks())

    def input_chunks(self) -> Iterator[bytes]:
        while data := os.read(STDIN, 1 << 20):
            yield data

    def output_is_terminal(self) -> bool:
        return os.isatty(STDOUT)

    def terminal_size(self) -> tuple[int, int] | None:
        for descriptor in (STDOUT, STDIN, STDERR):
            try:
                size = os.get_terminal_size(descriptor)
            except OSError:
                continue
            if size.lines and size.columns:
                return size.lines, size.columns
        return None

    def check_tty(self) -> None:
        if not os.isatty(STDIN):
            raise InvalidRequest(
                "the input device is not a TTY", hint="leave out -t to give the program this input as it is: -i"
            )

    def converse(
        self, attached: Attached, target: Target, *, stdin: bool, tty: bool, proxy_signals: bool = True
    ) -> None:
        from labdock.client.conversation import Input, converse

        source = Input(descriptor=STDIN) if stdin else None
        raw = tty and stdin and os.isatty(STDIN)
        with contextlib.ExitStack() as stack:
            if raw:
                stack.enter_context(raw_mode(STDIN))
            wake = None
            if proxy_signals or tty:
                from labdock.cli.signals import Signals

                signals = stack.enter_context(Signals(target, self.terminal_size if tty else None, proxy_signals))
                wake = signals.descriptor, signals.handle
                signals.resize()
            converse(attached, self.write, source, wake)

    def follow(self, output: Iterable[tuple[str, bytes]]) -> None:
        for stream, data in output:
            self.write(stream, data)

    def show_changing(self, shots: Iterator[Result]) -> None:
        from labdock.commands.results import visible

        redraws = self.output_is_terminal()
        for shot in shots:
            lines = str(shot).split("\n")
            if redraws:
                lines = [visible(line) for line in lines]
                # Over what was there, each line's rest and all below cleared: less flicker than an empty screen.
                size = self.terminal_size()
                lines = [f"{line}\x1b[K" for line in (lines[: size[0] - 1] if size else lines)]
                lines = ["\x1b[H" + lines[0], *lines[1:], "\x1b[J"]
            text = "\n".join(lines) + ("" if redraws else "\n")
            self.write("stdout", text.encode("utf-8", "backslashreplace"))

    def picture(self, text: Callable[[], str], html: Callable[[], str]) -> Callable[[bool], None]:
        return lambda last: None

    def show_job(self, title: str, lines: Iterable[JobLine | None]) -> None:
        from labdock.cli.transfer import Board, show_live, show_plain
        from labdock.commands.transfer_view import TransferView

        view = TransferView(title, time.monotonic())
        if self._redraws:
            show_live(view, lines, Board(self._raw_error, self.terminal_size))
            return
        if title:
            self.say(title)
        show_plain(view, lines, self.say)

    @property
    def _redraws(self) -> bool:
        return os.isatty(STDERR) and os.environ.get("TERM", "dumb") != "dumb"

    def ask(self, prompt: str, *, secret: bool = False) -> str:
        if not os.isatty(STDIN):
            raise InvalidRequest("cannot ask: standard input is no terminal")
        import getpass

        try:
            return getpass.getpass(prompt) if secret else input(prompt)
        except EOFError:
            return ""

    def show_build(self, view: BuildView, events: Iterator[AnyBuildEvent | None]) -> None:
        from labdock.cli.build import show_build

        show_build(view, events, self._say, self._raw_error, colours=self._colours)

    def _raw_error(self, text: str) -> None:
        self.write("stderr", text.encode("utf-8", "backslashreplace"))


@contextlib.contextmanager
def raw_mode(descriptor: int) -> Iterator[None]:
    """Every key goes to the program, Ctrl-C too; the terminal is as before afterwards."""
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
