"""Blobs by digest, in an OCI image layout (image-spec image-layout.md): ``blobs/sha256/HEX``.

A blob is visible only when its bytes were verified and are on disk: it is written under ``ingest/``, hashed on
the way, fsynced, then renamed to its place. What a killed process leaves under ``ingest/`` is no blob.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from labdock.errors import Corrupt, InvalidRequest, LabdockError, NotFound, StorageFull, SystemFailure
from labdock.schema.ids import is_digest
from labdock.sys import filesystems

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
#: What begins the file of an ingest that the next of its name goes on with, and how long that may wait. Seconds.
_KEPT = "kept-"
KEPT_FOR = 7 * 24 * 3600.0

#: The disk begins to write a blob whenever so many more bytes of it have come.
_FLUSH = 8 << 20


class ContentStore:
    """The blobs under *root*. Any thread may use it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "blobs" / "sha256"
        self._ingest = root / "ingest"
        self._open_ingests: set[str] = set()
        try:
            self._blobs.mkdir(parents=True, exist_ok=True)
            self._ingest.mkdir(exist_ok=True)
            if not (root / "oci-layout").exists():
                (root / "oci-layout").write_bytes(_LAYOUT)
        except OSError as error:
            raise translate(error, f"opening the blobs in {root}") from error

    def path(self, digest: str) -> Path:
        """Where *digest*'s blob is or would be. Raises InvalidRequest for what is no sha256 digest."""
        if not is_digest(digest):
            raise InvalidRequest(f"not a sha256 digest: {digest[:100]!r}")
        return self._blobs / digest[7:]

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def size(self, digest: str) -> int:
        """Its size in bytes; NotFound."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError as error:
            raise NotFound(f"blob {digest} not found") from error

    def open(self, digest: str) -> BinaryIO:
        """The blob, unbuffered and seekable, to be closed by the caller; NotFound."""
        try:
            return open(self.path(digest), "rb", buffering=0)
        except FileNotFoundError as error:
            raise NotFound(f"blob {digest} not found") from error

    def read(self, digest: str, limit: int = 4 << 20) -> bytes:
        """The whole blob, verified again. Raises Corrupt when it is over *limit* bytes or is not its digest."""
        size = self.size(digest)
        if size > limit:
            raise Corrupt(f"blob {digest} has {size} bytes; at most {limit} are taken here")
        with self.open(digest) as file:
            data = file.read()
        if hash_bytes(data) != digest:
            raise Corrupt(f"blob {digest} does not hold what its digest says")
        return data

    def write(self, data: bytes) -> str:
        """Keep *data*; gives its digest."""
        digest = hash_bytes(data)
        if self.has(digest):
            return digest
        with self.ingest(f"write-{digest[7:]}-{os.urandom(4).hex()}") as ingest:
            ingest.write(data)
            return ingest.commit()

    def ingest(self, name: str, *, keep: bool = False) -> Ingest:
        """Begin a blob. *name* is any text; one ingest of a name at a time.

        With *keep*, what arrived stays when the ingest ends early, and the next of that name goes on after it.
        """
        prefix = _KEPT if keep else ""
        return Ingest(self, self._ingest / (prefix + hashlib.sha256(name.encode()).hexdigest()), keep)

    def delete(self, digest: str) -> bool:
        """Remove a blob; false when there was none."""
        try:
            self.path(digest).unlink()
        except FileNotFoundError:
            return False
        return True

    def walk(self) -> Iterator[tuple[str, int]]:
        """Every blob's digest and size in bytes."""
        with os.scandir(self._blobs) as entries:
            for entry in entries:
                digest = f"sha256:{entry.name}"
                if is_digest(digest):
                    yield digest, entry.stat().st_size

    def recover(self) -> None:
        """At start: remove what was arriving when the last process ended, but for what can be gone on with."""
        now = time.time()
        with os.scandir(self._ingest) as entries:
            for entry in entries:
                if not entry.name.startswith(_KEPT) or entry.stat().st_mtime < now - KEPT_FOR:
                    os.unlink(entry.path)

    def arriving(self) -> int:
        """Bytes that began to arrive and are no blob: what runs now, and what was kept to be gone on with."""
        with os.scandir(self._ingest) as entries:
            return sum(_size_of(entry) for entry in entries)

    def forget_kept(self, idle: float = 0.0) -> int:
        """Remove what was kept of ingests that ended early, untouched for *idle* seconds; the bytes that frees."""
        freed, latest = 0, time.time() - idle
        with os.scandir(self._ingest) as entries:
            for entry in entries:
                if entry.name.startswith(_KEPT) and entry.path not in self._open_ingests:
                    with contextlib.suppress(FileNotFoundError):
                        found = entry.stat()
                        if found.st_mtime <= latest:
                            os.unlink(entry.path)
                            freed += found.st_size
        return freed

    def replace(self, name: str, data: bytes) -> None:
        """Write the layout's own file *name* (index.json) whole: readers see the old or the new one."""
        target = self.root / name
        staged = self._ingest / f"file-{name}-{os.urandom(4).hex()}"
        try:
            staged.write_bytes(data)
            os.replace(staged, target)
        except OSError as error:
            staged.unlink(missing_ok=True)
            raise translate(error, f"writing {target}") from error


