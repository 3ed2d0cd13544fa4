"""The C library, for the calls that Python's os module does not have."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: object, subject: str | None = None) -> int:
    """Call libc's *name*; returns its result (>= 0).

    Raises OSError with errno and *subject* (the path or object acted on) when the result is negative.
    """
    result: int = getattr(_libc, name)(*args)
    if result < 0:
        code = ctypes.get_errno()
        text = f"{name}: {os.strerror(code)}"
        raise OSError(code, text, subject) if subject is not None else OSError(code, text)
    return result


def syscall(number: int, *args: object, subject: str | None = None) -> int:
    """Call the raw syscall *number*, with errors as in :func:`call`."""
    return call("syscall", ctypes.c_long(number), *args, subject=subject)
