"""Logs: the format, both ends of it, and following one that grows."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labdock.runtime.logs import LogLine, read_log
from labdock.runtime.logs.format import PIECE, LineJoiner, RecordParser
from labdock.runtime.logs.watch import FolderWatch

SECOND = 1_000_000_000
#: 2026-11-24T07:40:00Z
BASE = 1795506000 * SECOND


def record(text: bytes, *, at: int = 0, stream: str = "stdout", tag: str = "F") -> bytes:
    """A line of the file, *at* nanoseconds after BASE (less than a minute)."""
    when = f"2026-11-24T07:40:{at // SECOND:02d}.{at % SECOND:09d}+00:00"
    return f"{when} {stream} {tag} ".encode() + text + b"\n"


def read(path: Path, since: int | None = None, until: int | None = None, tail: int | None = None) -> list[LogLine]:
    async def main() -> list[LogLine]:
        return [line async for line in read_log(path, since=since, until=until, tail=tail)]

    return asyncio.run(main())


def texts(lines: list[LogLine]) -> list[bytes]:
    return [line.data for line in lines]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_lines(log: Path) -> None:
    log.write_bytes(record(b"one", at=5) + record(b"", at=SECOND) + record(b"two", at=2 * SECOND, stream="stderr"))
    assert read(log) == [
        LogLine("stdout", BASE + 5, b"one\n"),
        LogLine("stdout", BASE + SECOND, b"\n"),
        LogLine("stderr", BASE + 2 * SECOND, b"two\n"),
    ]


@pytest.mark.parametrize(("zone", "hours"), [("+00:00", 0), ("+02:00", 2), ("-03:30", -3.5)])
def test_time_zones(log: Path, zone: str, hours: float) -> None:
    log.write_bytes(b"2026-11-24T07:40:00.000000001" + zone.encode() + b" stdout F x\n")
    assert read(log)[0].time == BASE + 1 - int(hours * 3600) * SECOND


def test_parts_are_joined_each_stream_for_itself(log: Path) -> None:
    log.write_bytes(
        record(b"a1", at=1, tag="P")
        + record(b"b1", at=2, stream="stderr", tag="P")
        + record(b"a2", at=3, tag="P")
        + record(b"b2", at=4, stream="stderr")
        + record(b"a3", at=5)
        + record(b"unended", at=6, tag="P")
    )
    assert read(log) == [
        LogLine("stderr", BASE + 2, b"b1b2\n"),
        LogLine("stdout", BASE + 1, b"a1a2a3\n"),
        LogLine("stdout", BASE + 6, b"unended"),
    ]


def test_endless_line_comes_in_pieces(log: Path) -> None:
    part = b"x" * 8192
    log.write_bytes(b"".join(record(part, at=n, tag="P") for n in range(5)) + record(b"end", at=9))
    lines = read(log)
    assert b"".join(texts(lines)) == part * 5 + b"end\n"
    assert [len(text) for text in texts(lines)] == [PIECE, PIECE, 8192 + 4]


def test_torn_lines_are_passed_over(log: Path) -> None:
    log.write_bytes(
        b"\nrubbish\n2026-99-99T07:40:00.000000000+00:00 stdout F x\n"
        + b"2026-11-24T07:40:00.00000000x+00:00 stdout F x\n"
        + record(b"whole", at=1)
        + record(b"torn", at=2)[:20]
    )
    assert texts(read(log)) == [b"whole\n"]


def test_missing_log_is_empty(log: Path) -> None:
    assert read(log) == []


def test_since_and_until_are_inclusive(log: Path) -> None:
    log.write_bytes(b"".join(record(b"%d" % n, at=n * SECOND) for n in range(10)))
    assert texts(read(log, since=BASE + 3 * SECOND, until=BASE + 5 * SECOND)) == [b"3\n", b"4\n", b"5\n"]
    assert texts(read(log, since=BASE + 8 * SECOND)) == [b"8\n", b"9\n"]
    assert texts(read(log, until=BASE)) == [b"0\n"]
    assert read(log, since=BASE + 100 * SECOND) == []


@pytest.mark.parametrize("count", [0, 1, 3, 9999, 10000, 20000])
def test_tail(log: Path, count: int) -> None:
    log.write_bytes(b"".join(record(b"line %d" % n, at=n) for n in range(10000)))
    assert texts(read(log, tail=count)) == [b"line %d\n" % n for n in range(max(0, 10000 - count), 10000)]


def test_tail_counts_lines_not_parts(log: Path) -> None:
    parts = record(b"long" * 500, tag="P") * 6 + record(b"end")
    log.write_bytes(record(b"first") + parts * 20 + record(b"unended", tag="P"))
    lines = texts(read(log, tail=3))
    assert lines == [b"long" * 3000 + b"end\n", b"long" * 3000 + b"end\n", b"unended"]


def test_tail_of_text_that_looks_like_parts(log: Path) -> None:
    log.write_bytes(b"".join(record(b" P P P %d" % n, at=n) for n in range(5000)))
    assert texts(read(log, tail=2)) == [b" P P P 4998\n", b" P P P 4999\n"]


def test_tail_does_not_read_all(log: Path) -> None:
    with open(log, "wb") as file:
        file.truncate(1 << 40)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"".join(record(b"%d" % n, at=n) for n in range(20000)))
    assert texts(read(log, tail=1)) == [b"19999\n"]


def test_hundred_thousand_lines_in_well_under_a_second(log: Path) -> None:
    log.write_bytes(b"".join(record(b"line %d of many" % n, at=n) for n in range(100_000)))
    before = time.process_time()
    assert len(read(log)) == 100_000
    assert time.process_time() - before < 0.9


def test_followed(log: Path) -> None:
    async def main() -> list[bytes]:
        ended = asyncio.Event()
        got: list[bytes] = []

        async def follow() -> None:
            async for line in read_log(log, ended=ended):
                got.append(line.data)

        task = asyncio.ensure_future(follow())
        await asyncio.sleep(0.02)
        # The log is not there yet.
        for text in (b"one", b"two"):
            with open(log, "ab") as file:
                file.write(record(text))
            await _until(lambda text=text: got[-1:] == [text + b"\n"])
        with open(log, "ab") as file:
            file.write(record(b"last") + record(b"unended", tag="P"))
        ended.set()
        await asyncio.wait_for(task, 5)
        assert FolderWatch._shared is None
        return got

    assert asyncio.run(main()) == [b"one\n", b"two\n", b"last\n", b"unended"]


async def _until(condition: object) -> None:
    assert callable(condition)
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def test_followed_until(log: Path) -> None:
    log.write_bytes(record(b"old"))

    async def main() -> list[bytes]:
        until = time.time_ns() + SECOND // 10
        lines = read_log(log, until=until, ended=asyncio.Event())
        return await asyncio.wait_for(_texts(lines), 5)

    async def _texts(lines: AsyncIterator[LogLine]) -> list[bytes]:
        return [line.data async for line in lines]

    assert asyncio.run(main()) == [b"old\n"]


def test_many_followers_share_one_inotify(log: Path) -> None:
    log.write_bytes(record(b"x"))

    async def main() -> None:
        ended = asyncio.Event()
        # What earlier tests left to the collector would be counted.
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))

        async def follow() -> int:
            return len([line async for line in read_log(log, ended=ended)])

        tasks = [asyncio.ensure_future(follow()) for _ in range(50)]
        await asyncio.sleep(0.05)
        instances = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_inotify(fd)]
        assert len(instances) == 1
        ended.set()
        assert await asyncio.gather(*tasks) == [1] * 50
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(main())


def _is_inotify(fd: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:inotify"
    except FileNotFoundError:
        return False


def test_follower_that_stops_early_lets_go(log: Path) -> None:
    log.write_bytes(record(b"x"))

    async def main() -> None:
        lines = read_log(log, ended=asyncio.Event())
        assert (await anext(lines)).data == b"x\n"
        await lines.aclose()
        await asyncio.sleep(0)
        assert FolderWatch._shared is None

    asyncio.run(main())


@given(data=st.binary(max_size=400))
def test_any_bytes_parse_or_are_passed_over(data: bytes) -> None:
    parser, joiner = RecordParser(), LineJoiner()
    records = [parser.parse(line) for line in data.split(b"\n")]
    assert all(line.stream in ("stdout", "stderr") for line in joiner.feed(r for r in records if r is not None))


@given(chunks=st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=40)), max_size=20))
def test_what_was_written_comes_back(tmp_path_factory: pytest.TempPathFactory, chunks: list[tuple[str, bytes]]) -> None:
    """The file as the monitor writes it: each write split at newlines, the rest of it a part."""
    path = tmp_path_factory.getbasetemp() / "written"
    wanted = {"stdout": b"", "stderr": b""}
    with open(path, "wb") as file:
        for stream, chunk in chunks:
            wanted[stream] += chunk
            *whole, rest = chunk.split(b"\n")
            file.write(b"".join(record(text, stream=stream) for text in whole))
            if rest:
                file.write(record(rest, stream=stream, tag="P"))
    got = {"stdout": b"", "stderr": b""}
    for line in read(path):
        got[line.stream] += line.data
    assert got == wanted
