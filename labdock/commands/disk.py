"""``system df`` and ``image prune``: where the bytes are, and getting some back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from labdock.commands import units
from labdock.commands.filters import filters
from labdock.commands.results import Records, Result, Row, Text, align, mark_short, render
from labdock.commands.tree import command
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.commands.face import Face

Wire = dict[str, Any]
COLUMNS = (
    ("TYPE", "Type"),
    ("TOTAL", "TotalCount"),
    ("ACTIVE", "Active"),
    ("SIZE", "Size"),
    ("RECLAIMABLE", "Reclaimable"),
)
#: The tables of ``df -v``: title, key of the answer, columns (title, field).
TABLES: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Images space usage:",
        "Images",
        (
            ("REPOSITORY", "Repository"),
            ("TAG", "Tag"),
            ("IMAGE ID", "ID"),
            ("CREATED", "CreatedSince"),
            ("SIZE", "Size"),
            ("SHARED SIZE", "SharedSize"),
            ("UNIQUE SIZE", "UniqueSize"),
            ("CONTAINERS", "Containers"),
        ),
    ),
    (
        "Containers space usage:",
        "Containers",
        (
            ("CONTAINER ID", "ID"),
            ("IMAGE", "Image"),
            ("COMMAND", "Command"),
            ("LOCAL VOLUMES", "LocalVolumes"),
            ("SIZE", "Size"),
            ("CREATED", "RunningFor"),
            ("STATUS", "Status"),
            ("NAMES", "Names"),
        ),
    ),
    ("Local Volumes space usage:", "Volumes", (("VOLUME NAME", "Name"), ("LINKS", "Links"), ("SIZE", "Size"))),
    (
        "Build cache usage: {}",
        "BuildCache",
        (
            ("CACHE ID", "ID"),
            ("CACHE TYPE", "CacheType"),
            ("SIZE", "Size"),
            ("CREATED", "CreatedSince"),
            ("LAST USED", "LastUsedSince"),
            ("USAGE", "UsageCount"),
            ("SHARED", "Shared"),
        ),
    ),
)
#: What labdock's own engine says beyond Docker's: key of ``Labdock`` → what it is for.
REST = (
    ("Content", "images as they were pulled or made (blobs)"),
    ("Layers", "images unpacked, and containers' own files"),
    ("Volumes", "volumes"),
    ("ContainerLogs", "logs of containers"),
    ("EngineLog", "log of the engine"),
    ("Records", "records (databases)"),
    ("Builds", "build cache besides layers"),
    ("Bases", "packages for base images"),
    ("Temporary", "transfers and builds under way"),
    ("Other", "all else"),
    ("Total", "the whole data folder"),
)
_ON_DISK = ("WHAT", "What"), ("ON DISK", "Size")


@command("df")
@click.option("--format", "form", help="Format output using a Go template, or json")
@click.option("-v", "--verbose", is_flag=True, help="Show detailed information on space usage")
@click.pass_obj
def df(face: Face, /, form: str | None, verbose: bool) -> Result:
    """Show disk usage."""
    found = face.client.system.df()
    if verbose:
        return _details(found, form)
    rows = summary(found)
    return render(rows, rows, COLUMNS, form=form)


def summary(found: Wire) -> list[dict[str, str]]:
    """A line for each kind, counted as docker's command line does (cli/command/formatter/disk_usage.go)."""
    images, containers, volumes, cache = (found.get(name) or () for name in _KINDS)
    used = sum(
        image["Size"] - image["SharedSize"]
        for image in images
        if image.get("Containers") != 0 and image.get("Size", -1) != -1 and image.get("SharedSize", -1) != -1
    )
    layers = found.get("LayersSize") or 0
    idle = [container for container in containers if container.get("State") not in ("running", "paused", "restarting")]
    sizes = {id(volume): _usage(volume, "Size") for volume in volumes}
    unlinked = sum(max(sizes[id(volume)], 0) for volume in volumes if _usage(volume, "RefCount") == 0)
    own = [entry for entry in cache if not entry.get("Shared")]
    built = _sum(own, "Size")
    return [
        _line("Images", images, lambda i: (i.get("Containers") or 0) > 0, layers, layers - used),
        _line("Containers", containers, lambda c: c not in idle, _sum(containers, "SizeRw"), _sum(idle, "SizeRw")),
        _line(
            "Local Volumes",
            volumes,
            lambda v: _usage(v, "RefCount") > 0,
            sum(max(size, 0) for size in sizes.values()),
            unlinked,
        ),
        {
            **_line("Build Cache", cache, lambda c: bool(c.get("InUse")), built, 0),
            "Reclaimable": units.size(built - sum(e.get("Size") or 0 for e in own if e.get("InUse"))),
        },
    ]


_KINDS = ("Images", "Containers", "Volumes", "BuildCache")


def _usage(volume: Wire, name: str) -> int:
    return int((volume.get("UsageData") or {}).get(name) or 0)


def _sum(items: Sequence[Wire], name: str) -> int:
    return sum(item.get(name) or 0 for item in items)


def _line(
    kind: str, items: Sequence[Wire], is_active: Callable[[Wire], bool], size: int, reclaimable: int
) -> dict[str, str]:
    share = f" ({reclaimable * 100 // size}%)" if size > 0 else ""
    return {
        "Type": kind,
        "TotalCount": str(len(items)),
        "Active": str(sum(1 for item in items if is_active(item))),
        "Size": units.size(size),
        "Reclaimable": units.size(reclaimable) + share,
    }


