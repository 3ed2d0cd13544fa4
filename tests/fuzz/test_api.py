"""Hostile bytes at the API's edge: whatever a client sends, the engine answers or closes, and never by a 500."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from labdock.api.bodies import convert
from labdock.api.query import Query, parse_filters
from labdock.api.table import ROWS
from labdock.errors import LabdockError
from labdock.schema.container import CreateRequest, ExecConfig
from tests.unit.api.harness import Served, serve

#: What the fake engine does by design when it is asked for its defect.
_DEFECTS = {"/info"}
PATHS = sorted({row.pattern.replace("...", "") for row in ROWS} - _DEFECTS)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["Image", "Cmd", "HostConfig", "Env", "Labels", "Healthcheck", "NetworkingConfig", "image"])
BODIES = st.dictionaries(NAMES | st.text(max_size=8), JSON, max_size=5)


@given(body=BODIES)
def test_a_body_becomes_a_request_or_an_invalid_request(body: dict[str, object]) -> None:
    for kind in (CreateRequest, ExecConfig):
        try:
            found = convert(body, kind)
        except LabdockError as error:
            assert error.status == 400 and error.message
        else:
            assert isinstance(found, kind)


@given(text=st.text(max_size=60) | st.builds(repr, JSON))
def test_parameters_are_read_or_refused(text: str) -> None:
    query = Query({"x": text, "filters": text})
    for read in (query.filters, lambda: query.integer("x"), lambda: query.time("x", 0), lambda: query.json_object("x")):
        try:
            read()
        except LabdockError as error:
            assert error.status == 400
    assert query.boolean("x") in (True, False)
    try:
        assert all(isinstance(value, str) for values in parse_filters(text).values() for value in values)
    except LabdockError as error:
        assert error.status == 400


async def _send(served: Served, data: bytes) -> bytes:
    """All that comes back for *data* and the end of sending."""
    reader, writer = await asyncio.open_unix_connection(str(served.socket))
    try:
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def _statuses(answer: bytes) -> list[int]:
    return [int(line.split(b" ")[1]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")]


REQUESTS = st.tuples(
    st.sampled_from(["GET", "POST", "DELETE", "PUT", "HEAD", "PATCH", "get"]),
    st.sampled_from(PATHS),
    st.text(max_size=6),
    st.binary(max_size=60),
    st.sampled_from(["length", "chunked", "short", "none"]),
)


@settings(max_examples=25)
@given(requests=st.lists(REQUESTS, min_size=1, max_size=6))
def test_no_request_is_a_500(requests: list[tuple[str, str, str, bytes, str]]) -> None:
    async def main() -> None:
        async with serve() as served:
            for method, pattern, name, body, framing in requests:
                path = "/".join(quote(name, safe="") if part.startswith("{") else part for part in pattern.split("/"))
                head = f"{method} {path}?filters={quote(name)} HTTP/1.1\r\nHost: x\r\n"
                if framing == "chunked":
                    head += "Transfer-Encoding: chunked\r\n"
                elif framing != "none":
                    head += f"Content-Length: {len(body) + (7 if framing == 'short' else 0)}\r\n"
                answer = await _send(served, head.encode() + b"Connection: close\r\n\r\n" + body)
                assert all(status < 500 or status in (501, 503) for status in _statuses(answer)), (method, path, answer)

    asyncio.run(main())


@settings(max_examples=40)
@given(data=st.binary(min_size=1, max_size=300))
def test_what_is_no_http_is_refused_and_the_next_client_is_served(data: bytes) -> None:
    async def main() -> None:
        async with serve() as served:
            assert all(status == 400 for status in _statuses(await _send(served, data)))
            assert (await served.ask("GET", "/_ping")).status == 200

    asyncio.run(main())
