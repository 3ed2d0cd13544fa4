"""Signals by the names that Docker's clients use. Pure."""

from __future__ import annotations

import signal as signals

from labdock.errors import InvalidRequest


def parse_signal(text: str) -> int:
    """``SIGTERM``, ``term`` or ``15`` as a number. InvalidRequest in Docker's words."""
    word = text.strip().upper()
    if word.isdecimal() and 0 < int(word) < 65:
        return int(word)
    found = getattr(signals, word if word.startswith("SIG") else f"SIG{word}", None)
    if isinstance(found, signals.Signals):
        return int(found)
    raise InvalidRequest(f"Invalid signal: {text}")
