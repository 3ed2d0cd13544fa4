"""A log that is read the moment its container was started."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from labdock.engine.output import LogSource

LINE = "2026-01-01T00:00:00.000000000+00:00 stdout F said late\n"


async def _read(source: LogSource, follow: bool = False) -> list[bytes]:
    lines = source.read(True, True, None, None, None, follow, False)
    return [data async for batch in lines for _, data in batch]


def test_a_reader_right_after_the_start_gets_what_a_short_program_says(tmp_path: Path) -> None:
    path = tmp_path / "log"

    async def main() -> None:
        ended = asyncio.Event()
        source = LogSource(tty=False, path=path, ended=ended, fresh_until=time.time_ns() + 60 * 10**9)
        reading = asyncio.create_task(_read(source))
        await asyncio.sleep(0)
        path.write_text(LINE)
        ended.set()
        assert await reading == [b"said late\n"]

    asyncio.run(main())


def test_a_reader_of_a_container_that_runs_on_does_not_wait_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(LINE)

    async def main() -> None:
        for fresh_until in (0, time.time_ns() + 10**6):
            source = LogSource(tty=False, path=path, ended=asyncio.Event(), fresh_until=fresh_until)
            assert await _read(source) == [b"said late\n"]

    asyncio.run(main())
