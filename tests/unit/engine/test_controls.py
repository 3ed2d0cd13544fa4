"""What limits are in the files of a cgroup, and which of them are then not kept softly any more."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from labdock.engine.controls import control
from labdock.engine.limits import Limits, keep_softly
from labdock.errors import InvalidRequest
from labdock.schema.container import HostConfig

MIB = 1 << 20
FILES = (
    "memory.max memory.swap.max memory.low cpu.max cpu.weight cpuset.cpus cpuset.mems pids.max io.max io.weight".split()
)


def written(*files: str, **sent: Any) -> list[tuple[str, str]]:
    def resolve(path: str) -> tuple[int, int]:
        if path != "/dev/sda":
            raise FileNotFoundError(2, "No such file or directory", path)
        return 8, 0

    return control(msgspec.convert(sent, HostConfig), files or FILES, resolve)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, []),
        ({"Memory": MIB}, [("memory.max", str(MIB)), ("memory.swap.max", str(MIB))]),
        ({"Memory": MIB, "MemorySwap": MIB}, [("memory.max", str(MIB)), ("memory.swap.max", "0")]),
        ({"Memory": MIB, "MemorySwap": 3 * MIB}, [("memory.max", str(MIB)), ("memory.swap.max", str(2 * MIB))]),
        ({"Memory": MIB, "MemorySwap": -1}, [("memory.max", str(MIB)), ("memory.swap.max", "max")]),
        ({"MemoryReservation": MIB}, [("memory.low", str(MIB))]),
        ({"NanoCpus": 1_500_000_000}, [("cpu.max", "150000 100000")]),
        ({"NanoCpus": 1}, [("cpu.max", "1000 100000")]),
        ({"CpuQuota": 5000, "CpuPeriod": 20000}, [("cpu.max", "5000 20000")]),
        ({"CpuQuota": -1}, [("cpu.max", "max 100000")]),
        ({"CpuPeriod": 20000}, [("cpu.max", "max 20000")]),
        ({"CpuShares": 1024}, [("cpu.weight", "39")]),
        ({"CpuShares": 2}, [("cpu.weight", "1")]),
        ({"CpuShares": 10**9}, [("cpu.weight", "10000")]),
        ({"CpusetCpus": "0-1", "CpusetMems": "0"}, [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")]),
        ({"PidsLimit": 5}, [("pids.max", "5")]),
        ({"PidsLimit": -1}, [("pids.max", "max")]),
        ({"PidsLimit": 0}, []),
        ({"BlkioWeight": 10}, [("io.weight", "1")]),
        ({"BlkioWeight": 1000}, [("io.weight", "10000")]),
        ({"BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 10}]}, [("io.weight", "8:0 1")]),
        ({"BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 7}]}, [("io.max", "8:0 rbps=7")]),
        ({"BlkioDeviceWriteIOps": [{"Path": "/dev/sda", "Rate": 0}]}, [("io.max", "8:0 wiops=max")]),
    ],
)
def test_each_limit_as_the_kernel_has_it(asked: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert written(**asked) == found


def test_what_no_controller_keeps_is_left_out() -> None:
    asked = {"Memory": MIB, "NanoCpus": 10**9, "PidsLimit": 5, "BlkioWeight": 500}
    assert written("pids.max", "io.bfq.weight", **asked) == [("pids.max", "5"), ("io.bfq.weight", "500")]


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidRequest, match="no such device: '/dev/none'"):
        written(BlkioDeviceReadBps=[{"Path": "/dev/none", "Rate": 7}])


def test_each_limit_is_kept_once() -> None:
    asked = Limits(memory=MIB, cpus=0.5, cpuset=frozenset({0}), nice=3)
    assert keep_softly(asked, ()) == asked
    assert keep_softly(asked, ("memory.max", "cpu.max", "cpu.weight")) == Limits(cpuset=frozenset({0}))
    assert keep_softly(asked, FILES) == Limits()
