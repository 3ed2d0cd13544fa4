"""Many lives, execs and followers: descriptors, threads, memory, mounts, namespaces and the store return to what they
were.

A short soak by itself; ``make soak`` (LABDOCK_TEST_SOAK=1) is the long one, and prints its figures.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import docker
import pytest

from tests.system.conftest import EngineUnderTest, wait_until
from tests.system.test_faults import descendants

LONG = os.environ.get("LABDOCK_TEST_SOAK") == "1"
LIVES, EXECS, FOLLOWERS = (2_000, 10_000, 500) if LONG else (100, 300, 50)
#: Of the followers, those who never read.
STALLED = FOLLOWERS // 10
LINES = 2_000
CLIENTS = 4
#: MiB by which the engine's memory may have grown: allocators keep some, leaks grow with the work.
GROWTH = 16 if LONG else 10

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.limit(1800 if LONG else 240),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect docker-py's sockets where their warnings are expected."""
    yield
    gc.collect()


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an engine holds, but for its memory: all of it is counted exactly."""

    engine_fds: int
    inner_fds: int
    outer_fds: int
    processes: int
    mounts: int
    namespaces: int
    bundles: int
    containers: int
    snapshots: int
    volumes: int

    def beyond(self, before: Holdings) -> dict[str, int]:
        """What there is more of than *before*, and how many."""
        was = asdict(before)
        return {name: count - was[name] for name, count in asdict(self).items() if count > was[name]}


def look(engine: EngineUnderTest) -> Holdings:
    pids = {role: engine.pid(role) for role in ("engine", "inner", "outer")}
    box = Path(f"/proc/{pids['engine']}/root") / str(engine.run / "box").lstrip("/")
    snapshots = engine.data / "snapshots/overlay"
    return Holdings(
        engine_fds=len(os.listdir(f"/proc/{pids['engine']}/fd")),
        inner_fds=len(os.listdir(f"/proc/{pids['inner']}/fd")),
        outer_fds=len(os.listdir(f"/proc/{pids['outer']}/fd")),
        processes=len(descendants(pids["inner"])),
        mounts=len(Path(f"/proc/{pids['engine']}/mountinfo").read_text().splitlines()),
        namespaces=len(os.listdir(box / "netns")),
        bundles=len(os.listdir(box / "c")) + len(os.listdir(box / "rootfs")),
        containers=len(os.listdir(engine.data / "containers")),
        snapshots=sum(name.isdecimal() for name in os.listdir(snapshots)) + len(os.listdir(snapshots / "trash")),
        volumes=sum(not name.startswith(".") for name in os.listdir(engine.data / "volumes")),
    )


def threads_of(engine: EngineUnderTest) -> int:
    return len(os.listdir(f"/proc/{engine.pid('engine')}/task"))


def memory_of(engine: EngineUnderTest) -> float:
    """The engine's PSS in MiB."""
    lines = Path(f"/proc/{engine.pid('engine')}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def spread(engine: EngineUnderTest, count: int, turn: Callable[[docker.DockerClient, int], None]) -> float:
    """Do *count* turns by CLIENTS clients; the seconds they took."""
    begun = time.monotonic()
    clients = [engine.client() for _ in range(CLIENTS)]

    def work(number: int) -> None:
        for turn_number in range(number, count, CLIENTS):
            turn(clients[number], turn_number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))
    for client in clients:
        client.close()
    return time.monotonic() - begun


def live(client: docker.DockerClient, number: int) -> None:
    """One life: with a port, an anonymous volume and some output now and then."""
    odd = number % 5 == 0
    container = client.containers.create(
        "busybox",
        ["sh", "-c", f"echo {number}; exit {number % 3}"],
        ports={"80/tcp": ("127.0.0.1", None)} if odd else None,
        volumes=["/data"] if odd else None,
    )
    container.start()
    assert container.wait()["StatusCode"] == number % 3
    assert container.logs() == f"{number}\n".encode()
    container.remove(v=True)


def settle(measure: Callable[[], object], wanted: object) -> None:
    """Wait until *measure* gives *wanted*; say what it gives when it does not."""
    end = time.monotonic() + 60
    while (found := measure()) != wanted and time.monotonic() < end:
        # docker-py leaves connections to the garbage collector.
        gc.collect()
        time.sleep(0.1)
    assert found == wanted


