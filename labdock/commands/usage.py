"""``stats``: what containers use, once or live."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from labdock.commands import units
from labdock.commands.results import Result, mark_short, render
from labdock.commands.tree import command
from labdock.errors import NoSuchContainer

if TYPE_CHECKING:
    from labdock.client import Client
    from labdock.commands.face import Face

Wire = dict[str, Any]

#: Seconds between two looks.
PERIOD = 1.0
COLUMNS = (
    ("CONTAINER ID", "ID"),
    ("NAME", "Name"),
    ("CPU %", "CPUPerc"),
    ("MEM USAGE / LIMIT", "MemUsage"),
    ("MEM %", "MemPerc"),
    ("NET I/O", "NetIO"),
    ("BLOCK I/O", "BlockIO"),
    ("PIDS", "PIDs"),
)


@command("stats")
@click.option("-a", "--all", "all_", is_flag=True, help="Show all containers (default shows just running)")
@click.option("--format", "form", help="Format output using a Go template: table, 'table TEMPLATE', json, TEMPLATE")
@click.option("--no-stream", is_flag=True, help="Disable streaming stats and only pull the first result")
@click.option("--no-trunc", is_flag=True, help="Do not truncate output")
@click.argument("containers", nargs=-1)
@click.pass_obj
def stats(
    face: Face, /, containers: tuple[str, ...], all_: bool, form: str | None, no_stream: bool, no_trunc: bool
) -> Result | None:
    """Display a live stream of containers' resource usage statistics."""
    shots = look(face.client, containers, everything=all_, form=form, whole=no_trunc)
    if not no_stream:
        face.show_changing(shots)
        return None
    # The first has nothing to compare with: what processors do is seen between two.
    next(shots)
    return next(shots)


def look(client: Client, names: Sequence[str], *, everything: bool, form: str | None, whole: bool) -> Iterator[Result]:
    """A table each PERIOD, without end. Raises NoSuchContainer for a name that there is not."""
    api = client.containers
    before: dict[str, Wire] = {}
    while True:
        began = time.monotonic()
        asked = names or [container.id for container in api.list(all=everything)]
        found: list[Wire] = []
        for name in asked:
            try:
                found.append(api.stats(name, one_shot=True) | {"asked": name})
            except NoSuchContainer:
                # Those that were not named may go at any time.
                if names:
                    raise
        rows = [row_of(sample, before.get(sample["id"]), whole=whole) for sample in found]
        yield render(found, rows, COLUMNS, form=form, empty="no running containers")
        before = {sample["id"]: sample for sample in found}
        time.sleep(max(0.0, PERIOD - (time.monotonic() - began)))


def row_of(sample: Wire, before: Wire | None, *, whole: bool) -> dict[str, str]:
    """The fields of a line, by the names that ``--format`` knows; ``--`` for what a stopped container has not."""
    identity = mark_short(sample["id"], whole=whole)
    row = {"Container": str(sample.get("asked") or identity), "Name": sample["name"].lstrip("/"), "ID": identity}
    memory = sample.get("memory_stats") or {}
    if not memory:
        return row | {field: "--" for _, field in COLUMNS if field not in row} | {"MemUsage": "-- / --"}
    used = memory.get("usage", 0) - (memory.get("stats") or {}).get("inactive_file", 0)
    limit = memory.get("limit", 0)
    networks = (sample.get("networks") or {}).values()
    disk = (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    moved = {way: sum(entry["value"] for entry in disk if entry["op"].lower() == way) for way in ("read", "write")}
    return row | {
        "CPUPerc": f"{share_of(sample, before):.2f}%",
        "MemUsage": f"{units.binary_size(used)} / {units.binary_size(limit)}",
        "MemPerc": f"{100 * used / limit if limit else 0:.2f}%",
        "NetIO": _pair(sum(n["rx_bytes"] for n in networks), sum(n["tx_bytes"] for n in networks)),
        "BlockIO": _pair(moved["read"], moved["write"]),
        "PIDs": str((sample.get("pids_stats") or {}).get("current", 0)),
    }


def share_of(sample: Wire, before: Wire | None) -> float:
    """The processor time between two samples, in per cent of one processor."""

    def times(of: Wire | None) -> tuple[int, int]:
        known = (of or {}).get("cpu_stats") or {}
        return (known.get("cpu_usage") or {}).get("total_usage", 0), known.get("system_cpu_usage") or 0

    (used, total), (was_used, was_total) = times(sample), times(before)
    if before is None or total <= was_total or used < was_used or not was_total:
        return 0.0
    processors: int = (sample["cpu_stats"] or {}).get("online_cpus") or 1
    return (used - was_used) / (total - was_total) * processors * 100


def _pair(one: int, other: int) -> str:
    return f"{units.size(one, 3)} / {units.size(other, 3)}"
