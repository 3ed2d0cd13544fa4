"""GNU tar's sparse files: which parts of a file its tar holds; the rest is zeros. Pure.

GNU tar manual, "Storing Sparse Files": the old format (type "S", the map in the header and in blocks after it), and
PAX 0.0, 0.1 (the map in the PAX header) and 1.0 (the map before the data).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from labdock.errors import Corrupt
from labdock.store.layers.headers import BLOCK, parse_number

#: Bytes of a map at most.
_MOST_MAP = 8 << 20
_PREFIX = b"GNU.sparse."
_FIRST, _FIRST_COUNT, _MORE_COUNT = 386, 4, 21
Segment = tuple[int, int]


@dataclass(slots=True)
class Sparse:
    """A file of *size* bytes, of which *segments* (offset and length, ascending) are in the tar."""

    size: int
    segments: list[Segment]

    def check(self, stored: int) -> Sparse:
        """Raises Corrupt where the segments are not a file's, or are not the *stored* bytes."""
        end = total = 0
        for offset, length in self.segments:
            if offset < end:
                raise Corrupt("a sparse file of the tar has parts that overlap")
            end = offset + length
            total += length
        if end > self.size or total != stored:
            raise Corrupt("a sparse file of the tar does not have the size that it says")
        return self


def from_blocks(header: bytes, stored: int, more: Callable[[], bytes]) -> Sparse:
    """The old format: *header* and, as often as that says so, what *more* gives."""
    segments = _read_segments(header, _FIRST, _FIRST_COUNT)
    size = parse_number(header[483:495])
    extended, blocks = header[482], 0
    while extended:
        block = more()
        blocks += 1
        if len(block) < BLOCK or blocks * BLOCK > _MOST_MAP:
            raise Corrupt("a sparse file of the tar has a map without end")
        segments += _read_segments(block, 0, _MORE_COUNT)
        extended = block[504]
    return Sparse(size, segments).check(stored)


def _read_segments(block: bytes, start: int, count: int) -> list[Segment]:
    segments = []
    for position in range(start, start + count * 24, 24):
        if not block[position + 12]:
            break
        segments.append(
            (parse_number(block[position : position + 12]), parse_number(block[position + 12 : position + 24]))
        )
    return segments


def from_records(records: Mapping[bytes, bytes], stored: int, take: Callable[[], bytes]) -> Sparse | None:
    """What PAX *records* say of a sparse file; None when it is not sparse.

    *stored*: the bytes of data after the header, of which *take* gives the next block.
    """
    told = {key[len(_PREFIX) :]: value for key, value in records.items() if key.startswith(_PREFIX)}
    if not told:
        return None
    if b"major" in told:
        if (told[b"major"], told.get(b"minor")) != (b"1", b"0"):
            raise Corrupt("a sparse file of the tar is in a format that is not known")
        size = _digits(told.get(b"realsize", b""))
        segments, taken = _read_map(take)
        return Sparse(size, segments).check(stored - taken)
    numbers = [_digits(text) for text in told.get(b"map", b"").split(b",")] if told.get(b"map") else []
    if len(numbers) % 2:
        raise Corrupt("a sparse file of the tar has a map that does not parse")
    size = _digits(told.get(b"size", b""))
    return Sparse(size, list(zip(numbers[::2], numbers[1::2], strict=True))).check(stored)


def _read_map(take: Callable[[], bytes]) -> tuple[list[Segment], int]:
    """The map before the data, and how many bytes it took."""
    data = b""
    wanted = 1
    while data.count(b"\n") < wanted:
        block = take()
        data += block
        if len(block) < BLOCK or len(data) > _MOST_MAP:
            raise Corrupt("a sparse file of the tar has a map without end")
        if wanted == 1 and b"\n" in data:
            wanted = 1 + 2 * _digits(data[: data.index(b"\n")])
            if wanted > _MOST_MAP:
                raise Corrupt("a sparse file of the tar has a map without end")
    numbers = [_digits(line) for line in data.split(b"\n")[1:wanted]]
    return list(zip(numbers[::2], numbers[1::2], strict=True)), len(data)


def _digits(text: bytes) -> int:
    if not text.isdigit() or len(text) > 18:
        raise Corrupt(f"a sparse file of the tar has {text[:20]!r} where a number belongs")
    return int(text)
