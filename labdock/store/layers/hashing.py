"""sha256 of a stream, taken beside the work on it: hashing does not hold the interpreter."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from types import TracebackType
from typing import Self

#: Streams up to this many bytes are hashed where they are read; larger ones in a thread of their own.
ALONE = 4 << 20
#: Bytes that wait to be hashed at most, not counting the piece that goes over it.
_MOST = 4 << 20


class Sha256:
    """A context manager: leaving it ends the thread, if there was need of one. What is given must not change."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0
        self._pieces: deque[bytes | memoryview] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ended = False

    def update(self, data: bytes | memoryview) -> None:
        self._size += len(data)
        if self._thread is None:
            if self._size <= ALONE:
                self._hash.update(data)
                return
            self._thread = threading.Thread(target=self._run, name="labdock-hash", daemon=True)
            self._thread.start()
        with self._changed:
            while self._waiting > _MOST:
                self._changed.wait()
            self._pieces.append(data)
            self._waiting += len(data)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._pieces and not self._ended:
                    self._changed.wait()
                if not self._pieces:
                    return
                piece = self._pieces.popleft()
            self._hash.update(piece)
            with self._changed:
                self._waiting -= len(piece)
                self._changed.notify_all()

    def hexdigest(self) -> str:
        """Of all that was given; nothing can be added after it."""
        self._end()
        return self._hash.hexdigest()

    def _end(self) -> None:
        if self._thread is not None:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._pieces.clear()
        self._end()
