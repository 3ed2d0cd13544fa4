"""Reading a tar as it arrives: entries in order, bounded, every byte hashed once on the way if so wished."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from labdock.errors import Corrupt
from labdock.store.layers import headers, sparse
from labdock.store.layers.headers import BLOCK, Entry

_CHUNK = 1 << 20
_MOST_HEADER = 1 << 20
_ZEROS = bytes(BLOCK)
_HOLE = memoryview(bytes(_CHUNK))


class Source(Protocol):
    """Anything with read: a file, a pipe, a decompressor."""

    def read(self, size: int = -1, /) -> bytes: ...


class Hasher(Protocol):
    """Gets all bytes of a stream, in order."""

    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one archive may hold at most: entries, and bytes of the plain tar."""

    entries: int = 4_000_000
    size: int = 256 << 30


GENEROUS = Limits()


class Reader:
    """The entries of the tar in *source*. Iterate; read an entry's data before the next one (else it is skipped).

    *hasher* has seen the whole stream after the last entry. Sparse files are like others, with their zeros.
    Raises Corrupt for what is no tar, is cut short or goes over *limits*.
    """

    def __init__(self, source: Source, limits: Limits = GENEROUS, hasher: Hasher | None = None) -> None:
        self._source = source
        self._limits = limits
        self._hasher = hasher
        self._buffer = b""
        self._position = 0
        self._left = 0
        self._padding = 0
        self._header = b""
        self._sparse: sparse.Sparse | None = None
        self._at = 0
        self._globals: dict[bytes, bytes] = {}
        self.size = 0
        self.entries = 0

    def __iter__(self) -> Iterator[Entry]:
        records: dict[bytes, bytes] = {}
        while (entry := self._next_header()) is not None:
            kind = entry.type
            if kind == headers.PAX:
                records.update(headers.decode_records(self._take_body(entry)))
            elif kind == headers.PAX_GLOBAL:
                self._globals.update(headers.decode_records(self._take_body(entry)))
            elif kind == headers.GNU_NAME:
                records[b"path"] = self._take_body(entry).partition(b"\0")[0]
            elif kind == headers.GNU_LINK:
                records[b"linkpath"] = self._take_body(entry).partition(b"\0")[0]
            else:
                told = {**self._globals, **records} if self._globals else records
                headers.apply_records(entry, told)
                self.entries += 1
                if self.entries > self._limits.entries:
                    raise Corrupt(f"the tar has more than {self._limits.entries} entries")
                self._left = entry.size
                self._padding = -entry.size % BLOCK
                self._sparse = None
                if kind == headers.GNU_SPARSE or (told and kind == headers.FILE):
                    self._open_sparse(entry, told)
                records = {}
                yield entry
                self._skip()
        while self._fill():
            self._buffer, self._position = b"", 0

    def _open_sparse(self, entry: Entry, records: dict[bytes, bytes]) -> None:
        """Make *entry* the file that it stands for, if it is a sparse one."""
        if entry.type == headers.GNU_SPARSE:
            found = sparse.from_blocks(self._header, entry.size, self._block)
            entry.type = headers.FILE
        else:
            said = sparse.from_records(records, entry.size, self._take_block)
            if said is None:
                return
            found = said
        if found.size > self._limits.size:
            raise Corrupt(f"the tar is larger than {self._limits.size} bytes")
        entry.size = found.size
        found.segments.reverse()
        self._sparse, self._at = found, 0

    def take(self) -> memoryview:
        """The next piece of the current entry's data; empty at its end."""
        if self._sparse is None:
            return self._take_stored(self._left)
        segments = self._sparse.segments
        while segments and self._at >= sum(segments[-1]):
            segments.pop()
        start = segments[-1][0] if segments else self._sparse.size
        if self._at < start or not segments:
            piece = _HOLE[: start - self._at]
        else:
            piece = self._take_stored(sum(segments[-1]) - self._at)
        self._at += len(piece)
        return piece

    @staticmethod
    def is_hole(piece: memoryview) -> bool:
        """Whether *piece* are zeros that a file need not have been written to hold."""
        return piece.obj is _HOLE.obj

    def _take_block(self) -> bytes:
        """The next 512 bytes of the current entry's data."""
        block = b""
        while len(block) < BLOCK and (piece := self._take_stored(BLOCK - len(block))):
            block += piece
        return block

    def _take_stored(self, most: int) -> memoryview:
        most = min(most, self._left)
        if not most:
            return memoryview(b"")
        have = len(self._buffer) - self._position
        if not have:
            if not self._fill():
                raise Corrupt("the tar ends in the middle of a file")
            have = len(self._buffer) - self._position
        size = min(have, most)
        piece = memoryview(self._buffer)[self._position : self._position + size]
        self._position += size
        self._left -= size
        return piece

    def _fill(self) -> bool:
        """Read on; the buffer keeps what was not consumed. False at the end of the stream."""
        chunk = self._source.read(_CHUNK)
        if not chunk:
            return False
        if self._hasher is not None:
            self._hasher.update(chunk)
        self.size += len(chunk)
        if self.size > self._limits.size:
            raise Corrupt(f"the tar is larger than {self._limits.size} bytes")
        self._buffer = self._buffer[self._position :] + chunk if self._position < len(self._buffer) else chunk
        self._position = 0
        return True

    def _block(self) -> bytes:
        """The next 512 bytes; empty at the end of the stream."""
        while len(self._buffer) - self._position < BLOCK:
            if not self._fill():
                if len(self._buffer) > self._position:
                    raise Corrupt("the tar ends in the middle of a header")
                return b""
        start = self._position
        self._position += BLOCK
        return self._buffer[start : self._position]

    def _next_header(self) -> Entry | None:
        block = self._block()
        # One block of zeros ends it: the second is often missing, and padding or rubbish may follow.
        if not block or block == _ZEROS:
            return None
        self._header = block
        return headers.decode(block)

    def _take_body(self, entry: Entry) -> bytes:
        """The data of an extension header."""
        if entry.size > _MOST_HEADER:
            raise Corrupt(f"the tar has an extension header of {entry.size} bytes")
        self._left, self._padding = entry.size, -entry.size % BLOCK
        body = b"".join(iter(lambda: bytes(self._take_stored(self._left)), b""))
        self._skip()
        return body

    def _skip(self) -> None:
        """To the next header, over what was left unread and the padding."""
        have = len(self._buffer) - self._position
        if self._left + self._padding <= have:
            self._position += self._left + self._padding
            self._left = self._padding = 0
            return
        while self._left:
            self._take_stored(self._left)
        # quirk: the docker CLI ends a context right after its last file's data, without padding (build -f OUTSIDE).
        while len(self._buffer) - self._position < self._padding:
            if not self._fill():
                self._position = len(self._buffer)
                break
        else:
            self._position += self._padding
        self._padding = 0
