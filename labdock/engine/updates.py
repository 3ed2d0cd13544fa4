"""``docker update``: what of a HostConfig may change, and what it is then. Pure; words: moby's UpdateContainer."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from labdock.engine.creation import check_policy
from labdock.engine.lifecycle import Status
from labdock.engine.limits import check_limits, warn_of_limits
from labdock.engine.records import ContainerRecord
from labdock.errors import Conflict, InvalidRequest
from labdock.schema.container import HostConfig

Wire = dict[str, Any]

#: The members of a HostConfig that an update may name; 0, "" and null leave them as they are.
_CHANGEABLE = frozenset(
    (
        "BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps BlkioWeight BlkioWeightDevice "
        "CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuShares CpusetCpus CpusetMems Memory "
        "MemoryReservation MemorySwap NanoCpus PidsLimit"
    ).split()
)


def change(
    record: ContainerRecord, sent: Wire, *, available: Iterable[int], controls: Collection[str]
) -> tuple[ContainerRecord, list[str]]:
    """*record* as *sent* (the body of ``POST /containers/ID/update``) wants it, and warnings.

    Raises InvalidRequest for what can't be, Conflict for a container that is being removed.
    """
    if record.state.status in (Status.REMOVING, Status.DEAD):
        raise Conflict(f'Container is marked for removal and cannot be "update". ({record.id})')
    news = {key: value for key, value in sent.items() if key in _CHANGEABLE and value not in (None, 0, "", [])}
    policy = sent.get("RestartPolicy") or {}
    if policy.get("Name"):
        news["RestartPolicy"] = policy
    try:
        asked = msgspec.convert(news, HostConfig)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"invalid request body: {error}") from error
    fields = {field: getattr(asked, field) for field, wire in _names().items() if wire in news}
    before = record.host
    _check_against(before, asked, news)
    host = msgspec.structs.replace(before, **fields)
    check_policy(host)
    check_limits(host, available)
    shown = {**record.host_sent, **news}
    changed = msgspec.structs.replace(record, host=host, host_sent=shown)
    return changed, warn_of_limits(asked, controls)


def _names() -> dict[str, str]:
    info = msgspec.structs.fields(HostConfig)
    return {field.name: field.encode_name for field in info}


def _check_against(before: HostConfig, asked: HostConfig, news: Wire) -> None:
    """What was set already may stand in the way of what is to be set."""
    if "RestartPolicy" in news and before.auto_remove:
        raise InvalidRequest("Restart policy cannot be updated because AutoRemove is enabled for the container")
    if asked.memory and not asked.memory_swap and 0 < (before.memory_swap or 0) < asked.memory:
        raise InvalidRequest(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    for word, mine, theirs in (
        ("CPU Period", asked.cpu_period, before.nano_cpus),
        ("CPU Quota", asked.cpu_quota, before.nano_cpus),
    ):
        if mine and theirs:
            raise InvalidRequest(f"Conflicting options: {word} cannot be updated as NanoCPUs has already been set")
    for word, value in (("CPU Quota", before.cpu_quota), ("CPU Period", before.cpu_period)):
        if asked.nano_cpus and value:
            raise InvalidRequest(f"Conflicting options: NanoCPUs cannot be updated as {word} has already been set")
