"""A log in several files, read while it is rotated."""

from __future__ import annotations

import asyncio
from pathlib import Path

from labdock.engine.rotation import drop, shift
from labdock.runtime.logs import read_batches, read_plain
from labdock.runtime.logs.chain import numbered

DEADLINE = 30


def line(text: str, flag: str = "F", stream: str = "stdout") -> str:
    return f"2026-01-01T00:00:00.000000000+00:00 {stream} {flag} {text}\n"


def write(path: Path, *texts: str) -> None:
    with path.open("a") as file:
        file.writelines(line(text) for text in texts)


def read(path: Path, tail: int | None = None) -> list[bytes]:
    async def main() -> list[bytes]:
        return [data async for batch in read_plain(path, tail=tail) for _, data in batch]

    async def timed() -> list[bytes]:
        return [entry.data async for batch in read_batches(path, tail=tail) for entry in batch]

    plain = asyncio.run(main())
    assert asyncio.run(timed()) == plain
    return plain


def test_all_files_of_a_log_are_read_from_the_oldest(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(numbered(log, 2), "a", "b")
    write(numbered(log, 1), "c")
    write(log, "d")
    assert read(log) == [b"a\n", b"b\n", b"c\n", b"d\n"]
    for count in range(6):
        assert read(log, tail=count) == [b"a\n", b"b\n", b"c\n", b"d\n"][4 - min(count, 4) :]


def test_in_the_middle_of_a_rotation_one_file_is_missing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(numbered(log, 1), "a")
    assert read(log) == [b"a\n"]
    write(numbered(log, 3), "old")
    write(log, "b")
    numbered(log, 1).rename(numbered(log, 2))
    assert read(log) == [b"old\n", b"a\n", b"b\n"]


def test_a_line_may_go_on_in_the_next_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    numbered(log, 1).write_text(line("be", "P") + line("x", stream="stderr"))
    log.write_text(line("gun", "P"))
    assert read(log) == [b"x\n", b"begun"]
    write(log, " and done")
    assert read(log) == [b"x\n", b"begun and done\n"]


def test_parts_and_torn_lines_are_read_as_with_times(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        line("whole") + line("a" * 9000, "P") + line("b" * 9000, "P") + line("c") + "torn\n" + line("\rafter") + "tor"
    )
    assert read(log) == [b"whole\n", b"a" * 9000 + b"b" * 9000, b"c\n", b"\rafter\n"]


def test_a_follower_loses_no_line_over_many_rotations(tmp_path: Path) -> None:
    log = tmp_path / "log"
    found: list[bytes] = []
    total = 400

    async def follow(ended: asyncio.Event, tail: int | None) -> None:
        async for batch in read_plain(log, ended=ended, tail=tail):
            found.extend(data for _, data in batch)
            await asyncio.sleep(0.001)

    async def main() -> None:
        ended = asyncio.Event()
        write(log, "0")
        reading = asyncio.create_task(follow(ended, None))
        for number in range(1, total):
            write(log, str(number))
            if number % 7 == 0:
                shift(log, 200)
                # The monitor writes on to the renamed file until it opens the new one.
                write(numbered(log, 1), f"late {number}")
                await asyncio.sleep(0.002)
                log.touch()
                drop(log, 200)
        ended.set()
        async with asyncio.timeout(DEADLINE):
            await reading

    asyncio.run(main())
    expected: list[bytes] = []
    for number in range(total):
        expected.append(f"{number}\n".encode())
        if number and number % 7 == 0:
            expected.append(f"late {number}\n".encode())
    assert found == expected


def test_only_so_many_files_stay(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for number in range(5):
        write(log, str(number))
        shift(log, 3)
        log.touch()
        drop(log, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert read(log) == [b"3\n", b"4\n"]


def test_with_one_file_the_old_one_goes_when_there_is_a_new_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    write(log, "a")
    shift(log, 1)
    drop(log, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["log.1"]
    log.touch()
    drop(log, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
