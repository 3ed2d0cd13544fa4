"""Limits on memory, processors and processes: what a HostConfig asks for, whether it can be, and how. Pure.

Docker's words are those of moby's daemon_unix.go (verifyPlatformContainerResources).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from labdock.errors import InvalidRequest
from labdock.schema.container import HostConfig

_MIB = 1 << 20
#: Docker's least memory limit.
LEAST_MEMORY = 6 * _MIB
#: Microseconds over which a share of processors is given out, unless a request says otherwise.
PERIOD = 100_000
#: CpuShares of a container that asked for none, and by how much one step of niceness changes a process's share.
_SHARES, _STEP = 1024, 1.25

#: Limits that only a cgroup keeps: HostConfig member → (a file of the group, Docker's name for it).
_HARD = {
    "memory_swap": ("memory.swap.max", "memory swap"),
    "memory_reservation": ("memory.low", "memory soft"),
    "memory_swappiness": ("", "memory swappiness"),
    "pids_limit": ("pids.max", "PIDs"),
    "cpuset_mems": ("cpuset.mems", "cpuset memory node"),
    "cpu_realtime_period": ("", "CPU real-time"),
    "cpu_realtime_runtime": ("", "CPU real-time"),
    "blkio_weight": ("io.weight", "block I/O weight"),
    "blkio_weight_device": ("io.weight", "block I/O weight"),
    "blkio_device_read_bps": ("io.max", "block I/O"),
    "blkio_device_write_bps": ("io.max", "block I/O"),
    "blkio_device_read_i_ops": ("io.max", "block I/O"),
    "blkio_device_write_i_ops": ("io.max", "block I/O"),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """``memory`` in bytes, ``cpus`` in processors, both 0 for none; ``cpuset`` empty: any; ``nice`` from shares."""

    memory: int = 0
    cpus: float = 0.0
    cpuset: frozenset[int] = frozenset()
    nice: int = 0


def limits_of(host: HostConfig) -> Limits:
    """What *host*, which was checked, asks for."""
    cpus = (host.nano_cpus or 0) / 1e9
    if not cpus and (host.cpu_quota or 0) > 0:
        cpus = (host.cpu_quota or 0) / (host.cpu_period or PERIOD)
    shares = host.cpu_shares or _SHARES
    nice = round(math.log(_SHARES / max(2, shares), _STEP))
    return Limits(
        memory=max(0, host.memory or 0),
        cpus=cpus,
        cpuset=parse_cpus(host.cpuset_cpus or ""),
        nice=min(19, max(0, nice)),
    )


def keep_softly(limits: Limits, controls: Collection[str]) -> Limits:
    """What of *limits* is left to be kept without a cgroup; *controls*: the files that containers' groups have."""
    return Limits(
        memory=0 if "memory.max" in controls else limits.memory,
        cpus=0.0 if "cpu.max" in controls else limits.cpus,
        cpuset=frozenset() if "cpuset.cpus" in controls else limits.cpuset,
        nice=0 if "cpu.weight" in controls else limits.nice,
    )


def parse_cpus(text: str) -> frozenset[int]:
    """``0-2,5`` as numbers. Raises InvalidRequest in Docker's words."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or max(len(first), len(last)) > 4:
            raise InvalidRequest(f"Invalid value {text} for cpuset cpus", hint="such as 0-2,5")
        if dash and int(last) < int(first):
            raise InvalidRequest(f"Invalid value {text} for cpuset cpus", hint="ranges go up")
        found.update(range(int(first), int(last if dash else first) + 1))
    return frozenset(found)


def choose_cpus(limits: Limits, available: Iterable[int], turn: int) -> frozenset[int] | None:
    """The processors a container is held to; None: all of *available*.

    As many whole ones as its ``cpus`` need, beginning with another one for each *turn*, so that limited containers
    do not all share the first.
    """
    usable = frozenset(available)
    pool = sorted(limits.cpuset & usable or usable)
    count = math.ceil(limits.cpus) if limits.cpus else len(pool)
    if count >= len(pool):
        return None if len(pool) == len(usable) else frozenset(pool)
    return frozenset(pool[(turn + index) % len(pool)] for index in range(count))


def check_limits(host: HostConfig, available: Iterable[int]) -> None:
    """Raises InvalidRequest for limits that can't be; *available*: the processors of this machine."""
    _check_memory(host)
    _check_processors(host, frozenset(available))
    weight = host.blkio_weight or 0
    if weight and not 10 <= weight <= 1000:
        raise InvalidRequest("Range of blkio weight is from 10 to 1000")
    if (host.shm_size or 0) < 0:
        raise InvalidRequest("SHM size can not be less than 0")
    score = host.oom_score_adj or 0
    if not -1000 <= score <= 1000:
        raise InvalidRequest(f"Invalid value {score}, range for oom score adj is [-1000, 1000]")


