"""Bytes between the event loop and threads: whole, in order, bounded, and never a thread that waits for ever."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest

from labdock.engine import conduits
from labdock.engine.conduits import Inlet, Outlet, read_in_thread, write_in_thread


async def pieces(*sizes: int) -> AsyncIterator[bytes]:
    for number, size in enumerate(sizes):
        yield bytes([number % 251]) * size


def in_time(main: Callable[[], object]) -> None:
    """Run the coroutine that *main* makes, and see that no thread is left."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await main()  # type: ignore[misc]

    before = threading.active_count()
    asyncio.run(bounded())
    assert threading.active_count() == before


def test_a_thread_reads_what_comes_in_as_from_a_file() -> None:
    def work(source: Inlet) -> list[bytes]:
        return [source.read(6), source.read(0), source.read(5), source.read(), source.read(3), source.read()]

    async def main() -> None:
        assert await read_in_thread(pieces(4, 4, 0, 4, 7), work) == [
            b"\0\0\0\0\1\1",
            b"",
            b"\1\1\3\3\3",
            b"\3" + b"\4" * 7,
            b"",
            b"",
        ]

    in_time(main)


def test_a_slow_reader_stops_what_feeds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conduits, "MOST", 1000)
    ahead = taken = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal ahead
        for _ in range(200):
            yield bytes(100)
            ahead = max(ahead, _ * 100 - taken)

    def work(inlet: Inlet) -> int:
        nonlocal taken
        time.sleep(0.05)
        while data := inlet.read(70):
            taken += len(data)
        return taken

    async def main() -> None:
        assert await read_in_thread(source(), work) == 20_000

    in_time(main)
    assert 0 < ahead <= 1300


def test_what_the_source_raises_reaches_the_reader_and_the_caller() -> None:
    seen: list[BaseException] = []

    async def source() -> AsyncIterator[bytes]:
        yield b"abc"
        raise ConnectionResetError("the client went away")

    def work(inlet: Inlet) -> None:
        try:
            while inlet.read(10):
                pass
        except ConnectionResetError as error:
            seen.append(error)
            raise

    async def main() -> None:
        with pytest.raises(ConnectionResetError, match="went away"):
            await read_in_thread(source(), work)

    in_time(main)
    assert len(seen) == 1


def test_a_reader_that_fails_leaves_the_rest_unread() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 20)

    def work(inlet: Inlet) -> None:
        inlet.read(5)
        raise ValueError("enough")

    async def main() -> None:
        with pytest.raises(ValueError, match="enough"):
            await read_in_thread(endless(), work)

    in_time(main)


def test_cancelling_ends_a_thread_that_waits_for_more() -> None:
    ended: list[str] = []

    async def silent() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)

    def work(inlet: Inlet) -> None:
        try:
            inlet.read(2)
        except ConnectionAbortedError as error:
            ended.append(str(error))
            raise

    async def main() -> None:
        task = asyncio.create_task(read_in_thread(silent(), work))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_time(main)
    assert ended == ["the transfer was given up"]


def test_what_a_thread_writes_comes_out_whole_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conduits, "MOST", 5000)
    data = os.urandom(300_000)
    written = 0

    def work(out: Outlet) -> None:
        nonlocal written
        for start in range(0, len(data), 1000):
            written += out.write(memoryview(data)[start : start + 1000])

    async def main() -> None:
        hashed, taken = hashlib.sha256(), 0
        async for piece in write_in_thread(work):
            if taken == 0:
                await asyncio.sleep(0.05)
            hashed.update(piece)
            taken += len(piece)
            assert written - taken <= 8000
        assert hashed.digest() == hashlib.sha256(data).digest()

    in_time(main)


def test_a_writer_that_fails_or_is_left_ends() -> None:
    left: list[str] = []

    def fails(out: Outlet) -> None:
        out.write(b"first")
        time.sleep(0.02)
        raise ValueError("broken")

    def endless(out: Outlet) -> None:
        try:
            while True:
                out.write(bytes(1 << 20))
        except ConnectionAbortedError as error:
            left.append(str(error))
            raise

    async def main() -> None:
        with pytest.raises(ValueError, match="broken"):
            async for piece in write_in_thread(fails):
                assert piece == b"first"
        stream = write_in_thread(endless)
        assert len(await anext(stream)) == 1 << 20
        await stream.aclose()

    in_time(main)
    assert left == ["nobody takes it any more"]
