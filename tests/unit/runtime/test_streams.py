"""The bounded queue, kept filters, and starting children."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from labdock.errors import SystemFailure, Unavailable
from labdock.runtime import children
from labdock.runtime.drivers.filters import ANNOTATION, SeccompFilters
from labdock.runtime.monitor.queue import OutputQueue


def test_queue_keeps_order_and_ends() -> None:
    async def main() -> None:
        queue = OutputQueue(lambda: None)
        queue.put("stdout", b"a")
        queue.put("stderr", b"b")
        queue.end()
        queue.put("stdout", b"late")
        assert [await queue.get(), await queue.get(), await queue.get()] == [("stdout", b"a"), ("stderr", b"b"), None]

    asyncio.run(main())


def test_queue_tells_when_there_is_room_again() -> None:
    async def main() -> None:
        room: list[bool] = []
        queue = OutputQueue(lambda: room.append(True), bound=10)
        for _ in range(3):
            queue.put("stdout", b"1234")
        seen = [(len(room), queue.full, queue.roomy)]
        for _ in range(3):
            await queue.get()
            seen.append((len(room), queue.full, queue.roomy))
        assert seen == [(0, True, False), (0, False, False), (1, False, True), (1, False, True)]

    asyncio.run(main())


def test_cut_reader_gets_an_error_then_the_end() -> None:
    async def main() -> None:
        queue = OutputQueue(lambda: None)
        queue.put("stdout", b"lost")
        queue.cut("too slow")
        with pytest.raises(Unavailable, match="too slow") as raised:
            await queue.get()
        assert raised.value.hint
        assert await queue.get() is None

    asyncio.run(main())


def test_waiting_reader_is_woken() -> None:
    async def main() -> None:
        queue = OutputQueue(lambda: None)
        reading = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        queue.put("stdout", b"x")
        assert await asyncio.wait_for(reading, 1) == ("stdout", b"x")
        reading = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.sleep(0)
        queue.put("stdout", b"y")
        assert await asyncio.wait_for(queue.get(), 1) == ("stdout", b"y")

    asyncio.run(main())


# --- filters --------------------------------------------------------------------------------------


def _spec(name: str = "read") -> dict[str, object]:
    return {"linux": {"seccomp": {"defaultAction": "X", "syscalls": [{"names": [name]}]}, "namespaces": []}}


@pytest.fixture
def runtime(tmp_path: Path) -> str:
    path = tmp_path / "crun"
    path.write_bytes(b"\x7fELF " + ANNOTATION.encode() + b"\0")
    return str(path)


def test_filter_is_given_to_the_next_container(tmp_path: Path, runtime: str) -> None:
    filters = SeccompFilters(tmp_path / "kept", runtime)
    key = filters.key(_spec())
    assert key is not None
    assert filters.apply(key, _spec()) == _spec()
    (tmp_path / "bpf").write_bytes(b"12345678" * 3)
    filters.keep(key, tmp_path / "bpf")
    for later in (filters, SeccompFilters(tmp_path / "kept", runtime)):
        assert later.apply(key, _spec()) == {
            "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}, "namespaces": []},
            "annotations": {ANNOTATION: "MTIzNDU2NzgxMjM0NTY3ODEyMzQ1Njc4"},
        }
    other = filters.key(_spec("write"))
    assert other is not None
    assert other != key
    assert filters.apply(other, _spec("write")) == _spec("write")


@pytest.mark.parametrize("data", [b"", b"1234567", b"12345678" * 4097])
def test_what_is_no_filter_is_not_kept(tmp_path: Path, runtime: str, data: bytes) -> None:
    filters = SeccompFilters(tmp_path / "kept", runtime)
    (tmp_path / "bpf").write_bytes(data)
    filters.keep("k", tmp_path / "bpf")
    filters.keep("k", tmp_path / "missing")
    assert not filters.knows("k")


def test_runtime_that_does_not_know_the_annotation_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"\x7fELF")
    assert SeccompFilters(tmp_path / "kept", str(tmp_path / "old")).key(_spec()) is None


def test_users_own_filter_and_unconfined_stay(tmp_path: Path, runtime: str) -> None:
    filters = SeccompFilters(tmp_path / "kept", runtime)
    assert filters.key(_spec() | {"annotations": {ANNOTATION: "x"}}) is None
    assert filters.key({"linux": {}}) is None


# --- children -------------------------------------------------------------------------------------


def test_child_gets_the_fds_it_was_given_and_no_others() -> None:
    async def main() -> None:
        read, write = os.pipe()
        null = os.open("/dev/null", os.O_RDWR)
        os.set_inheritable(read, True)
        script = "ls /proc/self/fd; echo $X; exit 3"
        child = children.spawn(["/bin/sh", "-c", script], {"X": "y", "PATH": "/bin"}, {0: null, 1: write, 2: null})
        os.close(write)
        assert await asyncio.wait_for(child.wait(), 5) == 3
        assert await asyncio.wait_for(child.wait(), 5) == 3
        # ls has the folder open as 3.
        assert os.read(read, 4096).split() == [b"0", b"1", b"2", b"3", b"y"]
        child.kill()
        os.close(read)
        os.close(null)

    asyncio.run(main())


def test_overlapping_numbers() -> None:
    async def main() -> None:
        read, write = os.pipe()
        # Each number is a target, and the source of the other one.
        child = children.spawn(
            ["/bin/sh", "-c", f"echo in > /proc/self/fd/{read}"], {"PATH": "/bin"}, {read: write, write: read}
        )
        assert await asyncio.wait_for(child.wait(), 5) == 0
        os.close(write)
        assert os.read(read, 100) == b"in\n"
        os.close(read)

    asyncio.run(main())


def test_child_killed_by_a_signal() -> None:
    async def main() -> None:
        child = children.spawn(["/bin/sleep", "60"], {}, {})
        child.kill(signal.SIGTERM)
        assert await asyncio.wait_for(child.wait(), 5) == 143

    asyncio.run(main())


def test_program_that_is_not_there() -> None:
    async def main() -> None:
        with pytest.raises(SystemFailure, match="starting /nosuch: No such file"):
            children.spawn(["/nosuch"], {}, {})

    asyncio.run(main())
