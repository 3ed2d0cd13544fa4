"""Signals by the names that Docker's clients use, and exit codes as they know them. Pure."""

from __future__ import annotations

import signal as signals

from labdock.engine.records import ContainerRecord
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


def stop_signal(record: ContainerRecord) -> int:
    """The number of the signal that asks *record*'s program to end."""
    return parse_signal(record.config.stop_signal or "SIGTERM")


def exit_code_of(error: BaseException) -> int:
    """126 or 127 as a shell has it, 128 for all else (moby: daemon/start.go)."""
    text = str(error)
    if "executable file not found" in text or "no such file or directory" in text.lower():
        return 127
    if isinstance(error, InvalidRequest) and "permission denied" in text.lower():
        return 126
    return 128
