"""``--filter name=value`` as the engine takes it."""

from __future__ import annotations

from collections.abc import Iterable

from labdock.errors import InvalidRequest


def filters(texts: Iterable[str]) -> dict[str, list[str]]:
    """``{"status": ["running"]}`` from ``status=running``."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, given, value = text.partition("=")
        if not given or not name.strip():
            raise InvalidRequest(
                f'invalid argument {text!r} for "-f, --filter" flag: bad format of filter (expected name=value)'
            )
        found.setdefault(name.strip().lower(), []).append(value.strip())
    return found
