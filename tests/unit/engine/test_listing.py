"""Which containers ``ps`` and ``container prune`` choose, and which columns ``top`` shows."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest

from labdock.engine import filters, processes
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord, HealthState, MountPoint
from labdock.errors import InvalidRequest, SystemFailure
from labdock.schema.container import ContainerConfig, HostConfig, PortBinding


def record(status: Status = Status.EXITED, **state: Any) -> ContainerRecord:
    found = ContainerRecord(
        id="ab12" * 16,
        name="web_1",
        created=1,
        image="i",
        image_id="s",
        config=ContainerConfig(labels={"team": "red", "empty": ""}, exposed_ports={"80/tcp": {}, "53/udp": {}}),
        host=HostConfig(port_bindings={"8080": (PortBinding(),), "9000/udp": None}),
        args=("sh",),
        network="lan",
        mounts=(MountPoint(type="volume", source="", target="/data", volume="data"),),
    )
    return found.evolve(status=status, **state)


@pytest.mark.parametrize(
    ("name", "value", "passes"),
    [
        ("id", "ab12", True), ("id", "2ab1", True), ("id", "^b", False),
        ("name", "web", True), ("name", "^/web_1$", True), ("name", "^eb", False),
        ("status", "exited", True), ("status", "running", False),
        ("exited", "0", True), ("exited", "1", False),
        ("label", "team", True), ("label", "team=red", True), ("label", "team=blue", False), ("label", "none", False),
        ("label!", "team=blue", True), ("label!", "team", False),
        ("network", "lan", True), ("network", "wan", False),
        ("volume", "data", True), ("volume", "/data", True), ("volume", "other", False),
        ("publish", "8080", True), ("publish", "8080/udp", False), ("publish", "9000/udp", True),
        ("publish", "80", False), ("publish", "8000-8100", True), ("publish", "8081-8100/tcp", False),
        ("expose", "80", True), ("expose", "53/udp", True), ("expose", "53", False), ("expose", "50-90/tcp", True),
        ("health", "none", True), ("health", "healthy", False),
        ("is-task", "false", True), ("is-task", "true", False),
    ],
)  # fmt: skip
def test_a_filter_chooses(name: str, value: str, passes: bool) -> None:
    filters.check({name: [value]})
    assert filters.passes(record(started=1), {name: [value]}) is passes


def test_values_of_one_filter_are_alternatives_and_filters_add_up() -> None:
    assert filters.passes(record(started=1), {"name": ["nope", "web"], "exited": ["3", "0"]})
    assert not filters.passes(record(started=1), {"name": ["web"], "exited": ["3"]})


def test_exited_means_an_end_after_a_start_and_health_is_that_of_now() -> None:
    assert not filters.passes(record(Status.CREATED, exit_code=127), {"exited": ["127"]})
    assert not filters.passes(record(Status.RUNNING, started=1), {"exited": ["0"]})
    healthy = record(Status.RUNNING, health=HealthState(status="healthy"))
    assert filters.passes(healthy, {"health": ["healthy"]})
    assert not filters.passes(healthy, {"health": ["none"]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("what", "x"), ("status", "asleep"), ("exited", "many"), ("exited", "--1"), ("is-task", "perhaps"),
        ("health", "fine"), ("publish", "http"), ("publish", "90-80"), ("expose", "70000"), ("expose", "1-"),
    ],
)  # fmt: skip
def test_a_filter_that_is_none_is_refused_in_dockers_words(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match=f"invalid filter '{name}"):
        filters.check({name: [value]})


def test_prune_knows_until_and_labels_only() -> None:
    filters.check_prune({"until": ["1h"], "label": ["a"], "label!": ["b"]})
    with pytest.raises(InvalidRequest, match="invalid filter 'name'"):
        filters.check_prune({"name": ["x"]})
    with pytest.raises(InvalidRequest, match="more than one until filter specified"):
        filters.check_prune({"until": ["1h", "2h"]})
    with pytest.raises(InvalidRequest, match="invalid filter 'until=soon'"):
        filters.read_moment("soon")


@pytest.mark.parametrize(
    ("arguments", "titles"),
    [
        ("", "PID TTY TIME CMD"),
        ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
        ("-e -f", "UID PID PPID C STIME TTY TIME CMD"),
        ("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("waux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("-aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("ax", "PID TTY STAT TIME COMMAND"),
        ("axj", "PPID PID PGID SID TTY TPGID STAT UID TIME COMMAND"),
        ("-eF", "UID PID PPID C SZ RSS PSR STIME TTY TIME CMD"),
        ("-o pid,comm", "PID COMM"),
        ("-eo pid -o pcpu,args", "PID %CPU ARGS"),
        ("-opid", "PID"),
        ("axo pid,user=WHO", "PID WHO"),
        ("--format=pid,nlwp --forest", "PID NLWP"),
    ],
)
def test_ps_options_mean_columns(arguments: str, titles: str) -> None:
    shown = processes.list_processes([os.getpid()], arguments)
    assert shown["Titles"] == titles.split()
    assert len(shown["Processes"]) == 1
    row = dict(zip(shown["Titles"], shown["Processes"][0], strict=True))
    assert row["PID"] == str(os.getpid())
    assert all(isinstance(value, str) and value for value in row.values())


@pytest.mark.parametrize("arguments", ["-o", "-o nope", "-Q", "--nope", "-ef; reboot", "$(id)"])
def test_ps_options_that_are_none_are_refused(arguments: str) -> None:
    with pytest.raises(InvalidRequest):
        processes.list_processes([os.getpid()], arguments)


def test_columns_without_the_pid_are_refused_in_dockers_words() -> None:
    with pytest.raises(SystemFailure, match="Couldn't find PID field in ps output"):
        processes.list_processes([os.getpid()], "-o comm")


def test_what_has_ended_is_left_out() -> None:
    assert processes.list_processes([2**22 - 1, os.getpid()], "-o pid")["Processes"] == [[str(os.getpid())]]


def test_a_record_of_before_health_and_filters_is_still_read() -> None:
    old = msgspec.to_builtins(record())
    old["state"].pop("health", None)
    assert msgspec.convert(old, ContainerRecord).state.health is None
