"""Limits that the kernel keeps, where systemd hands its controllers to users: run by `make vm`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import stores
from tests.system.conftest import EngineUnderTest, short_folder, wait_until

pytestmark = [pytest.mark.vm, pytest.mark.limit(600)]

MIB = 1 << 20


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineUnderTest]:
    """One for all: a start takes long where processors are emulated."""
    root = short_folder()
    found = EngineUnderTest(root)
    found.start()
    found.docker("pull", "-q", "busybox")
    yield found
    if ids := found.docker("ps", "-aq", check=False).split():
        found.docker("rm", "-f", *ids, check=False)
    found.stop()
    stores.remove(root)


def inspect(engine: EngineUnderTest, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.docker("inspect", name))[0]
    return found


def box(engine: EngineUnderTest) -> Path:
    """The sandbox's group, as the host sees it."""
    line = Path(f"/proc/{engine.pid('inner')}/cgroup").read_text().strip()
    return Path("/sys/fs/cgroup" + line.removeprefix("0::")).parent


def group(engine: EngineUnderTest, name: str) -> Path:
    return box(engine) / "containers" / str(inspect(engine, name)["Id"])


def test_the_engine_asks_systemd_for_its_own_part_of_the_tree_and_says_so(engine: EngineUnderTest) -> None:
    info = json.loads(engine.docker("info", "--format", "{{json .}}"))
    names = "MemoryLimit SwapLimit CpuCfsPeriod CpuCfsQuota CPUShares CPUSet PidsLimit".split()
    assert [info[name] for name in names] == [True] * 7
    assert (info["CgroupDriver"], info["CgroupVersion"]) == ("cgroupfs", "2")
    assert box(engine).parent.name.endswith(".scope")
    assert (box(engine).parent / "cgroup.procs").read_text() == ""
    doctor = subprocess.run([sys.executable, "-m", "labdock.host.doctor"], capture_output=True, text=True, check=True)
    assert "a scope of systemd's: cpuset cpu io memory pids" in doctor.stdout
    assert "kept by watching" not in doctor.stdout


