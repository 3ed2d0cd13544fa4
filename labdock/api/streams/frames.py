"""Docker's multiplexed stream: each piece of output behind an 8-byte header. Pure.

``[stream, 0, 0, 0, size as 4 bytes big-endian]``; stream 0 stdin, 1 stdout, 2 stderr, 3 the engine's own error
(Engine API, ContainerAttach, "Stream format").
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from labdock.errors import InvalidRequest

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"

_NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2, "error": 3}
_NAMES = {number: name for name, number in _NUMBERS.items()}
_pack = struct.Struct(">BxxxL").pack
_HEADER = 8
#: The largest payload a decoder takes; the engine's own writes are far smaller.
LARGEST = 16 << 20


def frame(stream: str, data: bytes) -> bytes:
    """One frame. *data* below 4 GiB."""
    return _pack(_NUMBERS[stream], len(data)) + data


def join_frames(pieces: Iterable[tuple[str, bytes]]) -> bytes:
    """One frame for each piece, in one go."""
    return b"".join([part for stream, data in pieces for part in (_pack(_NUMBERS[stream], len(data)), data)])


class FrameReader:
    """The other direction: bytes in, (stream, payload) out. InvalidRequest on what is no such stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        self._buffer += data
        while len(self._buffer) >= _HEADER:
            number, size = struct.unpack_from(">BxxxL", self._buffer)
            if number not in _NAMES or size > LARGEST:
                raise InvalidRequest(f"not a multiplexed stream: header {bytes(self._buffer[:_HEADER]).hex()}")
            if len(self._buffer) < _HEADER + size:
                return
            payload = bytes(self._buffer[_HEADER : _HEADER + size])
            del self._buffer[: _HEADER + size]
            yield _NAMES[number], payload

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame."""
        return len(self._buffer)
