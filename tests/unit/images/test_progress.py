"""The lines of a pull, and a blob that is read while it grows."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from labdock.images.growing import Growing
from labdock.images.progress import Bar, draw


def test_bytes_are_told_ten_times_a_second_and_the_last_always() -> None:
    told: list[dict[str, Any]] = []
    now = [0.0]
    bar = Bar("sha256:" + "ab" * 32, told.append, lambda: now[0])
    for current in range(0, 1001):
        bar.move("Downloading", current, 1000)
        now[0] += 0.001
    assert 10 <= len(told) <= 12
    assert told[-1] == {
        "status": "Downloading",
        "progressDetail": {"current": 1000, "total": 1000},
        "progress": f"[{'=' * 50}]  1kB/1kB",
        "id": "abababababab",
    }
    bar.say("Pull complete")
    assert told[-1] == {"status": "Pull complete", "progressDetail": {}, "id": "abababababab"}


@pytest.mark.parametrize(
    ("current", "total", "text"),
    [
        (0, 100, f"[>{' ' * 49}]  0B/100B"),
        (1_234_567, 2_000_000, f"[{'=' * 30}>{' ' * 19}]  1.235MB/2MB"),
        (5, 0, "5B"),
        (7, 5, "7B"),
    ],
)
def test_bars_look_like_dockers(current: int, total: int, text: str) -> None:
    assert draw(current, total) == text


def test_a_reader_waits_for_what_grows(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"")
    with Growing(path, 0) as growing:
        parts: list[bytes] = []

        def read() -> None:
            while part := growing.read(100):
                parts.append(part)

        reader = threading.Thread(target=read)
        reader.start()
        with path.open("ab", buffering=0) as file:
            for size in (3, 200, 1):
                file.write(b"x" * size)
                growing.grow(path.stat().st_size)
        growing.end()
        reader.join(10)
        assert b"".join(parts) == b"x" * 204
        # Enough at first to tell a compression by.
        assert len(parts[0]) >= 64


def test_a_writer_that_fails_fails_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"abc")
    with Growing(path, 3) as growing:
        growing.fail(KeyError("gone"))
        with pytest.raises(KeyError, match="gone"):
            growing.read()
    with Growing(path, 3) as growing:
        growing.end()
        growing.fail(KeyError("too late"))
        assert growing.read() == b"abc" and growing.read() == b""