def _details(found: Wire, form: str | None) -> Result:
    tables = {key: [row for item in found.get(key) or () for row in _ROWS[key](item)] for _, key, _ in TABLES}
    if form == "json":
        return Text(msgspec.json.encode(tables).decode())
    if form:
        from labdock.commands.results import unescape
        from labdock.commands.template import Template

        return Text(Template(unescape(form)).render(tables))
    cache = _sum([entry for entry in found.get("BuildCache") or () if not entry.get("Shared")], "Size")
    shown = [(title.format(units.size(cache)), columns, tables[key]) for title, key, columns in TABLES]
    rest = found.get("Labdock")
    if rest:
        rows: list[Row] = [{"What": what, "Size": units.size(rest.get(key) or 0, 3)} for key, what in REST]
        shown.append(("Every byte on the disk:", _ON_DISK, rows))
    return Usage(found, shown)


class Usage(Result):
    """Everything that takes room; ``usage`` is the engine's answer as it came."""

    def __init__(self, usage: Wire, tables: Sequence[tuple[str, tuple[tuple[str, str], ...], list[Row]]]) -> None:
        self.usage = usage
        self._tables = tables

    def __str__(self) -> str:
        parts = []
        for title, columns, rows in self._tables:
            lines = [[name for name, _ in columns], *([str(row[field]) for _, field in columns] for row in rows)]
            parts.append(f"{title}\n\n{align(lines)}")
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        from labdock.commands import html

        shown = []
        for title, columns, rows in self._tables:
            table = Records(rows, rows, columns, empty="nothing")._repr_html_()
            shown.append(f'<div style="margin-top:6px"><b>{html.escape(title.rstrip(":"))}</b></div>{table}')
        return "".join(shown)


def _image_rows(image: Wire) -> list[Row]:
    from labdock.commands.running import split_tag

    size, shared = image.get("Size") or 0, image.get("SharedSize", -1)
    count = image.get("Containers", -1)
    row = {
        "ID": mark_short(str(image.get("Id") or ""), whole=False),
        "CreatedSince": units.ago(image.get("Created") or 0),
        "CreatedAt": units.stamp(image.get("Created") or 0),
        "Size": units.size(size, 3),
        "SharedSize": "N/A" if shared == -1 else units.size(shared, 4),
        "UniqueSize": "N/A" if shared == -1 else units.size(size - shared, 4),
        "Containers": "N/A" if count == -1 else str(count),
    }
    # One line for an image, whatever its names: bytes are not counted twice.
    repository, tag = split_tag((image.get("RepoTags") or ("<none>:<none>",))[0])
    return [{"Repository": repository, "Tag": tag, **row}]


def _container_rows(container: Wire) -> list[Row]:
    from labdock.client.results import ContainerSummary, result
    from labdock.commands.listing import container_row

    row = container_row(result(ContainerSummary, container), whole=False)
    return [{**row, "Size": units.size(container.get("SizeRw") or 0, 3)}]


def _volume_rows(volume: Wire) -> list[Row]:
    known = volume.get("UsageData")
    size = _usage(volume, "Size") if known else -1
    return [
        {
            "Name": volume.get("Name") or "",
            "Links": str(_usage(volume, "RefCount")) if known else "N/A",
            "Size": "N/A" if size < 0 else units.size(size, 4),
        }
    ]


def _cache_rows(entry: Wire) -> list[Row]:
    return [
        {
            "ID": str(entry.get("ID") or "")[:12] + ("*" if entry.get("InUse") else ""),
            "CacheType": entry.get("Type") or "",
            "Size": units.size(entry.get("Size") or 0, 3),
            "CreatedSince": since(entry.get("CreatedAt")),
            "LastUsedSince": since(entry.get("LastUsedAt")),
            "UsageCount": str(entry.get("UsageCount") or 0),
            "Shared": str(bool(entry.get("Shared"))).lower(),
            "Description": entry.get("Description") or "",
        }
    ]


def since(stamp: str | None) -> str:
    """``3 minutes ago`` for RFC 3339; "" when there is none."""
    from datetime import datetime

    if not stamp or stamp.startswith("0001"):
        return ""
    try:
        return units.ago(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp())
    except ValueError:
        return ""


_ROWS: dict[str, Callable[[Wire], list[Row]]] = {
    "Images": _image_rows,
    "Containers": _container_rows,
    "Volumes": _volume_rows,
    "BuildCache": _cache_rows,
}


@command("prune")
@click.option("-a", "--all", "all_", is_flag=True, help="Remove all unused images, not just dangling ones")
@click.option("--filter", "conditions", multiple=True, help='Provide filter values (e.g. "until=<timestamp>")')
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
@click.pass_obj
def prune_images(face: Face, /, all_: bool, conditions: tuple[str, ...], force: bool) -> Result:
    """Remove unused images."""
    what = "images without at least one container associated to them" if all_ else "dangling images"
    if not force and not confirm(face, f"WARNING! This will remove all {what}.\nAre you sure you want to continue?"):
        return Text("")
    chosen = {"dangling": ["false" if all_ else "true"], **filters(conditions)}
    found = face.client.images.prune(chosen)
    lines = [f"{kind.lower()}: {name}" for entry in found.images_deleted for kind, name in entry.items()]
    told = ["Deleted Images:", *lines, ""] if lines else []
    return Text("\n".join([*told, f"Total reclaimed space: {units.size(found.space_reclaimed)}"]))


def confirm(face: Face, question: str) -> bool:
    """Whether the user says yes. Nobody there to answer: InvalidRequest naming --force."""
    try:
        answer = face.ask(f"{question} [y/N] ")
    except InvalidRequest as error:
        raise InvalidRequest(f"{error.message}; nothing was removed", hint="--force goes on without asking") from error
    return answer.strip().lower() in ("y", "yes")
