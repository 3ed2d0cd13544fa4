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

#: Seconds between the two looks of one answer, and at least between two tables of a live one.
PERIOD, REDRAWN = 1.0, 0.5
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
    if no_stream:
        return once(face.client, containers, everything=all_, form=form, whole=no_trunc)
    face.show_changing(look(face.client, containers, everything=all_, form=form, whole=no_trunc))
    return None


def look(client: Client, names: Sequence[str], *, everything: bool, form: str | None, whole: bool) -> Iterator[Result]:
    """A table whenever something has come, each REDRAWN at most; until all *names* are removed, else without end.

    Raises NoSuchContainer for a name that there is not.
    """
    from labdock.client.meters import Meters

    with Meters(client.containers, client.system, names, everything=everything) as meters:
        while not meters.over:
            shown = time.monotonic()
            samples = [sample | {"asked": key} if names else sample for key, sample in meters.samples.items()]
            rows = [row_of(sample, {"cpu_stats": sample.get("precpu_stats")}, whole=whole) for sample in samples]
            yield render(samples, rows, COLUMNS, form=form, empty="no running containers")
            meters.wait()
            # The samples of several containers come one after the other.
            while (left := shown + REDRAWN - time.monotonic()) > 0:
                meters.wait(left)


def once(client: Client, names: Sequence[str], *, everything: bool, form: str | None, whole: bool) -> Result:
    """What was used in a PERIOD. Raises NoSuchContainer."""
    before = _sample(client, names, everything)
    if any(sample.get("memory_stats") for sample in before.values()):
        time.sleep(PERIOD)
    found = _sample(client, list(before) if names else (), everything)
    rows = [row_of(sample, before.get(key), whole=whole) for key, sample in found.items()]
    return render(list(found.values()), rows, COLUMNS, form=form, empty="no running containers")


def _sample(client: Client, names: Sequence[str], everything: bool) -> dict[str, Wire]:
    found: dict[str, Wire] = {}
    for name in names or [container.id for container in client.containers.list(all=everything)]:
        try:
            found[name] = client.containers.stats(name, one_shot=True) | ({"asked": name} if names else {})
        except NoSuchContainer:
            # Those that were not named may go at any time.
            if names:
                raise
    return found


def row_of(sample: Wire, before: Wire | None, *, whole: bool) -> dict[str, str]:
    """The fields of a line, by the names that ``--format`` knows; what does not run uses nothing, as in docker's."""
    identity = mark_short(sample["id"], whole=whole)
    row = {"Container": str(sample.get("asked") or identity), "Name": sample["name"].lstrip("/"), "ID": identity}
    memory = sample.get("memory_stats") or {}
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
