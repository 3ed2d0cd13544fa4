"""Twenty containers run while processes are killed: the engine at every intent, monitors, inner, outer."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
import requests

from tests.system.conftest import EngineUnderTest, wait_until
from tests.system.test_faults import descendants, survive

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CROWD = 20
#: Counts for as long as it lives, and says goodbye when asked to end.
TALKER = 'trap "echo bye; exit 7" TERM; i=0; while :; do echo line $i; i=$((i+1)); sleep 1 & wait $!; done'
#: Hears SIGTERM and goes on.
STUBBORN = 'trap "echo asked" TERM; echo ready; while :; do sleep 1 & wait $!; done'
#: What a killed engine's client sees.
BROKEN = (requests.exceptions.ConnectionError, docker.errors.APIError)


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect docker-py's sockets where their warnings are expected."""
    yield
    gc.collect()


def start_crowd(client: docker.DockerClient) -> dict[str, int]:
    """Start them; their ids and pids."""
    client.images.pull("busybox")
    with ThreadPoolExecutor(4) as pool:
        made = list(
            pool.map(
                lambda n: client.containers.run("busybox", ["sh", "-c", TALKER], name=f"talker{n}", detach=True),
                range(CROWD),
            )
        )
    for container in made:
        wait_until(partial(has_counted, container), f"{container.name} counts")
    return pids_of(client)


def has_counted(container: Any) -> bool:
    return b"line 0\n" in container.logs()


def pids_of(client: docker.DockerClient) -> dict[str, int]:
    """The running talkers' ids and first processes."""
    found = client.containers.list(filters={"name": "talker"})
    return {container.id: container.attrs["State"]["Pid"] for container in found}


def check_logs(logs: list[bytes], last: list[str]) -> None:
    """Each log counts without a gap, and ends with *last*."""
    for log in logs:
        lines = log.decode().splitlines()
        counted = lines[: len(lines) - len(last)]
        assert counted == [f"line {number}" for number in range(len(counted))]
        assert lines[len(counted) :] == last
        assert counted


def wait_until_stopped(engine: EngineUnderTest) -> int:
    """Wait until the engine has stopped at its failpoint; its pid."""
    pid = engine.pid("engine")
    stat = Path(f"/proc/{pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "the engine stopped at its failpoint")
    return pid


def beside(work: Callable[[], object]) -> threading.Thread:
    """Run *work*, whose engine is going to be killed, in a thread."""

    def run() -> None:
        with contextlib.suppress(*BROKEN):
            work()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def log_of(client: docker.DockerClient, name: str) -> bytes:
    text = client.containers.get(name).logs()
    assert isinstance(text, bytes)
    return text


def act(action: str, client: docker.DockerClient) -> None:
    """What makes the engine record the intent *action*."""
    match action:
        case "container.create":
            client.containers.create("busybox", ["true"], name="other")
        case "container.start":
            client.containers.get("victim").start()
        case "container.remove":
            client.containers.get("victim").remove()


def test_twenty_containers_run_and_log_on_while_the_engine_is_killed_at_every_intent(engine: EngineUnderTest) -> None:
    client = engine.client()
    pids = start_crowd(client)
    assert len(pids) == CROWD
    client.containers.create("busybox", ["true"], name="victim")
    stubborn = client.containers.run("busybox", ["sh", "-c", STUBBORN], name="stubborn", detach=True)
    wait_until(lambda: b"ready" in stubborn.logs(), "the stubborn one listens")

    def die(request: Callable[[docker.DockerClient], object], before_death: Callable[[], object]) -> None:
        """Kill the engine in the middle of *request*."""
        # An engine that lives for a second is no quick death: those are counted.
        time.sleep(1.2)
        before = engine.pid("engine")
        at_work = engine.client()
        thread = beside(lambda: request(at_work))
        before_death()
        survive(engine, before)
        thread.join(30)
        assert not thread.is_alive()
        at_work.close()
        assert pids_of(client) == pids

    for action in ("container.create", "container.start", "container.remove"):
        for moment in ("recorded", "acted"):
            if action == "container.remove" and moment == "acted":
                client.containers.create("busybox", ["true"], name="victim")
            engine.arm(f"{moment}:{action}")
            die(partial(act, action), lambda: None)

    def asked(times: int) -> Callable[[], None]:
        def kill() -> None:
            wait_until(lambda: log_of(client, "stubborn").count(b"asked") == times, "it was asked to end")
            engine.kill("engine")

        return kill

    die(lambda at_work: at_work.containers.get("stubborn").stop(timeout=60), asked(1))
    die(lambda at_work: at_work.containers.get("stubborn").restart(timeout=60), asked(2))

    def executing() -> None:
        wait_until(lambda: client.containers.get("stubborn").attrs["ExecIDs"], "its exec runs")
        engine.kill("engine")

    die(lambda at_work: at_work.containers.get("stubborn").exec_run(["sleep", "60"]), executing)
    stubborn.reload()
    assert stubborn.status == "running"
    stubborn.stop(timeout=0)
    assert stubborn.wait()["StatusCode"] == 137

    talkers = [client.containers.get(container) for container in pids]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda container: container.stop(timeout=30), talkers))
        ended = list(pool.map(lambda container: container.wait()["StatusCode"], talkers))
        logs = list(pool.map(lambda container: container.logs(), talkers))
    assert ended == [7] * CROWD
    check_logs(logs, ["bye"])
    client.close()


