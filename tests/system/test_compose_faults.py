"""``compose up`` killed, interrupted, or waiting in vain: nothing hangs, and the next ``up`` puts all of it right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import EngineUnderTest, wait_until
from .test_compose import INTERRUPTIBLE, called, folder, labdock

__all__ = ["folder"]

#: Two networks and a secret: it takes several requests to make one.
FILE = """
services:
  web:
    image: busybox:latest
    command: sleep 1000
    init: true
    stop_signal: SIGKILL
    environment: {VERSION: "1"}
    volumes: [/kept]
    networks: [one, two]
    secrets: [word]
  other: {image: "busybox:latest", command: sleep 1000, init: true, stop_signal: SIGKILL, network_mode: "service:web"}
networks: {one: , two: }
secrets: {word: {environment: WORD}}
"""
COMMAND = [str(Path(sys.executable).with_name("labdock")), "compose", "up", "-d"]


def state(engine: EngineUnderTest) -> dict[str, tuple[str, str, list[str]]]:
    """The containers by name: state, version, networks."""
    found = {}
    for id in engine.docker("ps", "-aq").split():
        data = json.loads(engine.docker("inspect", id))[0]
        version = next((text for text in data["Config"]["Env"] if text.startswith("VERSION")), "")
        networks = sorted(data["NetworkSettings"]["Networks"])
        found[data["Name"].lstrip("/")] = (data["State"]["Status"], version, networks)
    return found


def kill_up(engine: EngineUnderTest, folder: Path, point: str) -> None:
    engine.arm(f"compose:{point}")
    called(engine, folder, COMMAND, -signal.SIGKILL)
    assert not engine.is_armed(f"compose:{point}")


def check_whole(engine: EngineUnderTest, folder: Path, version: str) -> None:
    labdock(engine, folder, "up", "-d")
    networks = ["shop_one", "shop_two"]
    found = state(engine)
    assert found.pop("shop-other-1")[0] == "running"
    assert found == {"shop-web-1": ("running", f"VERSION={version}", networks)}
    assert labdock(engine, folder, "exec", "-T", "web", "cat", "/run/secrets/word") == "from the environment\n"
    # The other lives in the web's network, the one that is there now.
    seen = [labdock(engine, folder, "exec", "-T", name, "hostname", "-i") for name in ("web", "other")]
    assert seen[0] == seen[1]
    said = labdock(engine, folder, "up", "-d")
    assert said.count("Running") == 2 and "ecreated" not in said


def test_an_up_that_is_killed_at_any_step_is_put_right_by_the_next(engine: EngineUnderTest, folder: Path) -> None:
    engine.docker("pull", "busybox:latest")
    file = folder / "compose.yaml"
    file.write_text(FILE)
    for point in ("created", "filled"):
        kill_up(engine, folder, point)
        assert list(state(engine)) == ["000000000000_shop-web-1"]
    check_whole(engine, folder, "1")
    assert engine.docker("volume", "ls", "-q").count("\n") == 0, "what was never whole left no volume"
    labdock(engine, folder, "exec", "-T", "web", "sh", "-c", "echo data > /kept/it")
    for number, point in enumerate(("created", "filled", "made", "stopped", "removed", "renamed"), 2):
        file.write_text(FILE.replace('"1"', f'"{number}"'))
        kill_up(engine, folder, point)
        check_whole(engine, folder, str(number))
        assert labdock(engine, folder, "exec", "-T", "web", "cat", "/kept/it") == "data\n", point
    labdock(engine, folder, "down", "-v")
    assert state(engine) == {}


def test_what_docker_compose_put_aside_gets_its_name_back(engine: EngineUnderTest, folder: Path) -> None:
    engine.docker("pull", "busybox:latest")
    (folder / "compose.yaml").write_text(FILE)
    labdock(engine, folder, "up", "-d", "web")
    id = engine.docker("inspect", "-f", "{{.Id}}", "shop-web-1")
    engine.docker("stop", id)
    engine.docker("rename", id, f"{id[:12]}_shop-web-1")
    labdock(engine, folder, "up", "-d", "web")
    assert engine.docker("inspect", "-f", "{{.Id}} {{.State.Status}}", "shop-web-1") == f"{id} running"


def test_a_replacement_that_cannot_be_made_leaves_the_old_one_running(engine: EngineUnderTest, folder: Path) -> None:
    engine.docker("pull", "busybox:latest")
    (folder / "compose.yaml").write_text(FILE)
    labdock(engine, folder, "up", "-d", "web")
    before = state(engine)
    (folder / "compose.yaml").write_text(FILE.replace('"1"', '"2"').replace("init: true", "cpuset: '77'"))
    assert "Error" in labdock(engine, folder, "up", "-d", "web", code=1)
    assert state(engine) == before


WAITING = """
services:
  base: {{image: "busybox:latest", command: {command}, init: true, stop_signal: SIGKILL, healthcheck: {check}}}
  side: {{image: "busybox:latest", command: sleep 1000, init: true, stop_signal: SIGKILL}}
  top: {{image: "busybox:latest", command: "true", depends_on: {{base: {{condition: service_healthy}}}}}}
"""


@pytest.mark.parametrize(
    ("command", "check", "words", "said"),
    [
        ("sh -c 'exit 3'", "{test: 'false', interval: 1h}", (), "container shop-base-1 exited (3)"),
        ("sleep 1000", "{test: 'false', interval: 50ms, retries: 1}", (), "container shop-base-1 is unhealthy"),
        ("sleep 1000", "{disable: true}", (), "container shop-base-1 has no healthcheck configured"),
        ("sleep 1000", "{test: 'false', interval: 1h}", ("--wait-timeout", "1"), "timeout waiting for dependencies"),
    ],
)
def test_a_dependency_that_will_not_be_ready_ends_up(
    engine: EngineUnderTest, folder: Path, command: str, check: str, words: tuple[str, ...], said: str
) -> None:
    engine.docker("pull", "busybox:latest")
    (folder / "compose.yaml").write_text(WAITING.format(command=command, check=check))
    found = labdock(engine, folder, "up", "-d", *words, code=1)
    assert said in found
    assert ("dependency failed to start: " in found) != bool(words)
    assert state(engine)["shop-side-1"][0] == "running" and "shop-top-1" not in state(engine)


def test_an_interrupted_up_ends_and_leaves_nothing_half_made(engine: EngineUnderTest, folder: Path) -> None:
    engine.docker("pull", "busybox:latest")
    (folder / "compose.yaml").write_text(
        WAITING.format(command="sleep 1000", check="{test: 'false', interval: 1h, start_period: 1h}")
    )
    up = subprocess.Popen(
        [*INTERRUPTIBLE, *COMMAND], env=engine.environment, cwd=folder, stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: len(state(engine)) == 2, "what top waits for runs")
    os.kill(up.pid, signal.SIGINT)
    _, said = up.communicate(timeout=60)
    assert up.returncode == 130 and "Traceback" not in said
    assert {name: each[0] for name, each in state(engine).items()} == {
        "shop-base-1": "running",
        "shop-side-1": "running",
    }
