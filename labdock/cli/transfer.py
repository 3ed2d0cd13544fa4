"""A pull or a push in a terminal: a line for each layer, redrawn in place; elsewhere a line for each change."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from labdock.commands.transfer_view import TransferView, live_lines

if TYPE_CHECKING:
    from labdock.client.progress import JobLine

#: Seconds between two pictures.
INTERVAL = 0.1
#: Rows for layers at most, however high the window is.
MOST_ROWS = 24


class Board:
    """Lines at the bottom of what was written, which can be drawn again. *size* gives (rows, columns)."""

    def __init__(self, write: Callable[[str], None], size: Callable[[], tuple[int, int] | None]) -> None:
        self._write = write
        self._size = size
        self._height = 0

    @property
    def room(self) -> int:
        rows, _ = self._size() or (24, 80)
        return max(min(rows - 1, MOST_ROWS), 2)

    def draw(self, lines: list[str], above: list[str]) -> None:
        """*above* stays for good; *lines* are under it until the next picture."""
        _, columns = self._size() or (24, 80)
        start = f"\x1b[{self._height}A" if self._height else ""
        # A line that fills the last column would wrap, and the next picture begin a row too low.
        cut = [line[: columns - 1] for line in lines]
        self._write(f"{start}\r\x1b[J" + "".join(f"{line}\n" for line in (*above, *cut)))
        self._height = len(cut)


def show_live(
    view: TransferView,
    lines: Iterable[JobLine | None],
    board: Board,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Feed *view* to the end of *lines*; what has no layer scrolls above the layers."""
    last, waiting = float("-inf"), list[str]()
    state = "failed"
    try:
        for line in lines:
            now = clock()
            if line is not None:
                text = view.take(line, now)
                if text and line.id not in view.parts and text != view.passing:
                    waiting.append(text)
            if now - last >= INTERVAL:
                board.draw(live_lines(view, now, board.room), waiting)
                last, waiting = now, []
        state = "done"
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    finally:
        view.end(state, clock())
        board.draw(live_lines(view, clock(), board.room), waiting)
        close(lines)


def show_plain(view: TransferView, lines: Iterable[JobLine | None], say: Callable[[str], None]) -> None:
    """A line whenever a layer's state changes; bytes are not counted aloud."""
    try:
        for line in lines:
            if line is None:
                continue
            text = view.take(line, time.monotonic())
            if text and text != view.passing:
                say(text)
    finally:
        close(lines)


def close(lines: Iterable[JobLine | None]) -> None:
    """End the request behind *lines*, which stops an unfinished job."""
    end = getattr(lines, "close", None)
    if end is not None:
        with contextlib.suppress(OSError):
            end()
