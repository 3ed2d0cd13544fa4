"""Sizes, ages and ids as Docker prints them (docker/go-units)."""

from __future__ import annotations

import time

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float, digits: int = 4) -> str:
    """``4.26MB``: powers of 1000, *digits* significant."""
    index = 0
    while count >= 1000 and index < len(_DECIMAL) - 1:
        count /= 1000
        index += 1
    return f"{count:.{digits}g}{_DECIMAL[index]}"


def binary_size(count: float) -> str:
    """``1.5GiB``: powers of 1024."""
    index = 0
    while count >= 1024 and index < len(_BINARY) - 1:
        count /= 1024
        index += 1
    return f"{count:.4g}{_BINARY[index]}"


def span(seconds: float) -> str:
    """``About a minute``, ``3 hours``: go-units' HumanDuration."""
    whole = int(seconds)
    minutes, hours = whole // 60, round(seconds / 3600)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    for limit, unit, name in (
        (48, 1, "hours"),
        (24 * 7 * 2, 24, "days"),
        (24 * 30 * 2, 24 * 7, "weeks"),
        (24 * 365 * 2, 24 * 30, "months"),
    ):
        if hours < limit:
            return f"{hours // unit} {name}"
    return f"{int(seconds / 3600 / 24 / 365)} years"


def ago(created: float, now: float | None = None) -> str:
    """``3 minutes ago`` for seconds since the epoch; ``N/A`` for what has no time."""
    if created <= 0:
        return "N/A"
    return f"{span((time.time() if now is None else now) - created)} ago"


def stamp(created: float) -> str:
    """``2026-11-24 07:10:00 +0000 UTC`` for seconds since the epoch."""
    return time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(created))


def short(identity: str) -> str:
    """An id's first 12 digits."""
    return identity.removeprefix("sha256:")[:12]


def elide(text: str, width: int) -> str:
    """*text* in at most *width* characters, with an ellipsis when it was longer."""
    return text if len(text) <= width else text[: width - 1] + "…"
