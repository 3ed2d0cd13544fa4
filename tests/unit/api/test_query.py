"""Parameters, frames, detach keys and paths: pure functions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labdock.api.paths import PathTree
from labdock.api.query import SECOND, Query, parse_boolean, parse_duration, parse_filters, parse_time
from labdock.api.streams.detach import DetachMatcher, parse_keys
from labdock.api.streams.frames import FrameReader, frame
from labdock.errors import InvalidRequest

NOW = 1_000_000 * SECOND


@pytest.mark.parametrize("text", ["", "0", "no", "No", "false", "False", "FALSE", "none", "None", " false "])
def test_false(text: str) -> None:
    assert not parse_boolean(text)


@pytest.mark.parametrize("text", ["1", "true", "True", "yes", "on", "2", "anything"])
def test_true(text: str) -> None:
    assert parse_boolean(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5 * SECOND),
        ("5.000000001", 5 * SECOND + 1),
        ("1136073600.5", 1136073600 * SECOND + SECOND // 2),
        ("-1", -SECOND),
        ("10m", NOW - 600 * SECOND),
        ("1h30m", NOW - 5400 * SECOND),
        ("1.5s", NOW - SECOND * 3 // 2),
        ("-1s", NOW + SECOND),
        ("1970-01-01T00:00:01Z", SECOND),
        ("1970-01-01T00:00:01.25Z", SECOND + SECOND // 4),
        ("1970-01-01T00:00:01.000000001Z", SECOND + 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00-01:00", 3600 * SECOND),
        ("1970-01-02", 86400 * SECOND),
        ("1970-01-01T00:01", 60 * SECOND),
        ("2024-02-29T12:00:00", 1709208000 * SECOND),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize("text", ["soon", "2023-02-30", "1970-13-01", "10 m", "m", "1970-01-01T", "0x5", "1e3"])
def test_no_times(text: str) -> None:
    with pytest.raises(InvalidRequest, match="since"):
        parse_time(text, NOW, "since")


@given(st.text(max_size=20))
def test_a_time_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_time(text, NOW), int)
    except InvalidRequest:
        assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("null", {}),
        ("{}", {}),
        ('{"a":["b","c"]}', {"a": ["b", "c"]}),
        ('{"a":{"b":true,"c":false}}', {"a": ["b"]}),
        ('{"dangling":[true]}', {"dangling": ["true"]}),
        ('{"dangling":false}', {"dangling": ["false"]}),
        ('{"exited":[0]}', {"exited": ["0"]}),
    ],
)
def test_filters(text: str, expected: object) -> None:
    assert parse_filters(text) == expected


@pytest.mark.parametrize("text", ["[]", "5", "{", '{"a":[[]]}', '{"a":null}', '{"a":[null]}'])
def test_bad_filters(text: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid filters"):
        parse_filters(text)


def test_query_defaults() -> None:
    query = Query({"a": "1", "empty": ""})
    assert query.boolean("missing", True)
    assert not query.boolean("empty", True)
    assert query.integer("missing") is None
    assert query.integer("empty") is None
    assert query.integer("a") == 1
    assert query.optional("empty") is None
    assert query.time("empty", NOW) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", b"\x10\x11"), ("ctrl-a", b"\x01"), ("ctrl-P,ctrl-q", b"\x10\x11"), ("a,b", b"ab"), ("ctrl-@", b"\0")],
)
def test_keys(text: str, expected: bytes) -> None:
    assert parse_keys(text) == expected


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ab", "a,,b", "é", "ctrl-aa"])
def test_bad_keys(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Invalid detach keys"):
        parse_keys(text)


def _fold(keys: bytes, pieces: list[bytes]) -> tuple[bytes, bool]:
    matcher, passed = DetachMatcher(keys), b""
    for piece in pieces:
        got, detached = matcher.feed(piece)
        passed += got
        if detached:
            return passed, True
    return passed + matcher.flush(), False


@given(st.lists(st.text("abc", max_size=6)), st.text("abc", min_size=1, max_size=4))
def test_keys_are_found_wherever_the_pieces_are_cut(pieces: list[str], keys: str) -> None:
    """Whatever the cuts: what passes and where it ends is what `find` says of the whole."""
    whole = "".join(pieces).encode()
    at = whole.find(keys.encode())
    expected = (whole, False) if at < 0 else (whole[:at], True)
    assert _fold(keys.encode(), [piece.encode() for piece in pieces]) == expected


@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr", "error"]), st.binary(max_size=50))), st.integers(1, 9))
def test_frames_come_back_whatever_the_cuts(frames: list[tuple[str, bytes]], step: int) -> None:
    data = b"".join(frame(stream, payload) for stream, payload in frames)
    reader, found = FrameReader(), []
    for at in range(0, len(data), step):
        found += list(reader.feed(data[at : at + step]))
    assert found == frames
    assert reader.pending == 0


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="not a multiplexed stream"):
        list(FrameReader().feed(b"HTTP/1.1 500"))


def test_paths_prefer_literals_then_single_then_greedy_parts() -> None:
    tree: PathTree[str] = PathTree()
    for pattern in ("/a/json", "/a/{id}", "/a/{id}/json", "/i/{n...}/json", "/i/{n...}", "/i/json"):
        tree.add("GET", pattern, pattern)
    expected = {
        "a/json": ("/a/json", {}),
        "a/x": ("/a/{id}", {"id": "x"}),
        "a/json/json": ("/a/{id}/json", {"id": "json"}),
        "i/json": ("/i/json", {}),
        "i/x/y": ("/i/{n...}", {"n": "x/y"}),
    }
    for path, found in expected.items():
        assert tree.find("GET", path.split("/")) == found
    assert tree.find("GET", ["a"]) is None
    assert tree.find("PUT", ["a", "json"]) is None
    with pytest.raises(ValueError, match="two rows"):
        tree.add("GET", "/a/json", "again")
    with pytest.raises(ValueError, match="is called"):
        tree.add("GET", "/a/{name}/x", "again")
