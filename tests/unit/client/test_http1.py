"""The HTTP reader: whatever way the bytes are cut, the same answer comes out; nothing else than HTTP gets in."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labdock.client import http1
from labdock.client.http1 import ChunkedBody, LengthBody, ProtocolBroken, Request, UntilClose


def read_all(body: http1.Body, data: bytes, cuts: list[int]) -> bytes:
    found, start = b"", 0
    for cut in [*sorted(cut for cut in cuts if 0 < cut < len(data)), len(data)]:
        found += b"".join(body.feed(data[start:cut]))
        start = cut
    return found


def chunked(parts: list[bytes]) -> bytes:
    return b"".join(http1.encode_chunk(part) for part in parts if part) + http1.LAST_CHUNK


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(0, 2000), max_size=12))
def test_chunked_bodies_survive_any_cut(parts: list[bytes], cuts: list[int]) -> None:
    body = ChunkedBody()
    assert read_all(body, chunked(parts), cuts) == b"".join(parts)
    assert body.finished


@given(st.binary(min_size=1, max_size=200))
def test_bytes_that_are_no_chunks_never_hang_or_crash(data: bytes) -> None:
    body = ChunkedBody()
    try:
        body.feed(data)
        body.end()
    except ProtocolBroken:
        return
    assert body.finished


@given(
    st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z-]{0,12}", fullmatch=True), st.from_regex(r"[!-~]{0,20}", fullmatch=True)
    ),
    st.lists(st.binary(min_size=1, max_size=50), max_size=4),
)
def test_heads_and_bodies_read_as_h11_reads_them(status: int, headers: dict[str, str], parts: list[bytes]) -> None:
    framing = {"transfer-encoding", "content-length", "connection", "upgrade", "te", "trailer"}
    lines = [f"{name}: {value}" for name, value in headers.items() if name.lower() not in framing]
    head_bytes = "\r\n".join([f"HTTP/1.1 {status} Fine", *lines, "Transfer-Encoding: chunked", "", ""]).encode()
    data = head_bytes + chunked(parts)

    peer = h11.Connection(h11.CLIENT)
    peer.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    peer.send(h11.EndOfMessage())
    peer.receive_data(data)
    theirs = peer.next_event()
    assert isinstance(theirs, h11.Response)
    theirs_body = b""
    while isinstance(event := peer.next_event(), h11.Data):
        theirs_body += event.data

    parsed = http1.parse_head(data)
    assert parsed is not None
    head, rest = parsed
    body = http1.body_for(head, "GET")
    assert head.status == theirs.status_code
    assert {name: head.headers[name.decode()] for name, _ in theirs.headers} == {
        name: value.decode("latin-1") for name, value in dict(theirs.headers).items()
    }
    assert b"".join(body.feed(rest)) == theirs_body


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 2000 No\r\n\r\n",
        b"HTTP/1.1 \xb2\xb2\xb2 No\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 " + b"x" * 70_000,
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        http1.parse_head(data)


@pytest.mark.parametrize(
    ("status", "headers", "method", "kind"),
    [
        (200, {"content-length": "3"}, "GET", LengthBody),
        (200, {}, "GET", UntilClose),
        (200, {"transfer-encoding": "chunked", "content-length": "3"}, "GET", ChunkedBody),
        (204, {}, "DELETE", LengthBody),
        (304, {"content-length": "9"}, "POST", LengthBody),
        (200, {"content-length": "9"}, "HEAD", LengthBody),
        (101, {}, "POST", LengthBody),
    ],
)
def test_framing(status: int, headers: dict[str, str], method: str, kind: type) -> None:
    assert type(http1.body_for(http1.Head(status, "", headers), method)) is kind


@pytest.mark.parametrize("length", ["-1", "1e3", "٣", "9" * 30])
def test_lengths_that_are_no_numbers(length: str) -> None:
    with pytest.raises(ProtocolBroken, match="length"):
        http1.body_for(http1.Head(200, "", {"content-length": length}), "GET")


def test_early_ends_are_errors() -> None:
    length = LengthBody(5)
    length.feed(b"abc")
    with pytest.raises(ProtocolBroken, match="2 bytes early"):
        length.end()
    with pytest.raises(ProtocolBroken, match="last chunk"):
        ChunkedBody().end()


def test_requests_carry_the_framing_they_need() -> None:
    assert http1.encode_head(Request("POST", "/x", body=b"ab")).endswith(b"Content-Length: 2\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in http1.encode_head(Request("POST", "/x", body=iter([b"ab"])))
    assert b"Content-Length: 0" in http1.encode_head(Request("POST", "/x"))
    assert b"Upgrade: tcp" in http1.encode_head(Request("POST", "/x", upgrade=True))


def test_a_line_break_in_a_header_is_never_sent() -> None:
    with pytest.raises(ValueError, match="line break"):
        http1.encode_head(Request("GET", "/x HTTP/1.1\r\nEvil: 1"))
    with pytest.raises(ValueError, match="line break"):
        http1.encode_head(Request("GET", "/x", (("A", "b\nEvil: 1"),)))