def rest(engine: EngineUnderTest) -> Holdings:
    """What the engine holds once that has not changed for three seconds: things are kept open for a moment."""
    found = look(engine)
    since = begun = time.monotonic()
    while time.monotonic() - since < 3 and time.monotonic() - begun < 60:
        gc.collect()
        time.sleep(0.2)
        if (now := look(engine)) != found:
            found, since = now, time.monotonic()
    return found


async def follow(path: Path, container: str, counts: list[int], stalled: bool) -> None:
    """Follow a log to its end, counting its lines; *stalled*: ask, and never read."""
    # Little room on this side: who does not read is soon noticed.
    reader, writer = await asyncio.open_unix_connection(str(path), limit=4096)
    request = f"GET /v1.41/containers/{container}/logs?stdout=1&follow=1 HTTP/1.0\r\n\r\n"
    writer.write(request.encode())
    try:
        if stalled:
            await reader.readexactly(1)
            await asyncio.Event().wait()
        count = 0
        while data := await reader.read(65536):
            count += data.count(b"\n")
        counts.append(count)
    finally:
        writer.close()


async def follow_all(engine: EngineUnderTest, followers: int, stalled: int) -> list[int]:
    """The lines that each follower saw of a container that waits for them before it writes."""
    client = engine.client()
    script = f"read go; seq {LINES}; read end"
    container = client.containers.create("busybox", ["sh", "-c", script], stdin_open=True)
    stdin = container.attach_socket(params={"stdin": 1, "stream": 1})
    container.start()
    counts: list[int] = []
    path = engine.run / "docker.sock"
    tasks = [asyncio.create_task(follow(path, container.id, counts, False)) for _ in range(followers - stalled)]
    idle = [asyncio.create_task(follow(path, container.id, counts, True)) for _ in range(stalled)]
    await asyncio.sleep(0)
    stdin._sock.sendall(b"go\n")
    await asyncio.sleep(1)
    stdin._sock.sendall(b"end\n")
    await asyncio.gather(*tasks)
    for task in idle:
        task.cancel()
    await asyncio.gather(*idle, return_exceptions=True)
    stdin._sock.close()
    stdin.close()
    assert container.wait()["StatusCode"] == 0
    container.remove()
    client.close()
    return counts


def test_everything_returns_to_what_it_was(engine: EngineUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    client = engine.client()
    client.images.pull("busybox")
    sleeper = client.containers.run("busybox", ["sleep", "100000"], detach=True)

    def execute(at_work: docker.DockerClient, number: int) -> None:
        done = at_work.containers.get(sleeper.id).exec_run(["sh", "-c", f"echo {number}; exit {number % 3}"])
        assert (done.exit_code, done.output) == (number % 3, f"{number}\n".encode())

    # What is allocated once: threads, caches, pools, and what a first crowd leaves between what is in use.
    spread(engine, 40, live)
    spread(engine, 40, execute)
    asyncio.run(follow_all(engine, FOLLOWERS, 0))
    wait_until(lambda: look(engine).containers == 1, "only the sleeper is left")
    before, memory = rest(engine), memory_of(engine)
    threads = threads_of(engine)

    lives = spread(engine, LIVES, live)
    after_lives = memory_of(engine)
    execs = spread(engine, EXECS, execute)
    after_execs = memory_of(engine)
    counts = asyncio.run(follow_all(engine, FOLLOWERS, STALLED))
    # Of the frame's headers some bytes are newlines too: a size of ten.
    assert len(counts) == FOLLOWERS - STALLED
    assert len(set(counts)) == 1
    assert counts[0] >= LINES

    settle(lambda: look(engine).beyond(before), {})
    # asyncio's pool fills as it is needed.
    most = threads + (os.cpu_count() or 1) + 4
    settle(lambda: threads_of(engine) <= most, True)
    grown = memory_of(engine) - memory
    if LONG:
        with capsys.disabled():
            print(f"\n{LIVES} lives in {lives:.0f} s, {EXECS} execs in {execs:.0f} s, {FOLLOWERS} followers")
            print(f"engine PSS MiB: {memory:.1f}, after lives {after_lives:.1f}, after execs {after_execs:.1f}", end="")
            print(f", at the end {memory + grown:.1f}; threads {threads}; {asdict(look(engine))}")
    assert grown < GROWTH
    client.close()
