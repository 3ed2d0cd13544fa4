"""Durations as Go writes them: ``1h2m3.5s``, ``500ms``, ``0``."""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = 40


def parse_duration(text: str) -> int:
    """*text* in nanoseconds. Raises ValueError in Go's words."""
    sign = -1 if text.startswith("-") else 1
    body = text.lstrip("+-") if text[1:2] not in ("+", "-") else text
    if body == "0":
        return 0
    total, at = Decimal(0), 0
    while at < len(body) <= _LONGEST and (found := _PART.match(body, at)):
        total += Decimal(found[1]) * _UNITS[found[2]]
        at = found.end()
    if not body or at < len(body):
        raise ValueError(f'time: invalid duration "{text[:100]}"')
    if total >= 2**63:
        raise ValueError(f'time: invalid duration "{text}": it is too long')
    return sign * int(total)
