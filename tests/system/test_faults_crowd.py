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

from labdock.store.intents import Action
from tests.system.conftest import EngineUnderTest, wait_until
from tests.system.faults import POINTS, ROWS, Row, check_same, check_settled, tidy, traces
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


class Deaths:
    """Has the engine killed in the middle of requests, and the next one answer.

    An engine that lived for a second died no quick death: of those there may be four in a row.
    """

    def __init__(self, engine: EngineUnderTest) -> None:
        self._engine = engine
        self._number = 0
        self._since = 0.0

    def die(self, request: Callable[[docker.DockerClient], object], before_death: Callable[[], object]) -> None:
        self._number += 1
        if self._number % 3 == 0:
            time.sleep(max(0.0, self._since + 1.2 - time.monotonic()))
        before = self._engine.pid("engine")
        at_work = self._engine.client()
        thread = beside(lambda: request(at_work))
        before_death()
        survive(self._engine, before)
        self._since = time.monotonic()
        thread.join(30)
        assert not thread.is_alive()
        at_work.close()


def test_every_intent_has_its_row_in_the_table_of_faults() -> None:
    assert sorted(row.action for row in ROWS) == sorted(Action)


@pytest.mark.limit(300)
def test_twenty_containers_run_and_log_on_while_the_engine_is_killed_at_every_intent(engine: EngineUnderTest) -> None:
    client = engine.client()
    pids = start_crowd(client)
    assert len(pids) == CROWD
    deaths = Deaths(engine)
    for row, point in POINTS:
        before = traces(engine)
        row.prepare(client)
        engine.arm(point)
        deaths.die(row.act, lambda: None)
        assert not engine.is_armed(point)
        assert pids_of(client) == pids
        row.check(client, point.partition(":")[0])
        tidy(client)
        check_same(engine, before, point)

    stubborn = client.containers.run("busybox", ["sh", "-c", STUBBORN], name="stubborn", detach=True)
    wait_until(lambda: b"ready" in stubborn.logs(), "the stubborn one listens")

    def asked(times: int) -> Callable[[], None]:
        def kill() -> None:
            wait_until(lambda: log_of(client, "stubborn").count(b"asked") == times, "it was asked to end")
            engine.kill("engine")

        return kill

    deaths.die(lambda at_work: at_work.containers.get("stubborn").stop(timeout=60), asked(1))
    deaths.die(lambda at_work: at_work.containers.get("stubborn").restart(timeout=60), asked(2))

    def executing() -> None:
        wait_until(lambda: client.containers.get("stubborn").attrs["ExecIDs"], "its exec runs")
        engine.kill("engine")

    deaths.die(lambda at_work: at_work.containers.get("stubborn").exec_run(["sleep", "60"]), executing)
    stubborn.reload()
    assert stubborn.status == "running"
    assert not stubborn.attrs["ExecIDs"]
    stubborn.stop(timeout=0)
    assert stubborn.wait()["StatusCode"] == 137
    assert pids_of(client) == pids

    talkers = [client.containers.get(container) for container in pids]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda container: container.stop(timeout=30), talkers))
        ended = list(pool.map(lambda container: container.wait()["StatusCode"], talkers))
        logs = list(pool.map(lambda container: container.logs(), talkers))
    assert ended == [7] * CROWD
    check_logs(logs, ["bye"])
    client.close()
    engine.stop()
    check_settled(engine)
    engine.start()


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


@pytest.mark.limit(300)
def test_monitors_killed_at_every_intent_end_their_containers_and_no_others(engine: EngineUnderTest) -> None:
    client = engine.client()
    pids = start_crowd(client)
    running = engine.pid("engine")
    for row, point in POINTS:
        before = traces(engine)
        row.prepare(client)
        bystander = client.containers.run("busybox", ["sleep", "1000"], name="bystander", detach=True)
        dying = [bystander]
        engine.arm(point, "stop")
        at_work = engine.client()
        thread = beside(partial(row.act, at_work))
        pid = wait_until_stopped(engine)
        try:
            found = monitors(engine)
            # The victim's own too: of a start, it is there once the container is made.
            for container in found.keys() - pids.keys():
                os.kill(found[container], signal.SIGKILL)
        finally:
            os.kill(pid, signal.SIGCONT)
        thread.join(30)
        assert not thread.is_alive()
        at_work.close()
        if row.monitored or point == f"acted:{Action.CONTAINER_START}":
            dying.append(client.containers.get("victim"))
        assert len(found) == CROWD + len(dying)
        for container in dying:
            assert container.wait()["StatusCode"] == 137
            state = client.containers.get(container.id).attrs["State"]
            assert (state["Status"], state["ExitCode"]) == ("exited", 137)
            assert "monitor" in state["Error"]
            container.start()
        assert pids_of(client) == pids
        bystander.remove(force=True)
        tidy(client)
        check_same(engine, before, point)
    assert engine.pid("engine") == running
    client.close()


@pytest.mark.limit(300)
@pytest.mark.parametrize(
    ("role", "points"),
    [
        pytest.param("outer", POINTS, id="outer"),
        pytest.param("inner", [one for one in POINTS if one[0].action == Action.CONTAINER_START], id="inner"),
    ],
)
def test_the_end_of_the_sandbox_at_any_intent_is_told_and_repaired(
    engine: EngineUnderTest, role: str, points: list[tuple[Row, str]]
) -> None:
    client = engine.client()
    pids = start_crowd(client)
    # What a store's first sandbox makes on its way is there at every later one.
    before = None
    for row, point in points:
        row.prepare(client)
        engine.arm(point, "stop")
        at_work = engine.client()
        thread = beside(partial(row.act, at_work))
        wait_until_stopped(engine)
        engine.kill(role)
        wait_until(lambda: not engine.status()["running"], "nothing runs any more")
        thread.join(30)
        assert not thread.is_alive()
        at_work.close()
        engine.start()
        row.check(client, point.partition(":")[0])
        tidy(client)
        before = before or traces(engine)
        check_same(engine, before, point)
    assert before is not None and before["box"] == set() and before["containers"] == pids.keys()
    talkers = [client.containers.get(container) for container in pids]
    for talker in talkers:
        state: dict[str, Any] = talker.attrs["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 137)
        assert "its sandbox ended" in state["Error"]
    check_logs([talker.logs() for talker in talkers], [])
    client.close()
    engine.stop()
    check_settled(engine)
    engine.start()
