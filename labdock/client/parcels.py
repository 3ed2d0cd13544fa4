"""The body of labdock's own build call: parts one after the other, each in frames. See schema/build_query.py. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

MEDIA_TYPE = "application/vnd.labdock.build"
#: The most bytes in one frame.
FRAME = 1 << 20
_END = struct.pack(">I", 0)


@dataclass(frozen=True, slots=True)
class Part:
    """``kind``: secret, context, cache or main. ``data`` is never shown: it may be a secret."""

    kind: str
    name: str
    data: Iterable[bytes] = field(repr=False)


def encode_parts(parts: Iterable[Part]) -> Iterator[bytes]:
    """The body that *parts* make, in their order."""
    for part in parts:
        yield encode_frame(msgspec.json.encode({"part": part.kind, "name": part.name}))
        for piece in part.data:
            for start in range(0, len(piece), FRAME):
                yield encode_frame(piece[start : start + FRAME])
        yield _END


def encode_frame(data: bytes) -> bytes:
    """Its length, four bytes big-endian, and *data*; an empty one would end the part, so it must not be empty."""
    if not 0 < len(data) <= FRAME:
        raise ValueError(f"a frame holds 1 to {FRAME} bytes, not {len(data)}")
    return struct.pack(">I", len(data)) + data