def test_each_limit_is_in_the_group_before_the_program_runs_and_the_program_sees_its_own(
    engine: EngineUnderTest,
) -> None:
    disk = next(f"/dev/{name}" for name in sorted(os.listdir("/sys/block")) if name.startswith("vd"))
    files = "memory.max memory.swap.max memory.low cpu.max cpu.weight cpuset.cpus pids.max io.max".split()
    done = subprocess.run(
        [
            *("docker", "run", "--rm", "-m", "64m", "--memory-swap", "96m", "--memory-reservation", "32m"),
            *("--cpus", "0.5", "--cpu-shares", "512", "--cpuset-cpus", "1", "--pids-limit", "50"),
            *("--device-read-bps", f"{disk}:1mb", "--device-write-iops", f"{disk}:100", "busybox"),
            *("sh", "-c", f"cd /sys/fs/cgroup; cat {' '.join(files)}; cat /proc/self/cgroup"),
        ],
        env=engine.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    *shown, throttle, own = done.stdout.splitlines()
    assert (done.returncode, done.stderr, own) == (0, "", "0::/")
    assert shown == [str(64 * MIB), str(32 * MIB), str(32 * MIB), "50000 100000", "20", "1", "50"]
    assert throttle.split()[1:] == [f"rbps={MIB}", "wbps=max", "riops=max", "wiops=100"]


def test_who_takes_more_memory_than_its_limit_is_killed_by_the_kernel_and_its_neighbour_lives(
    engine: EngineUnderTest,
) -> None:
    grow = "x=0123456789abcdef; while :; do x=$x$x; done"
    engine.docker("run", "-d", "--name", "modest", "-m", "64m", "busybox", "sleep", "10000")
    engine.docker("run", "-d", "--name", "greedy", "-m", "32m", "--memory-swap", "32m", "busybox", "sh", "-c", grow)
    assert engine.docker("wait", "greedy") == "137"
    state = inspect(engine, "greedy")["State"]
    assert (state["Status"], state["OOMKilled"], state["ExitCode"]) == ("exited", True, 137)
    assert inspect(engine, "modest")["State"]["Running"]
    assert actions(engine, "greedy")[-2:] == ["oom", "die"]
    engine.docker("rm", "-f", "modest", "greedy")


def test_a_process_that_the_kernel_kills_in_a_container_that_goes_on_is_told_when_it_happens(
    engine: EngineUnderTest,
) -> None:
    script = "until (x=0123456789abcdef; while :; do x=$x$x; done); [ $? = 137 ]; do :; done; sleep 10000"
    engine.docker("run", "-d", "--name", "lives", "-m", "32m", "--memory-swap", "32m", "busybox", "sh", "-c", script)
    wait_until(lambda: "oom" in actions(engine, "lives"), "an oom event while it runs", 200)
    assert inspect(engine, "lives")["State"]["Running"]
    engine.docker("rm", "-f", "lives")


def actions(engine: EngineUnderTest, name: str) -> list[str]:
    arguments = ("--since=1h", "--until=-1s", "--filter", f"container={name}", "--format", "{{.Action}}")
    return engine.docker("events", *arguments).split()


def test_half_a_processor_is_half_a_processor(engine: EngineUnderTest) -> None:
    engine.docker("run", "-d", "--name", "busy", "--cpus", "0.5", "busybox", "sh", "-c", "while :; do :; done")
    counted = group(engine, "busy") / "cpu.stat"

    def numbers() -> dict[str, int]:
        return {key: int(value) for key, value in (line.split() for line in counted.read_text().splitlines())}

    wait_until(lambda: numbers()["nr_periods"] >= 20, "twenty periods", 200)
    found = numbers()
    assert found["nr_throttled"] > 0
    # 50 ms in each period of 100 ms, and the slice that a processor hands out at once.
    assert found["usage_usec"] <= (found["nr_periods"] + 2) * 60_000
    stats = engine.client().containers.get("busy").stats(stream=False)
    assert stats["cpu_stats"]["throttling_data"]["throttled_periods"] > 0
    engine.docker("rm", "-f", "busy")


def test_a_fork_bomb_stops_at_its_limit(engine: EngineUnderTest) -> None:
    bomb = "while :; do sleep 10000 & done"
    engine.docker("run", "-d", "--name", "held", "--pids-limit", "20", "busybox", "sleep", "10000")
    assert engine.client().api.stats("held", stream=False, one_shot=True)["pids_stats"] == {"current": 1, "limit": 20}
    engine.docker("exec", "held", "sh", "-c", bomb, check=False)
    assert int((group(engine, "held") / "pids.events").read_text().split()[1]) > 0
    engine.docker("rm", "-f", "held")


def test_an_update_reaches_a_running_container_and_its_execs_are_in_its_group(engine: EngineUnderTest) -> None:
    engine.docker("run", "-d", "--name", "web", "-m", "64m", "busybox", "sleep", "10000")
    assert engine.docker("update", "-m", "48m", "--memory-swap", "48m", "--cpus", "0.25", "web") == "web"
    shown = engine.docker("exec", "web", "sh", "-c", "cd /sys/fs/cgroup; cat memory.max cpu.max /proc/self/cgroup")
    assert shown.splitlines() == [str(48 * MIB), "25000 100000", "0::/"]
    engine.docker("rm", "-f", "web")


def test_pausing_freezes_and_the_program_notices_nothing(engine: EngineUnderTest) -> None:
    engine.docker("run", "-d", "--name", "cold", "busybox", "sh", "-c", "while :; do sleep 1; done")
    events = group(engine, "cold") / "cgroup.events"
    engine.docker("pause", "cold")
    assert "frozen 1" in events.read_text()
    engine.kill("engine")
    assert inspect(engine, "cold")["State"]["Status"] == "paused"
    engine.docker("unpause", "cold")
    wait_until(lambda: "frozen 0" in events.read_text(), "it goes on")
    engine.docker("pause", "cold")
    engine.docker("rm", "-f", "cold")
    assert not events.exists()


def test_groups_outlive_their_engine_and_end_with_their_containers(engine: EngineUnderTest) -> None:
    engine.docker("run", "-d", "--name", "stays", "-m", "32m", "--memory-swap", "32m", "busybox", "sleep", "10000")
    folder = group(engine, "stays")
    engine.kill("engine")
    engine.docker("exec", "stays", "true")
    assert (folder / "memory.max").read_text().strip() == str(32 * MIB)
    engine.docker("exec", "stays", "sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done", check=False)
    wait_until(lambda: "oom" in actions(engine, "stays"), "the next engine tells of it", 200)
    engine.docker("rm", "-f", "stays")
    assert not folder.exists()
    # (A removal is announced first and cleaned after.)
    wait_until(lambda: not [entry for entry in folder.parent.iterdir() if entry.is_dir()], "no group is left")


def test_what_the_group_counts_is_what_stats_show(engine: EngineUnderTest) -> None:
    script = "dd if=/dev/zero of=/file bs=1M count=8 conv=fsync 2>/dev/null; exec sleep 10000"
    engine.docker("run", "-d", "--name", "counted", "-m", "64m", "busybox", "sh", "-c", script)
    api = engine.client().api
    # (What overlay writes is counted for who dirtied it, once it is on the disk.)
    wait_until(lambda: disk(api.stats("counted", stream=False, one_shot=True)) >= 8 * MIB, "the write is counted", 200)
    shown = api.stats("counted", stream=False, one_shot=True)
    folder = group(engine, "counted")
    assert shown["memory_stats"]["limit"] == 64 * MIB
    assert 0 < shown["memory_stats"]["usage"] <= 64 * MIB
    assert shown["memory_stats"]["stats"].keys() == {
        line.split()[0] for line in (folder / "memory.stat").read_text().splitlines()
    }
    assert shown["pids_stats"]["current"] == 1
    engine.docker("rm", "-f", "counted")


def disk(shown: dict[str, Any]) -> int:
    entries = shown["blkio_stats"]["io_service_bytes_recursive"] or []
    return sum(entry["value"] for entry in entries if entry["op"] == "write")


def test_no_engine_leaves_a_scope_behind() -> None:
    root = short_folder()
    short = EngineUnderTest(root)
    short.start()
    scope = box(short).parent
    assert scope.exists()
    short.stop()
    wait_until(lambda: not scope.exists(), "systemd has removed the scope")
    stores.remove(root)
