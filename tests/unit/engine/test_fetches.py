"""Fetching over HTTP: bodies of every framing, redirects, what a server may not do; proxies; git's names."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from labdock.build.sources import FetchRecord
from labdock.engine.fetches import Fetches
from labdock.engine.tunnels import find_proxy, serve_proxy
from labdock.errors import InvalidRequest, LabdockError, NotFound, Unavailable

Answer = Callable[[str], bytes]


def fetch(
    answer: Answer, path: str, into: Path, known: FetchRecord | None = None, env: dict[str, str] | None = None
) -> FetchRecord | None:
    """Fetch from a server that says what *answer* gives for a request's head."""

    env = env or {}

    async def work() -> FetchRecord | None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(head.decode()))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def dial(host: str, wanted: int) -> socket.socket:
            assert (host, wanted) == (env.get("host", "files.example"), int(env.get("port", 80)))
            sock = socket.socket()
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            return sock

        try:
            return await Fetches(dial, env).fetch(f"http://files.example{path}", into, known)
        finally:
            server.close()
            await server.wait_closed()
            # Transports close in a turn of the loop of their own.
            await asyncio.sleep(0.01)

    return asyncio.run(work())


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        b"\r\nhello",
    ],
)
def test_bodies_of_every_framing(tmp_path: Path, rest: bytes) -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n'
    record = fetch(lambda asked: head + rest, "/f", tmp_path / "f")
    assert record is not None
    assert (tmp_path / "f").read_bytes() == b"hello"
    assert (record.size, record.etag, record.mtime_ns) == (5, '"e"', 784111777 * 10**9)
    assert record.digest == hashlib.sha256(b"hello").hexdigest()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", NotFound),
        (b"HTTP/1.1 500 Oh\r\n\r\n", Unavailable),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel", Unavailable),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Unavailable),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300, Unavailable),
        (b"SSH-2.0-x\r\n", Unavailable),
        (b"", Unavailable),
        (b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n", Unavailable),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", InvalidRequest),
    ],
)
def test_what_a_server_may_not_do(tmp_path: Path, answer: bytes, error: type[LabdockError]) -> None:
    with pytest.raises(error):
        fetch(lambda asked: answer, "/f", tmp_path / "f")


def test_a_redirect_is_followed_and_an_unchanged_file_is_not_sent(tmp_path: Path) -> None:
    def answer(asked: str) -> bytes:
        if asked.startswith("GET /a "):
            return b"HTTP/1.1 301 Moved\r\nLocation: b%20c\r\n\r\n"
        assert asked.startswith("GET /b%20c ")
        assert "If-None-Match: tag\r\n" in asked
        return b"HTTP/1.1 304 Not Modified\r\n\r\n"

    known = FetchRecord(digest="d", size=1, etag="tag")
    assert fetch(answer, "/a", tmp_path / "f", known) is None
    assert not (tmp_path / "f").exists()


def test_the_hosts_proxy_is_asked_for_the_whole_url(tmp_path: Path) -> None:
    def answer(asked: str) -> bytes:
        assert asked.startswith("GET http://files.example/f HTTP/1.1\r\nHost: files.example\r\n")
        return b"HTTP/1.1 200 OK\r\n\r\nx"

    env = {"http_proxy": "http://proxy.example:3128", "host": "proxy.example", "port": "3128"}
    assert fetch(answer, "/f", tmp_path / "f", env=env) is not None


def test_proxies_by_scheme_and_exemption() -> None:
    env = {"https_proxy": "p:1", "HTTP_PROXY": "http://q:2", "no_proxy": "example.com, .internal"}
    found = [find_proxy(*asked, env) for asked in (("https", "a"), ("http", "a"), ("http", "x.example.com"))]
    assert [each and each.netloc for each in found] == ["p:1", "q:2", None]
    assert find_proxy("https", "deep.internal", env) is None
    assert find_proxy("https", "a", {}) is None


@pytest.mark.parametrize(("password", "works"), [("right", True), ("wrong", False)])
def test_the_proxy_for_git_needs_its_password(password: str, works: bool) -> None:
    async def work() -> bytes:
        async def connect(host: str, port: int) -> object:
            raise Unavailable(f"{host}:{port}")

        async with serve_proxy(connect) as url:  # type: ignore[arg-type]
            secret, _, port = url.rpartition("@")[0].rpartition(":")[2], "", url.rpartition(":")[2]
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            given = (secret if password == "right" else password).encode()
            writer.write(b"\x05\x01\x02" + b"\x01\x07labdock" + bytes([len(given)]) + given)
            writer.write(b"\x05\x01\x00\x03\x01h\x00\x50")
            said = await reader.read()
            writer.close()
            return said

    said = asyncio.run(work())
    assert said.startswith(b"\x05\x02\x01" + (b"\x00" if works else b"\x01"))
    assert (said[4:6] == b"\x05\x04") is works
