"""Request bodies: bounded, and decoded into structs with the field at fault named."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from labdock.api.spelling import respell
from labdock.errors import InvalidRequest

#: The largest JSON body taken, in bytes. A create request with every option and long environments is far below.
LARGEST = 4 << 20
#: Streamed bodies are handed on in pieces of at most this many bytes.
PIECE = 256 << 10

_AT = re.compile(r" - at `\$?\.?(.*)`\Z")
T = TypeVar("T", bound=msgspec.Struct)


class TooLarge(InvalidRequest):
    """A body above :data:`LARGEST`."""

    status = 413


async def read_bytes(request: web.Request, limit: int = LARGEST) -> bytes:
    """The whole body; TooLarge above *limit* bytes."""
    if request.content.at_eof():
        return b""
    parts: list[bytes] = []
    total = 0
    async for part in request.content.iter_any():
        total += len(part)
        if total > limit:
            raise TooLarge(f"the request's body is larger than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


async def read_object(request: web.Request) -> dict[str, Any]:
    """A body that is a JSON object; {} when there is none or it is null."""
    data = await read_bytes(request)
    if not data.strip():
        return {}
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the request's body is not JSON: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidRequest("the request's body must be a JSON object")
    return found


def convert(sent: dict[str, Any], kind: type[T]) -> T:
    """*sent* as a *kind*, its names in any case; InvalidRequest names the field that does not fit."""
    try:
        return msgspec.convert(respell(sent, kind), kind)
    except msgspec.ValidationError as error:
        text = str(error)
        match = _AT.search(text)
        reason = text[: match.start()] if match else text
        reason = reason[:1].lower() + reason[1:]
        field = f"{match[1]}: " if match and match[1] else ""
        raise InvalidRequest(f"invalid request body: {field}{reason}") from error


async def chunks(request: web.Request) -> AsyncIterator[bytes]:
    """A streamed body, piece by piece; ConnectionError when the client goes away in its middle."""
    while piece := await request.content.read(PIECE):
        yield piece
