"""The body of labdock's build call, whole, in pieces and broken; steps of side-by-side stages in order."""

from __future__ import annotations

import asyncio
import struct

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol

from labdock.api.parcels import FRAME, read_parts
from labdock.api.step_order import MOST_HELD, StepOrder
from labdock.client.parcels import Part, encode_parts
from labdock.errors import InvalidRequest
from labdock.schema.build import BuildDone, BuildEvent, BuildFailed, StepDone, StepOutput, StepStarted


def read(data: bytes, piece: int = 1 << 16) -> list[tuple[str, str, bytes]]:
    async def work() -> list[tuple[str, str, bytes]]:
        loop = asyncio.get_running_loop()
        reader = StreamReader(BaseProtocol(loop), 1 << 30, loop=loop)
        for at in range(0, len(data), piece):
            reader.feed_data(data[at : at + piece])
        reader.feed_eof()
        return [
            (kind, name, b"".join([part async for part in parts])) async for kind, name, parts in read_parts(reader)
        ]

    return asyncio.run(work())


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
def test_what_the_client_sends_is_what_the_engine_reads(piece: int) -> None:
    parts = [Part("secret", "a", (b"x",)), Part("context", "é", ()), Part("main", "", (b"1" * (FRAME + 5), b"", b"2"))]
    found = read(b"".join(encode_parts(parts)), 1 << 16 if piece > 7 else piece * 997)
    assert found == [("secret", "a", b"x"), ("context", "é", b""), ("main", "", b"1" * (FRAME + 5) + b"2")]


def test_a_part_that_nobody_reads_is_skipped() -> None:
    async def work() -> list[str]:
        loop = asyncio.get_running_loop()
        reader = StreamReader(BaseProtocol(loop), 1 << 30, loop=loop)
        reader.feed_data(b"".join(encode_parts([Part("cache", "a", (b"xyz",)), Part("main", "", (b"m",))])))
        reader.feed_eof()
        return [kind async for kind, _, _ in read_parts(reader)]

    assert asyncio.run(work()) == ["cache", "main"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\0\0", "cut short"),
        (struct.pack(">I", 5) + b"ab", "cut short"),
        (struct.pack(">I", 2) + b"{}" + struct.pack(">I", 0), "does not begin with its name"),
        (struct.pack(">I", 5) + b"hello", "does not begin with its name"),
        (struct.pack(">I", FRAME + 1), "at most"),
        (struct.pack(">I", 15) + b'{"part":"main"}', "cut short"),
    ],
)
def test_a_broken_body_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        read(data)


def started(step: int) -> StepStarted:
    return StepStarted(step=step, total=4, text=f"s{step}", line=step)


def sort(*events: BuildEvent) -> list[BuildEvent]:
    order = StepOrder()
    return [each for event in events for each in order.sort(event)]


def test_later_steps_wait_for_their_turn() -> None:
    one, two, three = (StepDone(step=step, state="", seconds=0) for step in (1, 2, 3))
    said = StepOutput(step=2, stream="stdout", text="x")
    end = BuildDone(image="i")
    assert sort(started(1), started(2), said, started(3), three, one, two, end) == [
        *(started(1), one, started(2), said, two, started(3), three, end),
    ]


def test_a_failure_says_all_that_was_held_first_and_what_is_held_is_bounded() -> None:
    failed = BuildFailed(message="m")
    long = StepOutput(step=2, stream="stdout", text="x" * (MOST_HELD // 2 + 1))
    assert sort(started(1), started(2), long, long, failed) == [started(1), started(2), long, failed]
