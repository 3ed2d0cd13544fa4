"""The small parts of a start: what the engine inherits, what the starter hears, when it is idle, who may connect."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from labdock.daemon import handover, home, inner
from labdock.daemon.idle import IdleWatch, read_idle_stop
from labdock.daemon.listener import Listener, Traffic, allowed_uids
from labdock.daemon.report import Outcome, Report, await_outcome
from labdock.errors import EngineUnreachable, Forbidden, InvalidRequest, StorageFull
from labdock.host.ids import IdExtent, IdMaps
from labdock.host.plan import Plan
from labdock.schema.paths import Paths

MAPS = IdMaps((IdExtent(0, 1000, 1),), (IdExtent(0, 1000, 1),))
PLAN = Plan("R0", "user", MAPS, "overlay", "fresh", "none", "v2", (), True, {}, (), ())


def test_the_handover_comes_through_and_goes_no_further() -> None:
    given = handover.Handover(PLAN, Paths(Path("/data"), Path("/run/x")))
    caller = {"PATH": "/bin", "AWS_SECRET": "s", "LABDOCK_DATA": "/data", "LC_ALL": "C", "http_proxy": "p"}
    environment = handover.compose_environment(caller, given)
    assert handover.receive(environment) == given
    environment.pop("PYTHONPATH", None)
    kept = {name: value for name, value in caller.items() if name != "AWS_SECRET"}
    assert environment == {**kept, "TMPDIR": "/data/tmp"}


def test_the_starter_hears_the_first_word_only() -> None:
    read, write = os.pipe()
    report = Report(write)
    assert report.wanted
    report.make(Outcome("ready", notices=("n",)))
    report.fail(StorageFull("later"))
    assert await_outcome(read, 1) == Outcome("ready", notices=("n",))


def test_a_starter_that_left_is_noticed() -> None:
    read, write = os.pipe()
    os.close(read)
    report = Report(write)
    assert not report.wanted
    report.make(Outcome("ready"))
    assert report.made


def test_silence_and_slowness_are_told_apart() -> None:
    read, write = os.pipe()
    with pytest.raises(EngineUnreachable, match="not ready after 0 s"):
        await_outcome(read, 0.05)
    read, other = os.pipe()
    os.close(other)
    with pytest.raises(EngineUnreachable, match="without a word"):
        await_outcome(read, 5)
    os.close(write)


class Clock:
    """A loop's call_later, by hand."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, act: Callable[[], None], /) -> Any:
        self.due.append((seconds, act))
        return self

    def cancel(self) -> None:
        self.due.clear()

    def pass_on(self) -> None:
        (_, act), self.due = self.due[0], self.due[1:]
        act()


def test_an_engine_expires_only_when_nothing_happened_for_a_whole_period() -> None:
    clock, expired = Clock(), list[float]()
    state = {"busy": False, "requests": 0}
    watch = IdleWatch(60, lambda: bool(state["busy"]), lambda: state["requests"], expired.append, clock)
    state["requests"] = 1
    clock.pass_on()
    state["busy"] = True
    clock.pass_on()
    state["busy"] = False
    assert expired == [] and [seconds for seconds, _ in clock.due] == [60]
    clock.pass_on()
    assert expired == [60]
    watch.cancel()
    assert clock.due == []


def test_idle_stop_is_off_unless_asked_for() -> None:
    assert read_idle_stop({}) is None and read_idle_stop({"LABDOCK_IDLE_STOP": "0"}) is None
    assert read_idle_stop({"LABDOCK_IDLE_STOP": "1.5"}) == 1.5
    with pytest.raises(InvalidRequest, match="is not a number"):
        read_idle_stop({"LABDOCK_IDLE_STOP": "soon"})


async def _ask(path: Path, speak: bool) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    if speak:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(("allowed", "status"), [(os.getuid(), b"200"), (os.getuid() + 1, b"403")])
def test_only_the_owner_may_connect(tmp_path: Path, allowed: int, status: bytes) -> None:
    async def hello(request: web.Request) -> web.Response:
        assert traffic.open == 1
        return web.Response(text="hello")

    async def main() -> bytes:
        application = web.Application()
        application.router.add_get("/", hello)
        application.middlewares.append(traffic.count())
        runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        listener = Listener(api, runner, frozenset({allowed}))
        try:
            return await _ask(tmp_path / "s", speak=status == b"200")
        finally:
            await listener.close()

    traffic = Traffic()
    api = socket.socket(socket.AF_UNIX)
    api.bind(str(tmp_path / "s"))
    api.listen()
    api.setblocking(False)
    answer = asyncio.run(main())
    assert answer.split(b" ")[1] == status, answer
    assert (traffic.total, traffic.open) == (int(status == b"200"), 0)


def test_host_root_is_let_in_only_where_it_has_no_number_inside() -> None:
    assert allowed_uids("user") == allowed_uids("root-identity") == {0}
    assert allowed_uids("root-mapped") == {0, 65534}


def test_a_run_folder_is_ones_own_and_short(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data", tmp_path / "run")
    paths.run.mkdir(mode=0o755)
    home.prepare_folders(paths, os.getuid())
    assert paths.run.stat().st_mode & 0o777 == 0o700 and paths.data.stat().st_mode & 0o777 == 0o700
    with pytest.raises(Forbidden, match="is not a folder of yours"):
        home.prepare_folders(paths, 12345)
    with pytest.raises(InvalidRequest, match="longer than a socket's may be"):
        home.prepare_folders(Paths(tmp_path, tmp_path / ("x" * 100)), os.getuid())


def test_ends_are_told_as_people_read_them() -> None:
    assert inner.describe_end(-9) == "signal SIGKILL"
    assert inner.describe_end(3) == "status 3"
