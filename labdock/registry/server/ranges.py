"""The two ranges of the protocol: which part of a blob a client wants, and which part of an upload it sends. Pure."""

from __future__ import annotations

import re

from labdock.registry.server.refusals import Code, Refusal

#: Without the unit, as distribution-spec has it; with it, as RFC 9110 has it.
_CHUNK = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]{1,18}|\*))?")
_ONE = re.compile(r"bytes=(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})")


def is_single(header: str | None) -> bool:
    """Whether *header* (``Range``) asks for one part of bytes; else it is passed over, as RFC 9110 §14.2 allows."""
    return header is not None and _ONE.fullmatch(header.strip()) is not None


def show(offset: int) -> str:
    """The ``Range`` of an upload that has *offset* bytes. The end is inclusive, and 0-0 means none as well."""
    return f"0-{max(offset - 1, 0)}"


def check_chunk(offset: int, content_range: str | None, content_length: int | None) -> int | None:
    """How many bytes the chunk has that goes on after *offset*; None when its headers don't say.

    Raises Refusal: 416 when it begins elsewhere, SIZE_INVALID when its headers contradict each other.
    """
    if content_range is None:
        return content_length
    match = _CHUNK.fullmatch(content_range.strip())
    if match is None:
        raise Refusal(Code.BLOB_UPLOAD_INVALID, f"not a Content-Range: {content_range[:60]!r}")
    first, last = int(match[1]), int(match[2])
    if first != offset:
        raise Refusal(
            Code.BLOB_UPLOAD_INVALID,
            f"the chunk begins at byte {first}, and the upload has {offset} bytes",
            http=416,
            headers={"Range": show(offset)},
        )
    size = last - first + 1
    if size < 1:
        raise Refusal(Code.SIZE_INVALID, f"the chunk ends (byte {last}) before it begins (byte {first})")
    if content_length is not None and content_length != size:
        raise Refusal(Code.SIZE_INVALID, f"the Content-Range holds {size} bytes, the Content-Length {content_length}")
    return size
