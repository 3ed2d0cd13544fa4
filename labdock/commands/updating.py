"""``update`` and ``container prune``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from labdock.commands import units, values
from labdock.commands.disk import confirm
from labdock.commands.filters import filters
from labdock.commands.lifecycle import containers, each
from labdock.commands.results import Result, Text
from labdock.commands.tree import command
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.commands.face import Face


@command("update")
@click.option("--blkio-weight", type=int, help="Block IO (relative weight), between 10 and 1000, or 0 to disable")
@click.option("--cpu-period", type=int, help="Limit CPU CFS (Completely Fair Scheduler) period")
@click.option("--cpu-quota", type=int, help="Limit CPU CFS (Completely Fair Scheduler) quota")
@click.option("--cpu-rt-period", type=int, help="Limit the CPU real-time period in microseconds")
@click.option("--cpu-rt-runtime", type=int, help="Limit the CPU real-time runtime in microseconds")
@click.option("-c", "--cpu-shares", type=int, help="CPU shares (relative weight)")
@click.option("--cpus", help="Number of CPUs")
@click.option("--cpuset-cpus", help="CPUs in which to allow execution (0-3, 0,1)")
@click.option("--cpuset-mems", help="MEMs in which to allow execution (0-3, 0,1)")
@click.option("-m", "--memory", help="Memory limit")
@click.option("--memory-reservation", help="Memory soft limit")
@click.option("--memory-swap", help="Swap limit equal to memory plus swap: '-1' to enable unlimited swap")
@click.option("--pids-limit", type=int, help="Tune container pids limit (set -1 for unlimited)")
@click.option("--restart", help="Restart policy to apply when a container exits")
@containers
@click.pass_obj
def update(face: Face, /, containers: tuple[str, ...], **options: Any) -> Result:
    """Update configuration of one or more containers."""
    changes = changes_of({name: value for name, value in options.items() if value is not None})
    if not changes:
        raise InvalidRequest("you must provide one or more flags when using this command")
    warnings: list[str] = []

    def act(name: str) -> None:
        warnings.extend(face.client.containers.update(name, changes))

    result = each(face, containers, act)
    for warning in dict.fromkeys(warnings):
        face.say(f"WARNING: {warning}")
    return result


def changes_of(options: dict[str, Any]) -> dict[str, Any]:
    """What the options that were given ask for, in the API's words."""
    sizes = {"memory": "Memory", "memory_reservation": "MemoryReservation"}
    plain = {
        "blkio_weight": "BlkioWeight",
        "cpu_period": "CpuPeriod",
        "cpu_quota": "CpuQuota",
        "cpu_rt_period": "CpuRealtimePeriod",
        "cpu_rt_runtime": "CpuRealtimeRuntime",
        "cpu_shares": "CpuShares",
        "cpuset_cpus": "CpusetCpus",
        "cpuset_mems": "CpusetMems",
        "pids_limit": "PidsLimit",
    }
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name in plain:
            found[plain[name]] = value
        elif name in sizes:
            found[sizes[name]] = values.size(value)
        elif name == "memory_swap":
            found["MemorySwap"] = -1 if value == "-1" else values.size(value)
        elif name == "cpus":
            found["NanoCpus"] = values.cpus(value)
        elif name == "restart":
            policy = values.restart(value)
            found["RestartPolicy"] = {"Name": policy.name, "MaximumRetryCount": policy.maximum_retry_count}
    return found


@command("prune")
@click.option("--filter", "conditions", multiple=True, help='Provide filter values (e.g. "until=<timestamp>")')
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
@click.pass_obj
def prune(face: Face, /, conditions: tuple[str, ...], force: bool) -> Result:
    """Remove all stopped containers."""
    asked = filters(conditions)
    question = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?"
    if not force and not confirm(face, question):
        return Text("")
    done = face.client.containers.prune(asked)
    gone = done.get("ContainersDeleted") or ()
    lines = ["Deleted Containers:", *gone, ""] if gone else []
    return Text("\n".join([*lines, f"Total reclaimed space: {units.size(done.get('SpaceReclaimed') or 0)}"]))
