"""Readers that stop reading, and readers that vanish: what they cost the engine, the container and the others.

One engine, whose patience is two seconds, and one crowd: a reader that reads nothing at every endpoint that streams.
"""

from __future__ import annotations

import io
import json
import select
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests import stores
from tests.system.conftest import EngineUnderTest, short_folder
from tests.system.test_soak import Holdings, look, memory_of, settle

PATIENCE = 2
LINES = 300_000
#: Stalled followers of one log: were there no bound, each would hold all of it.
CROWD = 10
#: MiB by which the engine may have grown while all of them waited, and after.
PEAK, LEFT = 48, 12
#: What the program that is read does.
SCRIPT = f"read go; seq {LINES}"

STREAMS: tuple[str, ...] = (
    "attach",
    "attach a terminal",
    "websocket",
    "logs",
    "timed logs",
    "events",
    "archive",
    "export",
    "save",
)
STREAMS += ("build", "exec")


class Reader:
    """A client of the socket that asks and then reads only when it is told to."""

    def __init__(self, engine: EngineUnderTest, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(40)
        self.socket.connect(str(engine.run / "docker.sock"))
        lines = [f"{method} {path} HTTP/1.1", "Host: docker", f"Content-Length: {len(body)}"]
        lines += [] if "Connection" in headers else ["Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def read_on(self, size: int) -> bytes:
        """*size* more bytes, fewer at the end."""
        found = b""
        while len(found) < size and (data := self.socket.recv(size - len(found))):
            found += data
        return found

    def count_lines(self) -> int:
        """The ends of lines in what comes until the end."""
        count = 0
        while data := self.socket.recv(1 << 16):
            count += data.count(b"\n")
        return count

    def is_cut(self, seconds: float = 30) -> bool:
        """Whether the engine closes the connection, of which nothing is read."""
        poll = select.poll()
        poll.register(self.socket, 0)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        self.socket.close()


@dataclass(slots=True)
class Crowd:
    """What was seen of the readers that read nothing."""

    cut: dict[str, bool] = field(default_factory=dict)
    seconds_alone: float = 0.0
    seconds: float = 0.0
    others: dict[str, int] = field(default_factory=dict)
    peak: float = 0.0
    left: float = 0.0
    log: str = ""


def upgraded(engine: EngineUnderTest, path: str, body: bytes = b"") -> Reader:
    return Reader(engine, "POST", path, body, Connection="Upgrade", Upgrade="tcp", Content_Type="application/json")


def context_of(dockerfile: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        archive.addfile(entry, io.BytesIO(dockerfile.encode()))
    return file.getvalue()


def kept(engine: EngineUnderTest, before: Holdings) -> dict[str, int]:
    """What the engine holds beyond *before*, but for what a build is meant to leave."""
    return {name: count for name, count in look(engine).beyond(before).items() if name != "snapshots"}


class Scene:
    """An engine, a program that waits for its word, and one that sleeps beside a big file."""

    def __init__(self, engine: EngineUnderTest) -> None:
        self.engine = engine
        engine.docker("pull", "busybox")
        self.sleeper = engine.docker("run", "-d", "busybox", "sleep", "100000")
        engine.docker("exec", self.sleeper, "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=16")
        self.writers = {
            tty: engine.docker("run", "-d", "-i", *tty, "busybox", "sh", "-c", SCRIPT) for tty in ((), ("-t",))
        }

    def exec_id(self, *command: str) -> str:
        body = json.dumps({"Cmd": command, "AttachStdout": True}).encode()
        asked = Reader(
            self.engine,
            "POST",
            f"/containers/{self.sleeper}/exec",
            body,
            Content_Type="application/json",
        )
        found: str = json.loads(asked.read_on(1 << 16).partition(b"\r\n\r\n")[2])["Id"]
        asked.close()
        return found

    def open(self, stream: str) -> Reader:
        """Ask for *stream* and read nothing."""
        engine, writer, terminal = self.engine, self.writers[()], self.writers[("-t",)]
        makers: dict[str, Callable[[], Reader]] = {
            "attach": lambda: upgraded(engine, f"/containers/{writer}/attach?stream=1&stdout=1"),
            "attach a terminal": lambda: upgraded(engine, f"/containers/{terminal}/attach?stream=1&stdout=1"),
            "websocket": lambda: Reader(
                engine,
                "GET",
                f"/v1.41/containers/{writer}/attach/ws?stream=1&stdout=1",
                Connection="Upgrade",
                Upgrade="websocket",
                Sec_WebSocket_Version="13",
                Sec_WebSocket_Key="MDEyMzQ1Njc4OWFiY2RlZg==",
            ),
            "logs": lambda: Reader(engine, "GET", f"/containers/{writer}/logs?follow=1&stdout=1"),
            "timed logs": lambda: Reader(engine, "GET", f"/containers/{writer}/logs?follow=1&stdout=1&timestamps=1"),
            "events": lambda: Reader(engine, "GET", "/events"),
            "archive": lambda: Reader(engine, "GET", f"/containers/{self.sleeper}/archive?path=/big"),
            "export": lambda: Reader(engine, "GET", f"/containers/{self.sleeper}/export"),
            "save": lambda: Reader(engine, "GET", "/images/busybox/get"),
            "build": lambda: Reader(
                engine,
                "POST",
                "/build?t=built&nocache=1",
                context_of("FROM busybox\nRUN seq 40000\n"),
                Content_Type="application/x-tar",
            ),
            "exec": lambda: upgraded(engine, f"/exec/{self.exec_id('seq', str(LINES))}/start", b"{}"),
        }
        return makers[stream]()

    def run(self, container: str) -> float:
        """Give the program its word and wait for its end; the seconds that it took."""
        word = upgraded(self.engine, f"/containers/{container}/attach?stream=1&stdin=1")
        assert word.socket.recv(4096).startswith(b"HTTP/1.1 101")
        begun = time.monotonic()
        word.socket.sendall(b"go\n")
        assert self.engine.docker("wait", container) == "0"
        word.close()
        return time.monotonic() - begun


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    root = short_folder()
    engine = EngineUnderTest(root, LABDOCK_READER_PATIENCE=str(PATIENCE))
    engine.start()
    yield Scene(engine)
    if ids := engine.docker("ps", "-aq", check=False).split():
        engine.docker("rm", "-f", *ids, check=False)
    engine.stop()
    stores.remove(root)


def watch_memory(engine: EngineUnderTest, over: threading.Event, seen: list[float]) -> None:
    while not over.wait(0.05):
        seen.append(memory_of(engine))


@pytest.fixture(scope="module")
def crowd(scene: Scene) -> Crowd:
    """Everything at once: a reader that reads nothing everywhere, ten of the log, and two that do read."""
    engine, found = scene.engine, Crowd()
    alone = engine.docker("run", "-d", "-i", "busybox", "sh", "-c", SCRIPT)
    found.seconds_alone = scene.run(alone)
    engine.docker("rm", alone)
    # What is allocated once.
    for stream in ("build", "save", "archive", "export", "exec"):
        once = scene.open(stream)
        once.count_lines()
        once.close()
    holdings, memory = look(engine), memory_of(engine)
    readers = {stream: scene.open(stream) for stream in STREAMS}
    readers |= {f"logs {number}": scene.open("logs") for number in range(CROWD)}
    good = {stream: scene.open(stream) for stream in ("attach", "logs")}
    over, seen = threading.Event(), [memory]
    with ThreadPoolExecutor() as pool:
        watching = pool.submit(watch_memory, engine, over, seen)
        counts = {stream: pool.submit(reader.count_lines) for stream, reader in good.items()}
        # Events are their commands, so a long one fills a reader soon.
        making = pool.submit(lambda: [scene.exec_id("true", "x" * 8000) for _ in range(60)])
        terminal = pool.submit(scene.run, scene.writers[("-t",)])
        found.seconds = scene.run(scene.writers[()])
        terminal.result()
        making.result()
        found.others = {stream: count.result() for stream, count in counts.items()}
        found.cut = {stream: reader.is_cut() for stream, reader in readers.items()}
        over.set()
        watching.result()
    found.peak = max(seen) - memory
    for reader in (*readers.values(), *good.values()):
        reader.close()
    settle(lambda: kept(engine, holdings), {})
    # What is free is given back a second later.
    end = time.monotonic() + 20
    while (left := memory_of(engine) - memory) >= LEFT and time.monotonic() < end:
        time.sleep(0.1)
    found.left = left
    found.log = (engine.data / "engine.log").read_text()
    return found


@pytest.mark.parametrize("stream", STREAMS)
def test_a_reader_that_reads_nothing_is_cut(crowd: Crowd, stream: str) -> None:
    assert crowd.cut[stream]


@pytest.mark.parametrize(
    "path",
    [
        "/attach?",
        "/attach/ws?",
        "/logs?",
        "/events",
        "/archive?",
        "/export",
        "/images/busybox/get",
        "/build?",
        "/exec/",
    ],
)
def test_the_log_says_who_was_cut(crowd: Crowd, path: str) -> None:
    said = [line for line in crowd.log.splitlines() if "cut a client of" in line]
    assert any(path.rstrip("?") in line for line in said)


def test_nobody_else_misses_a_line(crowd: Crowd) -> None:
    # Of the frames' and chunks' heads some bytes are newlines too.
    assert {stream: count >= LINES for stream, count in crowd.others.items()} == {"attach": True, "logs": True}


def test_the_program_writes_on_as_if_nobody_were_there(crowd: Crowd) -> None:
    # One second is what an attached reader may cost, once; the machine is another's too.
    assert crowd.seconds < 4 * crowd.seconds_alone + 5


def test_a_log_that_nobody_reads_is_not_held_in_memory(crowd: Crowd) -> None:
    assert crowd.peak < PEAK
    assert crowd.left < LEFT


@pytest.mark.parametrize("size", [0, 150, 300_000])
def test_readers_may_vanish_at_any_byte(scene: Scene, size: int) -> None:
    engine = scene.engine
    scene.writers = {
        tty: engine.docker("run", "-d", *tty, "busybox", "sh", "-c", f"seq {LINES}; sleep 1000")
        for tty in ((), ("-t",))
    }
    holdings = look(engine)
    readers = [scene.open(stream) for stream in STREAMS]
    for reader, stream in zip(readers, STREAMS, strict=True):
        # Of a program that says no more than it has said, or of nothing that happens, nothing comes.
        if stream not in ("attach", "attach a terminal", "websocket", "events"):
            reader.read_on(size)
    for reader in readers:
        reader.close()
    settle(lambda: kept(engine, holdings), {})
    assert engine.docker("exec", scene.sleeper, "echo", "well") == "well"
    engine.docker("rm", "-f", *scene.writers.values())
