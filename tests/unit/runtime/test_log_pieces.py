"""A log read as the output that it keeps: byte for byte, as soon as it was written."""

from __future__ import annotations

import asyncio
from pathlib import Path

from labdock.runtime import Stream
from labdock.runtime.logs import count_bytes, read_pieces


def record(text: str, stream: str = "stdout", tag: str = "F") -> bytes:
    return f"2026-11-24T07:40:00.000000000+00:00 {stream} {tag} {text}\n".encode()


async def _collect(path: Path, limit: int | None = None) -> list[tuple[Stream, bytes]]:
    return [piece async for batch in read_pieces(path, limit=limit) for piece in batch]


def test_neighbours_are_joined_and_streams_kept_apart(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        record("one") + record("tw", tag="P") + record("o") + record("oh", "stderr") + record("$ ", tag="P")
    )
    assert asyncio.run(_collect(log)) == [("stdout", b"one\ntwo\n"), ("stderr", b"oh\n"), ("stdout", b"$ ")]


def test_a_limit_is_the_log_as_it_was(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "log.1").write_bytes(record("older"))
    log.write_bytes(record("old"))
    limit = count_bytes(log)
    log.write_bytes(log.read_bytes() + record("new"))
    assert asyncio.run(_collect(log, limit)) == [("stdout", b"older\n"), ("stdout", b"old\n")]
    assert asyncio.run(_collect(log, 0)) == []
    assert asyncio.run(_collect(tmp_path / "none", count_bytes(tmp_path / "none"))) == []


def test_a_prompt_is_followed_without_its_line_ending(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(record("before"))

    async def main() -> None:
        ended = asyncio.Event()
        found = read_pieces(log, ended=ended)
        assert await anext(found) == [("stdout", b"before\n")]
        waiting = asyncio.ensure_future(anext(found))
        await asyncio.sleep(0)
        with log.open("ab") as file:
            file.write(record("$ ", tag="P"))
        async with asyncio.timeout(30):
            assert await waiting == [("stdout", b"$ ")]
            ended.set()
            assert [piece async for piece in found] == []

    asyncio.run(main())
