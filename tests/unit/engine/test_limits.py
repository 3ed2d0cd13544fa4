"""Limits: what is asked for, what can't be, how it is kept, and what update makes of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from labdock.engine import limits, updates
from labdock.engine.lifecycle import Status
from labdock.engine.limits import Limits
from labdock.engine.records import ContainerRecord
from labdock.errors import Conflict, InvalidRequest
from labdock.schema.container import ContainerConfig, HostConfig

MIB = 1 << 20
FOUR = range(4)


def host(**sent: Any) -> HostConfig:
    return msgspec.convert(sent, HostConfig)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (host(), Limits()),
        (host(Memory=10 * MIB), Limits(memory=10 * MIB)),
        (host(NanoCpus=1_500_000_000), Limits(cpus=1.5)),
        (host(CpuQuota=50_000), Limits(cpus=0.5)),
        (host(CpuQuota=50_000, CpuPeriod=25_000), Limits(cpus=2.0)),
        (host(CpuQuota=-1), Limits()),
        (host(CpusetCpus="0-1,3"), Limits(cpuset=frozenset({0, 1, 3}))),
        (host(CpuShares=1024), Limits()),
        (host(CpuShares=512), Limits(nice=3)),
        (host(CpuShares=2), Limits(nice=19)),
        (host(CpuShares=4096), Limits()),
    ],
)
def test_what_is_asked_for(asked: HostConfig, found: Limits) -> None:
    assert limits.limits_of(asked) == found


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (host(Memory=1), "Minimum memory limit allowed is 6MB"),
        (host(Memory=20 * MIB, MemorySwap=10 * MIB), "Minimum memoryswap limit should be larger than memory limit"),
        (host(MemorySwap=10 * MIB), "You should always set the Memory limit when using Memoryswap limit"),
        (host(MemoryReservation=1), "Minimum memory reservation allowed is 6MB"),
        (host(Memory=10 * MIB, MemoryReservation=11 * MIB), "Minimum memory limit can not be less than memory reserv"),
        (host(MemorySwappiness=101), "Invalid value: 101, valid memory swappiness range is 0-100"),
        (host(NanoCpus=1, CpuPeriod=1000), "Nano CPUs and CPU Period cannot both be set"),
        (host(NanoCpus=1, CpuQuota=1000), "Nano CPUs and CPU Quota cannot both be set"),
        (host(NanoCpus=-1), "Range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"),
        (host(NanoCpus=5 * 10**9), "Range of CPUs is from 0.01 to 4.00"),
        (host(CpuShares=-2), "invalid CPU shares"),
        (host(CpuPeriod=10), "CPU cfs period can not be less than 1ms"),
        (host(CpuPeriod=2_000_000), "or larger than 1s"),
        (host(CpuQuota=999), "CPU cfs quota can not be less than 1ms"),
        (host(CpusetCpus="a"), "Invalid value a for cpuset cpus"),
        (host(CpusetCpus="1-"), "Invalid value 1- for cpuset cpus"),
        (host(CpusetCpus="3-1"), "Invalid value 3-1 for cpuset cpus"),
        (host(CpusetCpus="0-99999999999"), "Invalid value"),
        (host(CpusetCpus="9"), "Requested CPUs are not available - requested 9, available: 0,1,2,3"),
        (host(BlkioWeight=9), "Range of blkio weight is from 10 to 1000"),
        (host(ShmSize=-1), "SHM size can not be less than 0"),
        (host(OomScoreAdj=1001), "Invalid value 1001, range for oom score adj is"),
    ],
)
def test_what_cannot_be_is_refused_in_dockers_words(asked: HostConfig, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        limits.check_limits(asked, FOUR)


def test_what_can_be_is_taken() -> None:
    asked = host(Memory=6 * MIB, MemorySwap=-1, NanoCpus=4 * 10**9, CpusetCpus="0,3", OomScoreAdj=-1000, PidsLimit=-1)
    limits.check_limits(asked, FOUR)


@pytest.mark.parametrize(
    ("asked", "turn", "chosen"),
    [
        (Limits(), 0, None),
        (Limits(cpus=4), 0, None),
        (Limits(cpus=0.5), 0, {0}),
        (Limits(cpus=1.1), 3, {3, 0}),
        (Limits(cpuset=frozenset({1, 3})), 0, {1, 3}),
        (Limits(cpuset=frozenset({1, 3}), cpus=1), 1, {3}),
        (Limits(cpuset=frozenset({0, 1, 2, 3})), 5, None),
    ],
)
def test_a_container_is_held_to_whole_processors(asked: Limits, turn: int, chosen: set[int] | None) -> None:
    assert limits.choose_cpus(asked, FOUR, turn) == (None if chosen is None else frozenset(chosen))


def test_each_limit_that_is_not_kept_by_the_kernel_is_named() -> None:
    asked = host(Memory=10 * MIB, MemorySwap=20 * MIB, NanoCpus=10**9, PidsLimit=5, BlkioWeight=10, MemorySwappiness=0)
    warnings = limits.warn_of_limits(asked, ())
    for words in (
        "memory limit is watched", "by affinity", "for PIDs limits", "for block I/O", "for memory swap ", "swappiness"
    ):  # fmt: skip
        assert len([w for w in warnings if words in w]) == 1, words
    files = ("memory.max", "memory.swap.max", "memory.low", "cpu.max", "cpu.weight", "pids.max", "io.weight", "io.max")
    assert [w for w in limits.warn_of_limits(asked, files) if "for memory swappiness" not in w] == []
    assert len(limits.warn_of_limits(asked, files)) == 1
    assert limits.warn_of_limits(host(PidsLimit=-1, MemorySwap=-1, MemorySwappiness=-1, CpuShares=1024), ()) == []


def record(status: Status = Status.RUNNING, **sent: Any) -> ContainerRecord:
    found = ContainerRecord(
        id="a" * 64, name="web", created=1, image="i", image_id="s", config=ContainerConfig(), host=host(**sent),
        host_sent=sent, args=("sh",),
    )  # fmt: skip
    return found.evolve(status=status)


def update(before: ContainerRecord, **sent: Any) -> tuple[ContainerRecord, list[str]]:
    return updates.change(before, sent, available=FOUR, controls=())


def test_an_update_changes_what_it_names_and_inspect_shows_it() -> None:
    before = record(Memory=10 * MIB, CpuShares=2, Isolation="default")
    after, warnings = update(
        before, Memory=30 * MIB, CpuShares=0, RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 4}, Strange=1
    )
    assert (after.host.memory, after.host.cpu_shares) == (30 * MIB, 2)
    assert after.host.restart_policy is not None
    assert (after.host.restart_policy.name, after.host.restart_policy.maximum_retry_count) == ("on-failure", 4)
    assert after.host_sent["Memory"] == 30 * MIB
    assert after.host_sent["Isolation"] == "default"
    assert [w for w in warnings if "memory limit is watched" in w]
    assert update(before)[1] == []


@pytest.mark.parametrize(
    ("before", "sent", "words"),
    [
        (record(AutoRemove=True), {"RestartPolicy": {"Name": "always"}}, "because AutoRemove is enabled"),
        (record(), {"RestartPolicy": {"Name": "now"}}, "unknown policy 'now'"),
        (record(Memory=8 * MIB, MemorySwap=9 * MIB), {"Memory": 20 * MIB}, "smaller than already set memoryswap"),
        (record(NanoCpus=1), {"CpuPeriod": 1000}, "CPU Period cannot be updated as NanoCPUs has already been set"),
        (record(NanoCpus=1), {"CpuQuota": 1000}, "CPU Quota cannot be updated as NanoCPUs has already been set"),
        (record(CpuQuota=1000), {"NanoCpus": 1}, "NanoCPUs cannot be updated as CPU Quota has already been set"),
        (record(), {"Memory": 5}, "Minimum memory limit allowed is 6MB"),
        (record(), {"Memory": "much"}, "invalid request body"),
    ],
)
def test_an_update_that_cannot_be_is_refused_in_dockers_words(
    before: ContainerRecord, sent: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        update(before, **sent)


def test_what_is_being_removed_is_not_updated() -> None:
    with pytest.raises(Conflict, match="marked for removal"):
        update(record(Status.REMOVING), Memory=10 * MIB)
