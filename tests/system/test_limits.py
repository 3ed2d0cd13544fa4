"""Limits and stats with real containers, on machines without cgroup controllers too."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.system.conftest import EngineUnderTest, wait_until

#: Grows by a megabyte at a time, up to about 200.
GROW = "x=0123456789abcdef; while [ ${#x} -lt 200000000 ]; do x=$x$x; sleep 0.05; done; sleep 1000"


def inspect(engine: EngineUnderTest, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.docker("inspect", name))[0]
    return found


def test_who_takes_more_memory_than_its_limit_is_killed_as_out_of_memory_and_its_neighbour_lives(
    engine: EngineUnderTest,
) -> None:
    engine.docker("pull", "-q", "busybox")
    engine.docker("run", "-d", "--name", "modest", "-m", "64m", "busybox", "sleep", "1000")
    engine.docker("run", "-d", "--name", "greedy", "-m", "32m", "busybox", "sh", "-c", GROW)
    assert engine.docker("wait", "greedy") == "137"
    state = inspect(engine, "greedy")["State"]
    assert (state["Status"], state["OOMKilled"], state["ExitCode"]) == ("exited", True, 137)
    assert inspect(engine, "modest")["State"]["Running"]
    past = engine.docker(
        "events", "--since=1h", "--until=-1s", "--filter", "container=greedy", "--format", "{{.Action}}"
    )
    assert past.split()[-2:] == ["oom", "die"]


def test_a_limit_outlives_its_engine_and_an_update_lowers_it_while_it_runs(engine: EngineUnderTest) -> None:
    engine.docker("pull", "-q", "busybox")
    script = f"until [ -e /go ]; do sleep 0.05; done; {GROW}"
    for name in ("adopted", "updated"):
        engine.docker("run", "-d", "--name", name, "-m", "1g", "busybox", "sh", "-c", script)
    engine.kill("engine")
    engine.docker("update", "-m", "40m", "adopted", "updated")
    engine.kill("engine")
    engine.docker("exec", "adopted", "touch", "/go")
    assert engine.docker("wait", "adopted") == "137"
    assert inspect(engine, "adopted")["State"]["OOMKilled"]
    assert inspect(engine, "updated")["HostConfig"]["Memory"] == 40 << 20
    assert inspect(engine, "updated")["State"]["Running"]


def test_processors_are_kept_by_affinity_from_the_first_process_to_execs_and_changed_by_an_update(
    engine: EngineUnderTest,
) -> None:
    engine.docker("pull", "-q", "busybox")
    processors = sorted(os.sched_getaffinity(0))
    last = str(processors[-1])
    held = "grep Cpus_allowed_list /proc/self/status"
    shown = engine.docker("run", "--rm", "--cpuset-cpus", last, "busybox", "sh", "-c", held)
    assert shown.split()[-1] == last
    engine.docker("run", "-d", "--name", "web", "--cpus", "0.5", "busybox", "sleep", "1000")
    assert engine.docker("exec", "web", "sh", "-c", held).split()[-1] in [str(number) for number in processors]
    first = str(processors[0])
    engine.docker("update", "--cpuset-cpus", first, "web")
    assert engine.docker("exec", "web", "sh", "-c", f"{held}; {held.replace('self', '1')}").split()[1::2] == [first] * 2


def test_stats_show_processor_memory_network_and_processes(engine: EngineUnderTest) -> None:
    client = engine.client()
    client.images.pull("busybox")
    script = "while :; do :; done & exec sleep 1000"
    busy = client.containers.run("busybox", ["sh", "-c", script], name="busy", detach=True, mem_limit="64m")
    wait_until(lambda: busy.stats(stream=False)["cpu_stats"]["cpu_usage"]["total_usage"] > 0, "it used a processor")
    stream = busy.stats(stream=True, decode=True)
    shots = [next(stream) for _ in range(3)]
    totals = [shot["cpu_stats"]["cpu_usage"]["total_usage"] for shot in shots]
    assert totals == sorted(totals)
    assert totals[-1] > totals[0]
    assert shots[1]["precpu_stats"] == shots[0]["cpu_stats"]
    last = shots[-1]
    assert (last["name"], last["id"], last["memory_stats"]["limit"]) == ("/busy", busy.id, 64 << 20)
    assert 0 < last["memory_stats"]["usage"] < 64 << 20
    assert last["pids_stats"]["current"] == 2
    assert last["networks"]["eth0"]["tx_bytes"] >= 0
    once = client.api.stats(busy.id, stream=False, one_shot=True)
    assert once["precpu_stats"]["cpu_usage"]["total_usage"] == 0
    busy.stop(timeout=0)
    after = client.api.stats(busy.id, stream=False, one_shot=True)
    assert (after["read"], after["memory_stats"], after["networks"]) == ("0001-01-01T00:00:00Z", {}, {})
    busy.remove()
    # The stream ends with its container.
    assert all(shot["name"] == "/busy" for shot in stream)
    client.close()
