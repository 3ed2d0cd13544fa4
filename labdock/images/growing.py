"""A blob that is read while it arrives: the writer says how far it is, the reader waits for more."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_LONGEST_WAIT = 1.0
#: The first read gives this much at least, where there is as much: it tells what the blob is compressed with.
_HEAD = 64


class Growing:
    """Reads the file *path*, of which *have* bytes are there. The writer's side may be called from any thread.

    The writer ends it, with :meth:`end` or :meth:`fail`; until then a reader that is ahead waits.
    """

    def __init__(self, path: Path, have: int, on_read: Callable[[int], None] | None = None) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._on_read = on_read
        self._changed = threading.Condition()
        self._have = have
        self._position = 0
        self._ended = False
        self._error: BaseException | None = None

    def grow(self, have: int) -> None:
        """*have* bytes are there now."""
        with self._changed:
            self._have = have
            self._changed.notify_all()

    def end(self) -> None:
        """That was all."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """No more will come: *error* is raised to whoever reads, unless it ended well before."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
                self._changed.notify_all()

    def read(self, size: int = -1, /) -> bytes:
        """Up to *size* bytes, as soon as there are any; none at the end."""
        with self._changed:
            least = 1 if self._position else _HEAD
            while self._have - self._position < least and not self._ended:
                # The writer has the deadlines; waking up now and then costs nothing.
                self._changed.wait(_LONGEST_WAIT)
            if self._error is not None:
                raise self._error
            left = self._have - self._position
        data = os.pread(self._fd, min(left, 1 << 20 if size < 0 else size), self._position)
        self._position += len(data)
        if self._on_read is not None:
            self._on_read(self._position)
        return data

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
