"""Logs that keep to a size: nothing is lost to who reads along, through a kill of the engine too."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator

import pytest
from docker.models.containers import Container
from docker.types import LogConfig

from tests.system.conftest import EngineUnderTest, wait_until

# docker-py leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
LINES = 12_000
#: Once told to go: bursts, with pauses in which the engine looks at the log.
WORK = (
    "echo line 0; until [ -e /go ]; do sleep 0.05; done; "
    f"i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; [ $((i%2000)) = 0 ] && sleep 0.3; done"
)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect docker-py's sockets where their warnings are expected."""
    yield
    gc.collect()


def list_logs(engine: EngineUnderTest, container: Container) -> list[str]:
    return sorted(name for name in os.listdir(engine.data / "containers" / container.id) if name.startswith("log"))


def follow_all(engine: EngineUnderTest, container: Container, readers: int) -> list[list[bytes]]:
    """What *readers* followers see from the first line to the container's end; it goes on when all have begun."""
    seen: list[bytearray] = [bytearray() for _ in range(readers)]
    begun = threading.Barrier(readers + 1)

    def follow(data: bytearray) -> None:
        client = engine.client()
        for piece in client.containers.get(container.id).logs(stream=True, follow=True):
            if not data:
                begun.wait(60)
            data += piece
        client.close()

    threads = [threading.Thread(target=follow, args=(data,)) for data in seen]
    for thread in threads:
        thread.start()
    begun.wait(60)
    container.exec_run(["touch", "/go"])
    for thread in threads:
        thread.join(120)
    return [bytes(data).splitlines() for data in seen]


def test_a_log_is_rotated_and_none_of_its_followers_misses_a_line(engine: EngineUnderTest) -> None:
    client = engine.client()
    client.images.pull("busybox")
    limits = LogConfig(type="json-file", config={"max-size": "20k", "max-file": "3", "labels": "course"})
    container = client.containers.create("busybox", ["sh", "-c", WORK], log_config=limits, labels={"course": "one"})
    container.start()
    expected = [b"line %d" % number for number in range(LINES + 1)]
    assert follow_all(engine, container, 4) == [expected] * 4
    assert list_logs(engine, container) == ["log", "log.1", "log.2"]
    kept = container.logs().splitlines()
    assert 0 < len(kept) < LINES and kept == expected[-len(kept) :]
    assert container.logs(tail=len(kept) - 1).splitlines() == kept[1:]
    assert engine.docker("logs", "--details", "--tail", "1", container.id) == f"course=one line {LINES}"
    client.close()


def test_a_rotation_that_a_kill_cut_short_is_finished(engine: EngineUnderTest) -> None:
    client = engine.client()
    client.images.pull("busybox")
    limits = LogConfig(type="local", config={"max-size": "1m", "max-file": "2"})
    work = "while :; do echo tick; sleep 0.05; done"
    container = client.containers.run("busybox", ["sh", "-c", work], detach=True, log_config=limits)
    folder = engine.data / "containers" / container.id
    wait_until(lambda: (folder / "log").exists(), "it has a log")
    before = engine.pid("engine")
    os.kill(before, 9)
    try:
        # As an engine leaves it that is killed between the renaming and the word to the monitor.
        os.rename(folder / "log", folder / "log.1")
    except PermissionError:
        pytest.fail("the test's user owns the store's folders")
    wait_until(lambda: engine.pid("engine") not in (0, before), "a new engine runs")
    wait_until(lambda: (folder / "log").exists(), "the monitor has opened a new file")
    assert container.logs().startswith(b"tick\n")
    client.close()
