"""The body of labdock's own build call, read part by part while it arrives. See schema/build_query.py."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

import msgspec
from aiohttp import StreamReader

from labdock.errors import InvalidRequest

MEDIA_TYPE = "application/vnd.labdock.build"
#: The most bytes in one frame.
FRAME = 1 << 20
Part = tuple[str, str, AsyncIterator[bytes]]


class _Head(msgspec.Struct, frozen=True):
    part: str
    name: str = ""


async def read_parts(content: StreamReader) -> AsyncIterator[Part]:
    """Each part's kind, name and bytes; what is not read of one is skipped. Raises InvalidRequest."""
    while (first := await _read_frame(content, at_end=True)) is not None:
        try:
            head = msgspec.json.decode(first, type=_Head)
        except msgspec.MsgspecError as error:
            raise InvalidRequest(f"the build's body: a part does not begin with its name: {error}") from error
        data = _read_data(content)
        yield head.part, head.name, data
        async for _ in data:
            pass


async def _read_data(content: StreamReader) -> AsyncIterator[bytes]:
    while piece := await _read_frame(content):
        yield piece


async def _read_frame(content: StreamReader, *, at_end: bool = False) -> bytes | None:
    """The next frame; None when the body ends before it and *at_end* allows that."""
    length = await _read_exactly(content, 4)
    if not length and at_end:
        return None
    if len(length) < 4:
        raise InvalidRequest("the build's body was cut short")
    (size,) = struct.unpack(">I", length)
    if size > FRAME:
        raise InvalidRequest(f"the build's body: a frame of {size} bytes; at most {FRAME} are taken")
    data = await _read_exactly(content, size)
    if len(data) < size:
        raise InvalidRequest("the build's body was cut short")
    return data


async def _read_exactly(content: StreamReader, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = await content.read(size)
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
