"""Times and durations as Docker's clients write them. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

SECOND = 1_000_000_000

_UNITS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 1_000_000, "us": 1000, "µs": 1000, "ns": 1}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|us|µs|ns|h|m|s)")
_UNIX = re.compile(r"(-?[0-9]+)(?:\.([0-9]+))?\Z")
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[Tt ]([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?)?)?"
    r"(Z|z|[+-][0-9]{2}:[0-9]{2})?\Z"
)


def parse_duration(text: str) -> int | None:
    """A Go duration (``1h30m``, ``1.5s``) in ns; None when *text* is none."""
    negative = text.startswith("-")
    rest = text[1:] if negative else text
    total, position = 0, 0
    while position < len(rest):
        match = _DURATION.match(rest, position)
        if match is None:
            return None
        total += int(float(match[1]) * _UNITS[match[2]])
        position = match.end()
    if position == 0:
        return None
    return -total if negative else total


def show_duration(ns: int) -> str:
    """As Go prints a duration: ``1m30s``, ``1.5s``, ``300ms``."""
    for unit, size in (("ns", 1), ("µs", 1000), ("ms", 1_000_000)):
        if abs(ns) < size * 1000:
            return f"{ns / size:.9f}".rstrip("0").rstrip(".") + unit if ns else "0s"
    minutes, rest = divmod(abs(ns), 60 * SECOND)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / SECOND:.9f}".rstrip("0").rstrip(".") + "s"
    shown = (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + seconds
    return f"-{shown}" if ns < 0 else shown


def parse_time(text: str, now_ns: int) -> int:
    """ns since the epoch of: seconds with up to nine decimals, RFC 3339 (also cut short, then UTC), or a Go
    duration before *now_ns*. Raises ValueError. (moby's api/types/time/timestamp.go.)"""
    if match := _UNIX.match(text):
        fraction = int((match[2] or "")[:9].ljust(9, "0"))
        whole = int(match[1]) * SECOND
        return whole - fraction if match[1].startswith("-") else whole + fraction
    duration = parse_duration(text)
    if duration is not None:
        return now_ns - duration
    if match := _RFC3339.match(text):
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
        try:
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}") from error
        return int(moment.timestamp() - _offset(match[8])) * SECOND + int((match[7] or "").ljust(9, "0"))
    raise ValueError(f"{text!r} is no time")


def _offset(zone: str | None) -> int:
    if zone is None or zone in "Zz":
        return 0
    seconds = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
    return -seconds if zone[0] == "-" else seconds
