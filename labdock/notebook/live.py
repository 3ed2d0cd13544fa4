"""Outputs that change while work goes on: at most ten updates a second, and the last state always."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

#: The Jupyter server drops output beyond its message rate; ten pictures a second look smooth enough.
INTERVAL = 0.1


class Picture:
    """Something to display: plain text and HTML, made when asked for."""

    def __init__(self, text: Callable[[], str], html: Callable[[], str]) -> None:
        self._text = text
        self._html = html

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": self._text(), "text/html": self._html()}


class LiveOutput:
    """One display, updated in place. *show* displays the first time and gives the function that updates.

    Where nothing can be updated in place (IPython in a terminal), only the last state is shown.
    """

    def __init__(
        self,
        picture: Picture,
        show: Callable[[Picture], Callable[[Picture], None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._picture = picture
        self._show = show or display
        self._in_place = show is not None or has_kernel()
        self._clock = clock
        self._update: Callable[[Picture], None] | None = None
        self._last = float("-inf")

    def refresh(self, *, force: bool = False, paced: bool = False) -> None:
        """Show the picture as it is now, unless it was shown a moment ago (*paced*: the caller sees to that)."""
        now = self._clock()
        if not force and (not self._in_place or (now - self._last < INTERVAL and not paced)):
            return
        self._last = now
        if self._update is None:
            self._update = self._show(self._picture)
        else:
            self._update(self._picture)


def has_kernel() -> bool:
    """Whether a front end listens that can change what it has shown."""
    from IPython.core.getipython import get_ipython

    find: Any = get_ipython
    return getattr(find(), "kernel", None) is not None


def display(picture: Picture) -> Callable[[Picture], None]:
    """Show *picture* through IPython with a display id."""
    from IPython import display as ipython

    show: Any = ipython.display
    handle = show(picture, display_id=True)
    if handle is None:  # No kernel to send it: the text was printed.
        return lambda _picture: None

    def update(changed: Picture) -> None:
        handle.update(changed)

    return update
