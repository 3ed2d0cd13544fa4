"""Uploads that are under way: bounded in number, each of one writer at a time, forgotten when idle. No input or output.

::

    begin ──▶ waiting ◀──▶ writing ──▶ closed
                 └── idle for too long ──▶ closed
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from labdock.registry.server.ranges import show
from labdock.registry.server.refusals import Code, Refusal

#: Uploads at a time; each holds an open file.
MOST = 256
#: Seconds after its last byte that an upload is kept.
IDLE = 900.0


class Arriving(Protocol):
    """A blob that is arriving. Its methods block: they are called in worker threads, one at a time."""

    def write(self, data: bytes) -> object: ...

    def commit(self, digest: str) -> None:
        """Raises labdock.errors.Corrupt when the bytes are not *digest*'s."""

    def drop(self) -> None:
        """Forget the bytes; may be called twice, and after commit."""


@dataclass(slots=True, eq=False)
class Upload:
    """``offset``: bytes that are here; ``touched``: when that changed."""

    id: str
    name: str
    arriving: Arriving
    touched: float
    offset: int = 0
    writing: bool = False

    @property
    def location(self) -> str:
        """Where it goes on. Relative: which name a client knows this host by is the client's business."""
        return f"/v2/{self.name}/blobs/uploads/{self.id}"

    def headers(self) -> dict[str, str]:
        return {"Location": self.location, "Range": show(self.offset), "Docker-Upload-UUID": self.id}


class Uploads:
    """All uploads of one registry. *clock*: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float], *, most: int = MOST, idle: float = IDLE) -> None:
        self._clock = clock
        self._most = most
        self._idle = idle
        self._open: dict[str, Upload] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, name: str, make: Callable[[], Arriving]) -> Upload:
        """A new upload into the repository *name*. Raises Refusal (TOOMANYREQUESTS)."""
        if len(self._open) >= self._most:
            raise Refusal(
                Code.TOOMANYREQUESTS,
                f"{len(self._open)} uploads are under way; more are not taken at a time",
                headers={"Retry-After": "5"},
            )
        upload = Upload(secrets.token_hex(16), name, make(), self._clock())
        self._open[upload.id] = upload
        return upload

    def find(self, name: str, id: str) -> Upload:
        """Raises Refusal (BLOB_UPLOAD_UNKNOWN): it ended, it was idle too long, or the engine was started again."""
        upload = self._open.get(id)
        if upload is None or upload.name != name:
            raise Refusal(Code.BLOB_UPLOAD_UNKNOWN, "there is no such upload", hint="begin it again")
        return upload

    @contextmanager
    def writing(self, upload: Upload) -> Iterator[None]:
        """Be the one that writes to it. Raises Refusal (409) while another request does."""
        if upload.writing:
            raise Refusal(Code.BLOB_UPLOAD_INVALID, "another request is writing to this upload", http=409)
        upload.writing = True
        try:
            yield
        finally:
            upload.writing = False
            upload.touched = self._clock()

    def add(self, upload: Upload, size: int) -> None:
        """*size* more bytes are here."""
        upload.offset += size
        upload.touched = self._clock()

    def close(self, upload: Upload) -> None:
        """It is over: it can't be found any more."""
        self._open.pop(upload.id, None)

    def expire(self) -> list[Upload]:
        """Close those that were idle for too long; they are the caller's to drop."""
        old = [u for u in self._open.values() if not u.writing and self._clock() - u.touched >= self._idle]
        for upload in old:
            self.close(upload)
        return old

    def close_all(self) -> list[Upload]:
        """Close every one; they are the caller's to drop."""
        left = list(self._open.values())
        self._open.clear()
        return left