class Ingest:
    """A blob that is arriving. A context manager: leaving it without :meth:`commit` drops the bytes."""

    def __init__(self, store: ContentStore, path: Path, keep: bool) -> None:
        self._store = store
        self._path = path
        self._keep = keep
        self._hash = hashlib.sha256()
        self._size = 0
        self._done = False
        try:
            self._file = _EarlyFile(path, "r+b" if keep and path.exists() else "w+b")
            while chunk := self._file.read(1 << 20):
                self._hash.update(chunk)
                self._size += len(chunk)
        except OSError as error:
            raise translate(error, f"beginning a blob at {path}") from error
        self._flushed = self._size
        store._open_ingests.add(str(path))

    @property
    def path(self) -> Path:
        """Where the bytes are until they are a blob."""
        return self._path

    def discard(self) -> None:
        """Keep nothing when this ends early, whatever was said at its start."""
        self._keep = False

    @property
    def file(self) -> BinaryIO:
        """The raw file, for a writer that hashes by itself; ends in :meth:`commit_hashed`."""
        return self._file

    @property
    def hexdigest(self) -> str:
        """sha256 of what was written so far, in hex."""
        return self._hash.hexdigest()

    def tell(self) -> int:
        """Bytes that are here."""
        return self._size

    def write(self, data: bytes | memoryview) -> int:
        """Add *data*, all of it. Raises StorageFull or SystemFailure."""
        self._hash.update(data)
        self.add(data)
        return len(data)

    def add(self, data: bytes | memoryview) -> None:
        """As :meth:`write`, for a caller that hashes by itself and ends with :meth:`commit_hashed`."""
        try:
            write_all(self._file.fileno(), data)
        except OSError as error:
            raise translate(error, f"writing a blob of {self._size} bytes and more") from error
        self._size += len(data)
        if self._size - self._flushed >= _FLUSH:
            filesystems.begin_writing(self._file.fileno(), self._flushed, self._size - self._flushed)
            self._flushed = self._size

    def commit(self, expected_digest: str | None = None, expected_size: int | None = None) -> str:
        """Make the blob visible under its digest. Raises Corrupt when it is not what was expected."""
        digest = f"sha256:{self._hash.hexdigest()}"
        if expected_size is not None and expected_size != self._size:
            raise self._refuse(f"{self._size} bytes arrived where {expected_size} were announced")
        if expected_digest is not None and expected_digest != digest:
            raise self._refuse(f"the blob {expected_digest} arrived as {digest}")
        return self._publish(digest)

    def commit_hashed(self, digest: str) -> str:
        """Make what was written to :attr:`file` visible under *digest*, which the writer took on the way."""
        self._size = os.fstat(self._file.fileno()).st_size
        return self._publish(digest)

    def _refuse(self, text: str) -> Corrupt:
        # Bytes that are wrong are no start for the next attempt.
        self._keep = False
        return Corrupt(text)

    def _publish(self, digest: str) -> str:
        target = self._store.path(digest)
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            os.chmod(self._path, 0o444)
            os.rename(self._path, target)
            folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise translate(error, f"keeping blob {digest}") from error
        self._done = True
        return digest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self._done and not self._keep:
            self._path.unlink(missing_ok=True)
        self._store._open_ingests.discard(str(self._path))


class _EarlyFile(io.FileIO):
    """A raw file that is written in order, and that the disk begins to write meanwhile."""

    _waiting = 0

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override]
        written = super().write(data)
        self._waiting += written
        if self._waiting >= _FLUSH:
            filesystems.begin_writing(self.fileno(), self.tell() - self._waiting, self._waiting)
            self._waiting = 0
        return written


def _size_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 0


def hash_bytes(data: bytes) -> str:
    """The digest of *data*."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """write(2) until all of *data* is written."""
    written = os.write(fd, data)
    if written < len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[os.write(fd, rest) :]


def translate(error: OSError, doing: str) -> LabdockError:
    """The error at this room's border: StorageFull for a full disk, else SystemFailure, with *doing* in front."""
    text = f"{doing}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(text, hint="free some space there (`docker system df` shows what the images hold)")
    return SystemFailure(text)
