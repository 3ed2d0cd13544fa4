"""Calling a plugin: one POST, one JSON answer, over a unix socket or TCP. Waits have deadlines, answers a bound.

Docker's plugin protocol, version 1: ``POST /Service.Method`` with JSON, answered with JSON whose ``Err`` says what
went wrong (docs.docker.com/engine/extend/plugin_api).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from labdock.errors import SystemFailure, Unavailable

MEDIA_TYPE = "application/vnd.docker.plugins.v1.1+json"
#: Bytes of an answer's head and body.
_LONGEST_HEAD, _LONGEST = 64 << 10, 4 << 20
#: Seconds between attempts to connect: a plugin that is being started again is waited for.
_PAUSES = (0.1, 0.2, 0.4, 0.8)

Dial = Callable[[str, int], Awaitable[socket.socket]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a plugin listens: a unix socket's path, or host and port in the host's network."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return str(self.path) if self.path else f"tcp://{self.host}:{self.port}"


async def call(place: Place, method: str, body: Mapping[str, Any], dial: Dial, seconds: float) -> dict[str, Any]:
    """What the plugin at *place* answers to *method* ("VolumeDriver.List").

    Raises Unavailable (nobody there, no answer within *seconds*), SystemFailure (no answer of this protocol).
    """
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await _connect(place, dial)
            try:
                status, data = await _exchange(reader, writer, method, msgspec.json.encode(body))
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as error:
        raise Unavailable(f"{method}: no answer from the plugin at {place} within {seconds:g} s") from error
    except (OSError, EOFError) as error:
        raise Unavailable(f"{method}: the plugin at {place}: {error}") from error
    except (ValueError, asyncio.LimitOverrunError) as error:
        raise SystemFailure(f"{method}: the plugin at {place} does not speak HTTP: {error}") from error
    return _understand(place, method, status, data)


def _understand(place: Place, method: str, status: int, data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data or b"{}", type=dict[str, Any])
    except msgspec.DecodeError as error:
        text = data[:200].decode(errors="replace")
        raise SystemFailure(f"{method}: the plugin at {place} answered {status} and no JSON: {text!r}") from error
    if status != 200 and not found.get("Err"):
        raise SystemFailure(f"{method}: the plugin at {place} answered {status}")
    return found


async def _connect(place: Place, dial: Dial) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for pause in (*_PAUSES, None):
        try:
            if place.path is not None:
                return await asyncio.open_unix_connection(str(place.path), limit=_LONGEST_HEAD)
            connected = await dial(place.host, place.port)
            return await asyncio.open_connection(sock=connected, limit=_LONGEST_HEAD)
        except (ConnectionRefusedError, FileNotFoundError, Unavailable) as error:
            if pause is None:
                raise OSError(str(error)) from error
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, body: bytes
) -> tuple[int, bytes]:
    head = (
        f"POST /{method} HTTP/1.1\r\nHost: plugin\r\nUser-Agent: labdock\r\nAccept: {MEDIA_TYPE}\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdecimal():
        raise ValueError(f"its first line is {lines[0][:80]!r}")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return int(words[1]), await _read_chunks(reader)
    length = headers.get("content-length", "")
    if length.isdecimal():
        if int(length) > _LONGEST:
            raise ValueError(f"its answer is longer than {_LONGEST} bytes")
        return int(words[1]), await reader.readexactly(int(length))
    return int(words[1]), await _read_all(reader)


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while data := await reader.read(1 << 16):
        found += data
        if len(found) > _LONGEST:
            raise ValueError(f"its answer is longer than {_LONGEST} bytes")
    return bytes(found)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    found = bytearray()
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if size == 0:
            return bytes(found)
        if size < 0 or len(found) + size > _LONGEST:
            raise ValueError(f"its answer is longer than {_LONGEST} bytes")
        found += await reader.readexactly(size)
        await reader.readexactly(2)
