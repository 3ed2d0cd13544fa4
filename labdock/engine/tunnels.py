"""Connections of the engine's own that outer dials: straight, through the host's proxy, or for git by SOCKS."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from labdock.errors import LabdockError, Unavailable

if TYPE_CHECKING:
    import ssl

Dial = Callable[[str, int], Awaitable[socket.socket]]
_PIECE = 64 << 10
#: Seconds for a proxy, ours or the host's, to be spoken with.
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A connection to somewhere."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def close(self) -> None:
        self.writer.close()


Connect = Callable[[str, int], Awaitable[Tunnel]]


def find_proxy(scheme: str, host: str, environment: Mapping[str, str]) -> SplitResult | None:
    """The proxy that *environment* names for URLs of *scheme* at *host*; None: go straight."""
    text = environment.get(f"{scheme}_proxy") or environment.get(f"{scheme.upper()}_PROXY") or ""
    if not text or _is_exempt(host, environment.get("no_proxy") or environment.get("NO_PROXY") or ""):
        return None
    found = urlsplit(text if "://" in text else f"http://{text}")
    return found if found.hostname else None


def _is_exempt(host: str, exempt: str) -> bool:
    names = [name.strip().lstrip(".").lower() for name in exempt.split(",") if name.strip()]
    return any(name == "*" or host.lower() == name or host.lower().endswith(f".{name}") for name in names)


async def open_stream(dial: Dial, parts: SplitResult, proxy: SplitResult | None, tls: ssl.SSLContext | None) -> Tunnel:
    """A connection to the host of *parts*; *tls*: encrypted. Raises OSError, LabdockError, ValueError."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if proxy is None:
        sock = await dial(host, port)
    else:
        sock = await dial(proxy.hostname or "", proxy.port or (443 if proxy.scheme == "https" else 80))
    try:
        if proxy is not None and parts.scheme == "https":
            await _ask_proxy(sock, proxy, host, port)
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=tls, server_hostname=host if tls is not None else None
        )
    except BaseException:
        sock.close()
        raise
    return Tunnel(reader, writer)


async def _ask_proxy(sock: socket.socket, proxy: SplitResult, host: str, port: int) -> None:
    """CONNECT, byte by byte up to the empty line: what follows is the other side's."""
    loop = asyncio.get_running_loop()
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.username:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    async with asyncio.timeout(_PATIENCE):
        await loop.sock_sendall(sock, "".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        said = b""
        while not said.endswith(b"\r\n\r\n") and len(said) < 16384:
            byte = await loop.sock_recv(sock, 1)
            if not byte:
                break
            said += byte
    words = said.split(b"\r\n")[0].split(b" ", 2)
    if len(words) < 2 or words[1] != b"200":
        text = said.split(b"\r\n")[0].decode("latin-1")[:200]
        raise Unavailable(f"the proxy {proxy.hostname} does not connect to {place}: {text or 'it hung up'}")


@asynccontextmanager
async def serve_proxy(connect: Connect) -> AsyncIterator[str]:
    """A SOCKS proxy (RFC 1928, with RFC 1929's password) on the sandbox's loopback while inside; gives its URL."""
    secret = os.urandom(16).hex()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, LabdockError, TimeoutError, ValueError):
                await _serve_one(reader, writer, secret, connect)
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"socks5h://labdock:{secret}@127.0.0.1:{port}"
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: str, connect: Connect) -> None:
    async with asyncio.timeout(_PATIENCE):
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        if version != 5 or 2 not in methods:
            writer.write(b"\x05\xff")
            return
        writer.write(b"\x05\x02")
        _, length = await reader.readexactly(2)
        name = await reader.readexactly(length)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        right = (name, password) == (b"labdock", secret.encode())
        writer.write(b"\x01\x00" if right else b"\x01\x01")
        if not right:
            return
        _, command, _, kind = await reader.readexactly(4)
        host = await _read_host(reader, kind)
        (port,) = struct.unpack("!H", await reader.readexactly(2))
    try:
        tunnel = await connect(host, port) if command == 1 else None
    except (OSError, LabdockError, ValueError):
        tunnel = None
    writer.write(bytes([5, 0 if tunnel else 4, 0, 1]) + bytes(6))
    if tunnel is None:
        await writer.drain()
        return
    try:
        await asyncio.gather(_pump(reader, tunnel.writer), _pump(tunnel.reader, writer))
    finally:
        tunnel.close()


async def _read_host(reader: asyncio.StreamReader, kind: int) -> str:
    if kind == 1:
        return socket.inet_ntop(socket.AF_INET, await reader.readexactly(4))
    if kind == 4:
        return socket.inet_ntop(socket.AF_INET6, await reader.readexactly(16))
    return (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()
