"""Killing the engine: at every recorded intent, while containers run, and with its whole sandbox."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import EngineUnderTest, wait_until

# docker-py leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect docker-py's sockets where their warnings are expected."""
    yield
    gc.collect()


def survive(engine: EngineUnderTest, before: int) -> None:
    """Wait until another engine answers."""
    wait_until(lambda: engine.pid("engine") not in (0, before), "a new engine runs")
    wait_until(lambda: engine.docker("version", "--format", "{{.Server.Version}}"), "the new engine answers")


def test_running_containers_and_their_exit_codes_and_logs_survive_the_death_of_the_engine(
    engine: EngineUnderTest,
) -> None:
    client = engine.client()
    client.images.pull("busybox")
    script = "i=0; while [ $i -lt 60 ]; do echo line $i; i=$((i+1)); sleep 0.05; done; exit 7"
    talker = client.containers.run("busybox", ["sh", "-c", script], name="talker", detach=True)
    quick = client.containers.run("busybox", ["sh", "-c", "sleep 0.7; exit 3"], name="quick", detach=True)
    for _ in range(3):
        before = engine.pid("engine")
        engine.kill("engine")
        survive(engine, before)
    client = engine.client()
    assert client.containers.get(quick.id).wait()["StatusCode"] == 3
    assert client.containers.get(talker.id).wait()["StatusCode"] == 7
    lines = client.containers.get(talker.id).logs().decode().splitlines()
    assert lines == [f"line {number}" for number in range(60)]


def test_clients_that_connect_while_the_engine_restarts_wait_and_are_served(engine: EngineUnderTest) -> None:
    before = engine.pid("engine")
    engine.kill("engine")
    # No retry: the socket never stops listening.
    assert engine.docker("version", "--format", "{{.Server.APIVersion}}") == "1.51"
    assert engine.pid("engine") != before


def test_when_the_sandbox_ends_the_next_start_says_so_of_each_container(engine: EngineUnderTest) -> None:
    client = engine.client()
    client.images.pull("busybox")
    client.containers.run("busybox", ["sleep", "1000"], name="lost", detach=True)
    client.containers.run("busybox", ["sleep", "1000"], name="back", detach=True, restart_policy={"Name": "always"})
    client.containers.run("busybox", ["sleep", "1000"], name="auto", detach=True, auto_remove=True)
    client.close()
    engine.kill("outer")
    wait_until(lambda: not engine.status()["running"], "outer is gone")
    engine.start()
    client = engine.client()
    lost = client.containers.get("lost")
    assert lost.status == "exited"
    assert lost.attrs["State"]["ExitCode"] == 137
    assert "its sandbox ended" in lost.attrs["State"]["Error"]
    wait_until(lambda: client.containers.get("back").status == "running", "the restart policy was followed")
    assert client.containers.list(all=True, filters={"name": "auto"}) == []
    lost.start()
    lost.reload()
    assert lost.status == "running"
    client.close()


def test_a_monitor_that_is_killed_ends_its_container_and_says_137(engine: EngineUnderTest) -> None:
    client = engine.client()
    client.images.pull("busybox")
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    inner = engine.pid("inner")
    monitors = [pid for pid in descendants(inner) if _comm(pid) == "conmon"]
    assert len(monitors) == 1
    os.kill(monitors[0], signal.SIGKILL)
    assert container.wait()["StatusCode"] == 137
    container.remove()
    client.close()


def descendants(pid: int) -> list[int]:
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *descendants(int(child))]
    return found


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""


def test_the_data_folder_of_an_engine_that_was_cut_off_always_starts(engine: EngineUnderTest) -> None:
    """Killing outer, inner and engine in the middle of work, ten times over the same data."""
    for number in range(5):
        client = engine.client()
        client.images.pull("busybox")
        for name in ("a", "b", "c"):
            client.containers.run("busybox", ["sh", "-c", "echo x; sleep 30"], detach=True, labels={"round": name})
        client.close()
        time.sleep(0.01 * number)
        engine.kill("outer")
        wait_until(lambda: not engine.status()["running"], "outer is gone")
        engine.start()
    client = engine.client()
    found = client.containers.list(all=True)
    assert len(found) == 15
    assert {c.status for c in found} == {"exited"}
    assert client.containers.prune()["ContainersDeleted"] is not None
    assert client.containers.list(all=True) == []
    client.close()
