"""What a HostConfig's limits are in the files of a container's cgroup. Pure.

The numbers are those of the OCI runtimes for cgroup v2 (crun.1.md, "cgroup v2"); Docker's default for swap is as much
again as memory (moby's daemon_unix.go, adaptContainerSettings).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from labdock.engine.limits import PERIOD
from labdock.errors import InvalidRequest
from labdock.schema.container import DeviceRate, HostConfig

#: A device's (major, minor) by its path; raises OSError.
Resolve = Callable[[str], tuple[int, int]]

_RATES = (
    ("blkio_device_read_bps", "rbps"),
    ("blkio_device_write_bps", "wbps"),
    ("blkio_device_read_i_ops", "riops"),
    ("blkio_device_write_i_ops", "wiops"),
)


def control(host: HostConfig, files: Collection[str], resolve: Resolve) -> list[tuple[str, str]]:
    """(file, text) for each limit that *host* asks for and that *files*, those of the group, can keep.

    Raises InvalidRequest for a device that is not there.
    """
    return [(name, text) for name, text in _wanted(host, files, resolve) if name in files]


def _wanted(host: HostConfig, files: Collection[str], resolve: Resolve) -> Iterator[tuple[str, str]]:
    yield from _memory(host)
    yield from _processors(host)
    if host.pids_limit:
        yield "pids.max", "max" if host.pids_limit < 0 else str(host.pids_limit)
    weights = "io.bfq.weight" if "io.bfq.weight" in files else "io.weight"
    if host.blkio_weight:
        yield weights, _weight(weights, host.blkio_weight)
    for entry in host.blkio_weight_device or ():
        weight, path = entry.get("Weight"), str(entry.get("Path", ""))
        if isinstance(weight, int):
            yield weights, f"{_number(path, resolve)} {_weight(weights, weight)}"
    for member, key in _RATES:
        rates: tuple[DeviceRate, ...] = getattr(host, member) or ()
        for rate in rates:
            yield "io.max", f"{_number(rate.path, resolve)} {key}={rate.rate or 'max'}"


def _memory(host: HostConfig) -> Iterator[tuple[str, str]]:
    memory, swap = host.memory or 0, host.memory_swap or 0
    if memory:
        yield "memory.max", "max" if memory < 0 else str(memory)
    if swap < 0:
        yield "memory.swap.max", "max"
    elif memory > 0:
        yield "memory.swap.max", str(swap - memory if swap else memory)
    if host.memory_reservation:
        yield "memory.low", str(host.memory_reservation)


def _processors(host: HostConfig) -> Iterator[tuple[str, str]]:
    period = host.cpu_period or PERIOD
    if host.nano_cpus:
        yield "cpu.max", f"{max(1000, host.nano_cpus * PERIOD // 10**9)} {PERIOD}"
    elif host.cpu_quota or host.cpu_period:
        quota = host.cpu_quota or -1
        yield "cpu.max", f"{quota if quota > 0 else 'max'} {period}"
    if host.cpu_shares:
        yield "cpu.weight", str(1 + (max(2, min(host.cpu_shares, 262_144)) - 2) * 9999 // 262_142)
    if host.cpuset_cpus:
        yield "cpuset.cpus", host.cpuset_cpus
    if host.cpuset_mems:
        yield "cpuset.mems", host.cpuset_mems


def _weight(file: str, weight: int) -> str:
    """Docker's 10 to 1000 as the file has it: 1 to 1000, or 1 to 10000."""
    return str(weight if file == "io.bfq.weight" else 1 + (weight - 10) * 9999 // 990)


def _number(path: str, resolve: Resolve) -> str:
    try:
        major, minor = resolve(path)
    except OSError as error:
        raise InvalidRequest(f"no such device: {path!r} ({error.strerror})", hint="such as /dev/sda") from error
    return f"{major}:{minor}"
