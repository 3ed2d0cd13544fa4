"""Memory that is free in the process and not yet for others."""

from __future__ import annotations

import contextlib

from labdock.sys import libc


def trim() -> None:
    """Have the C library give its free pages back: it keeps them for good below what is in use. man 3 malloc_trim."""
    # AttributeError: a C library without it.
    with contextlib.suppress(AttributeError, OSError):
        libc.call("malloc_trim", 0)