def test_a_name_is_one_of_two_whenever_the_engine_is_killed(engine: EngineUnderTest) -> None:
    client = engine.client()
    client.images.pull("busybox")
    container = client.containers.create("busybox", ["true"], name="left")

    for _ in range(3):
        before = engine.pid("engine")
        at_work = engine.client()
        killed = threading.Event()
        renaming = beside(Renaming(at_work, container.id, killed))
        time.sleep(0.3)
        engine.kill("engine")
        killed.set()
        survive(engine, before)
        renaming.join(30)
        assert not renaming.is_alive()
        at_work.close()
        container.reload()
        name = str(container.name)
        other = {"left": "right", "right": "left"}[name]
        assert client.containers.get(name).id == container.id
        with pytest.raises(docker.errors.NotFound):
            client.containers.get(other)
        container.rename(other)
        container.rename(name)
    client.close()


class Renaming:
    """Gives a container one name and then the other, with a policy for each, until *over*."""

    def __init__(self, client: docker.DockerClient, container: str, over: threading.Event) -> None:
        self._api = client.api
        self._container = container
        self._over = over

    def __call__(self) -> None:
        while not self._over.is_set():
            name = self._api.inspect_container(self._container)["Name"].removeprefix("/")
            other = {"left": "right", "right": "left"}[name]
            self._api.rename(self._container, other)
            self._api.update_container(self._container, restart_policy={"Name": "always"})


def monitors(engine: EngineUnderTest) -> dict[str, int]:
    """Container id → its conmon, on the host."""
    found = {}
    for pid in descendants(engine.pid("inner")):
        with contextlib.suppress(FileNotFoundError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"--full-attach" in words:
                found[words[words.index(b"--cid") + 1].decode()] = pid
    return found


def test_monitors_that_are_killed_end_their_containers_and_no_others(engine: EngineUnderTest) -> None:
    client = engine.client()
    pids = start_crowd(client)
    found = monitors(engine)
    assert found.keys() == pids.keys()
    victims = list(pids)[:4]
    for victim in victims[:2]:
        os.kill(found[victim], signal.SIGKILL)
    for victim in victims[:2]:
        assert client.containers.get(victim).wait()["StatusCode"] == 137
    # And two whose engine is killed with them: the next one finds them gone.
    before = engine.pid("engine")
    engine.kill("engine")
    for victim in victims[2:]:
        os.kill(found[victim], signal.SIGKILL)
    survive(engine, before)
    for victim in victims[2:]:
        assert client.containers.get(victim).wait()["StatusCode"] == 137
    for victim in victims:
        state = client.containers.get(victim).attrs["State"]
        assert "monitor" in state["Error"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 137)
    check_logs([client.containers.get(victim).logs() for victim in victims], [])
    others = {container: pid for container, pid in pids.items() if container not in victims}
    assert pids_of(client) == others
    # What was killed can be started again.
    client.containers.get(victims[0]).start()
    assert len(pids_of(client)) == CROWD - 3
    client.close()


def test_a_monitor_killed_before_its_start_is_recorded_ends_as_any_other(engine: EngineUnderTest) -> None:
    client = engine.client()
    client.images.pull("busybox")
    container = client.containers.create("busybox", ["sleep", "1000"])
    engine.arm("acted:container.start", "stop")
    thread = beside(container.start)
    pid = wait_until_stopped(engine)
    os.kill(monitors(engine)[container.id], signal.SIGKILL)
    os.kill(pid, signal.SIGCONT)
    thread.join(30)
    assert container.wait()["StatusCode"] == 137
    container.reload()
    assert "monitor" in container.attrs["State"]["Error"]
    container.start()
    container.reload()
    assert container.status == "running"
    client.close()


@pytest.mark.parametrize("role", ["outer", "inner"])
def test_the_end_of_the_sandbox_at_any_intent_is_told_and_repaired(engine: EngineUnderTest, role: str) -> None:
    points = [
        f"{moment}:{action}"
        for action in ("container.create", "container.start", "container.remove")
        for moment in ("recorded", "acted")
    ]
    client = engine.client()
    pids = start_crowd(client)
    for point in points:
        action = point.partition(":")[2]
        if action != "container.create":
            client.containers.create("busybox", ["sleep", "1000"], name="victim")
        engine.arm(point, "stop")
        at_work = engine.client()
        thread = beside(partial(act, action, at_work))
        wait_until_stopped(engine)
        engine.kill(role)
        wait_until(lambda: not engine.status()["running"], "nothing runs any more")
        thread.join(30)
        assert not thread.is_alive()
        at_work.close()
        engine.start()
        check_repaired(client, action)
    talkers = [client.containers.get(container) for container in pids]
    for talker in talkers:
        state: dict[str, Any] = talker.attrs["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 137)
        assert "its sandbox ended" in state["Error"]
    check_logs([talker.logs() for talker in talkers], [])
    assert sorted(os.listdir(engine.data / "containers")) == sorted(pids)
    client.close()


def check_repaired(client: docker.DockerClient, action: str) -> None:
    """After the start that follows: nothing of what was begun is left, and it can be done again."""
    match action:
        case "container.create":
            with pytest.raises(docker.errors.NotFound):
                client.containers.get("other")
            client.containers.create("busybox", ["true"], name="other").remove()
        case "container.start":
            victim = client.containers.get("victim")
            assert victim.status == "created"
            assert "killed while it started" in victim.attrs["State"]["Error"]
            victim.start()
            victim.remove(force=True)
        case "container.remove":
            with pytest.raises(docker.errors.NotFound):
                client.containers.get("victim")
