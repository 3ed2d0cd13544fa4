"""Health checks and restart policies with real containers, over deaths and starts of the engine."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.conftest import EngineUnderTest, wait_until

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect docker-py's sockets where their warnings are expected."""
    yield
    gc.collect()


def state_of(engine: EngineUnderTest, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.docker("inspect", "-f", "{{json .State}}", name))
    return found


def health_of(engine: EngineUnderTest, name: str) -> str:
    return str(state_of(engine, name)["Health"]["Status"])


def test_a_container_becomes_healthy_then_unhealthy_and_stays_so_over_a_death_of_the_engine(
    engine: EngineUnderTest,
) -> None:
    engine.docker("pull", "-q", "busybox")
    engine.docker(
        *("run", "-d", "--name", "web", "--health-cmd", "echo looked as $(id -u) in $(pwd); test -e /tmp/ok"),
        *("--health-interval", "100ms", "--health-retries", "2", "--user", "1000", "-w", "/tmp"),
        *("busybox", "sh", "-c", "touch /tmp/ok; sleep 1000"),
    )
    wait_until(lambda: health_of(engine, "web") == "healthy", "it is healthy")
    last = state_of(engine, "web")["Health"]["Log"][-1]
    assert (last["ExitCode"], last["Output"]) == (0, "looked as 1000 in /tmp\n")
    assert engine.docker("ps", "--filter", "health=healthy", "--format", "{{.Names}}|{{.Status}}").endswith("(healthy)")
    engine.docker("exec", "web", "rm", "/tmp/ok")
    wait_until(lambda: health_of(engine, "web") == "unhealthy", "it is unhealthy")
    engine.kill("engine")
    assert health_of(engine, "web") == "unhealthy"
    assert state_of(engine, "web")["Health"]["FailingStreak"] >= 2
    engine.docker("exec", "web", "touch", "/tmp/ok")
    wait_until(lambda: health_of(engine, "web") == "healthy", "the new engine goes on checking")
    # In the future: the docker CLI cuts times to whole seconds.
    events = engine.docker("events", "--since=1h", "--until=-1s", "--filter", "event=health_status")
    assert "health_status: healthy" in events


def test_a_restart_policy_survives_the_engine_and_a_stop_by_hand_ends_it(engine: EngineUnderTest) -> None:
    client = engine.client()
    client.images.pull("busybox")
    command = ["sh", "-c", "echo run >> /data/runs; exit 1"]
    volumes = ["runs:/data"]
    loop = client.containers.run(
        "busybox", command, name="loop", detach=True, restart_policy={"Name": "always"}, volumes=volumes
    )
    wait_until(lambda: state_of(engine, "loop")["Restarting"], "it waits for its next start")
    engine.kill("engine")
    before = int(engine.docker("inspect", "-f", "{{.RestartCount}}", "loop"))
    wait_until(
        lambda: int(engine.docker("inspect", "-f", "{{.RestartCount}}", "loop")) > before, "it is started further"
    )
    loop.stop()
    stopped = state_of(engine, "loop")
    assert (stopped["Status"], stopped["Restarting"], stopped["ExitCode"]) == ("exited", False, 1)
    client.close()


@pytest.mark.parametrize("point", ["recorded:container.start", "acted:container.start"])
def test_a_restart_in_whose_middle_the_engine_is_killed_is_done_by_the_next(
    engine: EngineUnderTest, point: str
) -> None:
    engine.docker("pull", "-q", "busybox")
    script = "test -e /data/second && exec sleep 1000; touch /data/second; until [ -e /data/go ]; do sleep 0.05; done"
    mounts = ("-v", "shared:/data")
    engine.docker("run", "-d", "--name", "back", "--restart", "always", *mounts, "busybox", "sh", "-c", script)
    engine.arm(point)
    engine.docker("exec", "back", "touch", "/data/go")
    wait_until(lambda: not engine.is_armed(point), "the engine died while it started the container again")
    wait_until(lambda: state_of(engine, "back")["Status"] == "running", "the next engine has started it")
    wait_until(lambda: engine.docker("exec", "back", "cat", "/proc/1/cmdline").startswith("sleep"), "it came that far")


def test_a_new_engine_starts_what_its_policy_says(engine: EngineUnderTest) -> None:
    engine.docker("pull", "-q", "busybox")
    for name, policy in (
        ("always", "always"), ("stopped", "unless-stopped"), ("unless", "unless-stopped"), ("failure", "on-failure"),
        ("hand", "always"), ("none", "no"),
    ):  # fmt: skip
        engine.docker("run", "-d", "--init", "--name", name, "--restart", policy, "busybox", "sleep", "1000")
    engine.docker("create", "--name", "fresh", "--restart", "always", "busybox", "true")
    engine.docker("stop", "stopped", "hand")
    engine.stop()
    engine.start()

    def running() -> list[str]:
        return sorted(engine.docker("ps", "--format", "{{.Names}}").split())

    wait_until(lambda: running() == ["always", "hand", "unless"], "always and unless-stopped run again")
    shown = engine.docker("ps", "-a", "--format", "{{.Names}}:{{.State}}").split()
    assert {"stopped:exited", "failure:exited", "none:exited", "fresh:created"} <= set(shown)


def test_an_engine_with_a_running_container_is_not_idle_and_one_without_is(engine: EngineUnderTest) -> None:
    engine.stop()
    engine.environment["LABDOCK_IDLE_STOP"] = "0.5"
    engine.start()
    engine.docker("pull", "-q", "busybox")
    engine.docker("run", "-d", "--name", "worker", "busybox", "sleep", "2.5")
    wait_until(lambda: not engine.status()["running"], "the engine has ended by itself", 60)
    engine.environment["LABDOCK_IDLE_STOP"] = "0"
    engine.start()
    found = state_of(engine, "worker")
    assert (found["Status"], found["ExitCode"], found["Error"]) == ("exited", 0, ""), "it ended before its engine"