def _check_memory(host: HostConfig) -> None:
    memory, swap, soft = host.memory or 0, host.memory_swap or 0, host.memory_reservation or 0
    if memory and memory < LEAST_MEMORY:
        raise InvalidRequest("Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise InvalidRequest("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory == 0 and swap > 0:
        raise InvalidRequest("You should always set the Memory limit when using Memoryswap limit, see usage")
    if soft and soft < LEAST_MEMORY:
        raise InvalidRequest("Minimum memory reservation allowed is 6MB")
    if memory > 0 and soft > memory:
        raise InvalidRequest("Minimum memory limit can not be less than memory reservation limit, see usage")
    swappiness = host.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise InvalidRequest(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")


def _check_processors(host: HostConfig, available: frozenset[int]) -> None:
    nano, count = host.nano_cpus or 0, len(available)
    for word, value in (("Period", host.cpu_period), ("Quota", host.cpu_quota)):
        if nano > 0 and value:
            raise InvalidRequest(f"Conflicting options: Nano CPUs and CPU {word} cannot both be set.")
    if nano < 0 or nano > count * 10**9:
        raise InvalidRequest(f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available")
    if (host.cpu_shares or 0) < 0:
        raise InvalidRequest(f"invalid CPU shares ({host.cpu_shares}): value must be a positive integer")
    if host.cpu_period and not 1000 <= host.cpu_period <= 1_000_000:
        raise InvalidRequest("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < (host.cpu_quota or 0) < 1000:
        raise InvalidRequest("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if not parse_cpus(host.cpuset_cpus or "") <= available:
        shown = ",".join(str(number) for number in sorted(available))
        raise InvalidRequest(f"Requested CPUs are not available - requested {host.cpuset_cpus}, available: {shown}")


def warn_of_limits(host: HostConfig, controls: Collection[str]) -> list[str]:
    """How each limit that is asked for is kept where its controller is missing, or that it is not.

    *controls*: the files that containers' groups have; none without groups.
    """
    found = []
    soft = keep_softly(limits_of(host), controls)
    if soft.memory:
        found.append(
            "No cgroup v2 memory controller is delegated to this engine: the memory limit is watched, and a container "
            "that is seen above it is killed."
        )
    if soft.cpus or soft.cpuset or soft.nice:
        found.append(
            "No cgroup v2 cpu controllers are delegated to this engine: CPU limits are kept by affinity to whole "
            "processors and by niceness."
        )
    there = {"io.weight" if name == "io.bfq.weight" else name for name in controls}
    lost = {
        text for member, (file, text) in _HARD.items() if file not in there and _is_asked(member, getattr(host, member))
    }
    # As docker has it, a memory limit without a word on swap is one limit.
    found += [
        f"Your kernel does not give this engine a cgroup v2 controller for {text} limits. Limitation discarded."
        for text in sorted(lost)
    ]
    return found


def _is_asked(member: str, value: object) -> bool:
    if value in (None, 0, "", ()):
        return member == "memory_swappiness" and value == 0
    return not (value == -1 and member in ("pids_limit", "memory_swap", "memory_swappiness"))
