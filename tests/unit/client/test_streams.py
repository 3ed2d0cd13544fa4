"""Output frames come apart the same, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labdock.client.streams import Frames, PlainOutput, join, splitter
from labdock.errors import EngineUnreachable

frames = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=200)), max_size=10)


def encode(kind: int, data: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(data).to_bytes(4) + data


@given(frames, st.lists(st.integers(0, 2200), max_size=12))
def test_any_cut(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(encode(kind, part) for kind, part in sent)
    reader, found, start = Frames(), [], 0
    for cut in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        found += reader.feed(data[start:cut])
        start = cut
    assert join(found) == (
        b"".join(part for kind, part in sent if kind == 1),
        b"".join(part for kind, part in sent if kind == 2),
    )


@pytest.mark.parametrize("data", [b"hello world!", b"\x03\0\0\0\0\0\0\1x", b"\1\0\0\0\xff\xff\xff\xff"])
def test_what_is_no_frame(data: bytes) -> None:
    with pytest.raises(EngineUnreachable, match="broken"):
        Frames().feed(data)


@pytest.mark.parametrize(
    ("content_type", "tty", "kind"),
    [
        ("application/vnd.docker.multiplexed-stream", False, Frames),
        ("application/vnd.docker.multiplexed-stream", True, Frames),
        ("application/vnd.docker.raw-stream", True, PlainOutput),
        # quirk: engines before API 1.42 call multiplexed output raw-stream too; without a TTY it has frames.
        ("application/vnd.docker.raw-stream", False, Frames),
        ("", True, PlainOutput),
        ("", False, Frames),
    ],
)
def test_who_decides_how_output_is_read(content_type: str, tty: bool, kind: type) -> None:
    assert type(splitter(content_type, tty=tty)) is kind
