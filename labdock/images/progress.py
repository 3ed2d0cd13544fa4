"""The lines that tell of a pull or push, layer by layer, in Docker's words (moby/pkg/jsonmessage).

Bytes are told at most ten times a second for each layer, and the last of them always.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from labdock.schema.ids import short_id

Tell = Callable[[dict[str, Any]], None]
_INTERVAL = 0.1


class Bar:
    """One layer's lines. ``tell`` is called in the thread that calls here."""

    def __init__(self, digest: str, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self._id = short_id(digest)
        self._tell = tell
        self._clock = clock
        self._last: tuple[str, float] = ("", 0.0)

    def say(self, status: str) -> None:
        """A state, without bytes."""
        self._last = (status, 0.0)
        self._tell({"status": status, "progressDetail": {}, "id": self._id})

    def move(self, status: str, current: int, total: int) -> None:
        """*current* of *total* bytes (0: not known) are done."""
        now = self._clock()
        before, when = self._last
        if before == status and now - when < _INTERVAL and current != total:
            return
        self._last = (status, now)
        detail = {"current": current, "total": total} if total else {"current": current}
        self._tell({"status": status, "progressDetail": detail, "progress": draw(current, total), "id": self._id})


def draw(current: int, total: int) -> str:
    """``[=====>     ]  1.2MB/3MB``, as old clients print it."""
    if total <= 0 or current > total:
        return show_size(current)
    done = current * 50 // total
    head = ">" if done < 50 else ""
    return f"[{'=' * done}{head}{' ' * (50 - done - len(head))}]  {show_size(current)}/{show_size(total)}"


def show_size(size: int) -> str:
    """In decimal units with up to four digits, as Docker shows sizes (docker/go-units, HumanSize)."""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB", "PB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.4g}{units[0]}"
