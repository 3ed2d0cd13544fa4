"""Ids and digests: how they are made and recognised."""

from __future__ import annotations

import os
import re

SHORT = 12
_HEX = re.compile(r"[0-9a-f]+\Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


def new_id() -> str:
    """A new random id: 64 hex digits, never all decimal in its first 12 (Docker: a short id is no number)."""
    while True:
        found = os.urandom(32).hex()
        if not found[:SHORT].isdecimal():
            return found


def short_id(value: str) -> str:
    """The first 12 hex digits of an id or a digest."""
    return value.removeprefix("sha256:")[:SHORT]


def is_hex(value: str) -> bool:
    return _HEX.match(value) is not None


def is_digest(value: str) -> bool:
    return _DIGEST.match(value) is not None
