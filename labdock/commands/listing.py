"""``ps``, ``port``, ``top``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from labdock.commands import units
from labdock.commands.filters import filters
from labdock.commands.ports import Links, find_links
from labdock.commands.results import Records, Result, Row, Text, mark_short, render
from labdock.commands.tree import command
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.client.results import ContainerSummary, Port
    from labdock.commands.face import Face

PS_COLUMNS = (
    ("CONTAINER ID", "ID"),
    ("IMAGE", "Image"),
    ("COMMAND", "Command"),
    ("CREATED", "RunningFor"),
    ("STATUS", "Status"),
    ("PORTS", "Ports"),
    ("NAMES", "Names"),
)


@command("ps")
@click.option("-a", "--all", "all_", is_flag=True, help="Show all containers (default shows just running)")
@click.option("-f", "--filter", "conditions", multiple=True, help="Filter output based on conditions provided")
@click.option("--format", "form", help="Format output using a Go template: table, 'table TEMPLATE', json, TEMPLATE")
@click.option("-n", "--last", type=int, default=-1, help="Show n last created containers (includes all states)")
@click.option("-l", "--latest", is_flag=True, help="Show the latest created container (includes all states)")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.option("-q", "--quiet", is_flag=True, help="Only display container IDs")
@click.option("-s", "--size", is_flag=True, help="Display total file sizes")
@click.pass_obj
def ps(
    face: Face,
    /,
    all_: bool,
    conditions: tuple[str, ...],
    form: str | None,
    last: int,
    latest: bool,
    no_trunc: bool,
    quiet: bool,
    size: bool,
) -> Result:
    """List containers."""
    limit = 1 if latest else last if last >= 0 else None
    found = face.client.containers.list(
        all=all_ or limit is not None, limit=limit, size=size, filters=filters(conditions)
    )
    rows = [container_row(container, whole=no_trunc) for container in found]
    columns = PS_COLUMNS + ((("SIZE", "Size"),) if size else ())
    empty = "no containers" if all_ else "no running containers"
    return render(
        found,
        rows,
        columns,
        form=form,
        quiet="ID" if quiet else None,
        cell=container_cells(find_links(face.environment)),
        empty=empty,
        kind="containers",
    )


def container_row(container: ContainerSummary, *, whole: bool) -> dict[str, Any]:
    """The fields of a line, by the names that ``--format`` knows."""
    command_text = container.command if whole else units.elide(container.command, 20)
    mounts = [str(m.get("Name") or m.get("Source") or "") for m in container.raw.get("Mounts") or ()]
    # A name with a second slash is another container's link to this one.
    names = [name.lstrip("/") for name in container.names if name.count("/") < 2] or [container.name]
    networks = (container.raw.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        "ID": mark_short(container.id, whole=whole),
        "Image": container.image,
        "Command": f'"{command_text}"',
        "CreatedAt": units.stamp(container.created),
        "RunningFor": units.ago(container.created),
        "Ports": ports_text(container.ports),
        "State": container.state,
        "Status": container.status,
        "Size": f"{units.size(container.size_rw, 3)} (virtual {units.size(container.size_root_fs, 3)})",
        "Names": ",".join(names),
        "Labels": ",".join(f"{name}={value}" for name, value in sorted(container.labels.items())),
        "Mounts": ",".join(mounts if whole else [units.elide(mount, 15) for mount in mounts]),
        "Networks": ",".join(sorted(networks)),
        "LocalVolumes": str(sum(1 for m in container.raw.get("Mounts") or () if m.get("Driver") == "local")),
    }


def ports_text(ports: Sequence[Port]) -> str:
    """``0.0.0.0:8080->80/tcp, 443/tcp``."""
    shown = sorted(ports, key=lambda port: (port.private, port.type, port.public, port.ip))
    return ", ".join(
        f"{address(port.ip)}:{port.public}->{port.private}/{port.type}"
        if port.public
        else f"{port.private}/{port.type}"
        for port in shown
    )


def address(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


def container_cells(links: Links) -> Callable[[str, Row], str | None]:
    """What makes HTML of a row's fields; None for those that are text."""

    def cell(field: str, row: Row) -> str | None:
        from labdock.commands import html

        if field == "Names":
            return f"<b>{html.escape(row['Names'])}</b>"
        if field == "Status":
            return html.badge(row["Status"] or row["State"], html.state_colour(row["State"]))
        if field == "Ports":
            return ", ".join(_linked(links, row, part) for part in row["Ports"].split(", ")) if row["Ports"] else ""
        return html.code(row[field]) if field in ("ID", "Command") else None

    return cell


def _linked(links: Links, row: Row, text: str) -> str:
    from labdock.commands import html

    outer, arrow, inner = text.rpartition("->")
    number, _, protocol = inner.partition("/")
    public = outer.rpartition(":")[2]
    if protocol != "tcp" or not number.isdecimal() or (arrow and not public.isdecimal()) or row["State"] != "running":
        return html.escape(text)
    return links.link(row["ID"], int(number), int(public or 0), text)


@command("port")
@click.argument("container")
@click.argument("private_port", required=False)
@click.pass_obj
def port(face: Face, /, container: str, private_port: str | None) -> Result:
    """List port mappings or a specific mapping for the container."""
    found = face.client.containers.inspect(container).ports
    if private_port is None:
        lines = [f"{inner} -> {address(ip)}:{outer}" for inner, ends in sorted(found.items()) for ip, outer in ends]
        return Text("\n".join(lines))
    wanted = private_port if "/" in private_port else f"{private_port}/tcp"
    if not found.get(wanted):
        hint = f"`labdock port {container}` lists what is published" if any(found.values()) else None
        raise InvalidRequest(f"no public port '{wanted}' published for {container}", hint=hint)
    return Text("\n".join(f"{address(ip)}:{outer}" for ip, outer in found[wanted]))


@command("top", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("container")
@click.argument("ps_options", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def top(face: Face, /, container: str, ps_options: tuple[str, ...]) -> Result:
    """Display the running processes of a container."""
    found = face.client.containers.top(container, " ".join(ps_options) or None)
    rows = [dict(zip(found.titles, line, strict=False)) for line in found.processes]
    return Records(found.processes, rows, [(title, title) for title in found.titles], empty="no processes")
