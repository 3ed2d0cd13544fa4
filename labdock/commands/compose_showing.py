"""``compose ps``, ``config``, ``port``, ``top``, ``events``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from labdock.commands import compose
from labdock.commands.filters import filters
from labdock.commands.listing import address, container_cells, container_row
from labdock.commands.ports import Links, find_links
from labdock.commands.results import Exited, Records, Result, Text, printable, render
from labdock.commands.talking import moment
from labdock.commands.tree import command
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.client.results import ContainerSummary
    from labdock.commands.face import Face
    from labdock.compose.loading import Project

COLUMNS = (
    ("NAME", "Names"),
    ("IMAGE", "Image"),
    ("COMMAND", "Command"),
    ("SERVICE", "Service"),
    ("CREATED", "RunningFor"),
    ("STATUS", "Status"),
    ("PORTS", "Ports"),
)


def table(
    found: Sequence[ContainerSummary],
    links: Links,
    form: str | None = None,
    *,
    quiet: bool = False,
    whole: bool = False,
) -> Result:
    """Containers as ``compose ps`` shows them."""
    from labdock.compose import labels

    rows = []
    for each in found:
        row = container_row(each, whole=quiet or whole)
        rows.append(row | _facts(each) | {"Name": row["Names"], "Service": each.labels.get(labels.SERVICE, "")})
    return render(
        found,
        rows,
        COLUMNS,
        form=form,
        quiet="ID" if quiet else None,
        cell=container_cells(links),
        empty="no containers",
        kind="containers",
    )


_HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")
_CODE = re.compile(r"Exited \((\d+)\)")


def _facts(each: ContainerSummary) -> dict[str, Any]:
    """What only Compose's JSON has, in its words."""
    from labdock.compose import labels

    health, code = _HEALTH.search(each.status), _CODE.match(each.status)
    return {
        "Project": each.labels.get(labels.PROJECT, ""),
        "Health": health[1] if health else "",
        "ExitCode": int(code[1]) if code else 0,
        "Publishers": [
            {"URL": port.ip, "TargetPort": port.private, "PublishedPort": port.public, "Protocol": port.type}
            for port in each.ports
        ],
    }


STATES = ("paused", "restarting", "removing", "running", "dead", "created", "exited")


@command("ps")
@click.option("-a", "--all", "all_", is_flag=True, help="Show all stopped containers")
@click.option("--format", "form", help="Format output using a Go template: table, json, TEMPLATE")
@click.option("--filter", "conditions", multiple=True, help="Filter services by a property (supported filters: status)")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.option("--orphans/--no-orphans", default=True, help="Include orphaned services (not declared by project)")
@click.option("-q", "--quiet", is_flag=True, help="Only display IDs")
@click.option("--status", "states", multiple=True, type=click.Choice(STATES), help="Filter services by status")
@click.option("--services", "only_services", is_flag=True, help="Display services")
@click.argument("services", nargs=-1)
@click.pass_obj
def ps(face: Face, /, services: tuple[str, ...], all_: bool, form: str | None, quiet: bool, **options: Any) -> Result:
    """List containers."""
    from labdock.compose import labels

    deployment = compose.deploy(face, services, by_labels=True)
    deployment.check_names(services)
    wanted = filters(options["conditions"])
    if unknown := set(wanted) - {"status"}:
        raise InvalidRequest(f"invalid filter {min(unknown)!r}", hint=f"status={'|'.join(STATES)}")
    states = {*wanted.get("status", ()), *options["states"]}
    found = deployment.containers(services, all=all_ or bool(states))
    found = [each for each in found if not states or each.state in states]
    if not options["orphans"]:
        known = {each.id for each in deployment.orphans()}
        found = [each for each in found if each.id not in known]
    if options["only_services"]:
        return Text("\n".join(dict.fromkeys(each.labels.get(labels.SERVICE, "") for each in found)))
    return table(found, find_links(face.environment), form, quiet=quiet, whole=options["no_trunc"])


def canonical(project: Project) -> dict[str, Any]:
    """The project as ``config`` shows it: dollar signs doubled, so that it reads as the same again."""
    found: dict[str, Any] = {"name": project.name, "services": project.services}
    for kind in ("networks", "volumes", "secrets", "configs"):
        if getattr(project, kind):
            found[kind] = getattr(project, kind)
    plain: dict[str, Any] = _plain(found)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


@command("config")
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", help="Format the output")
@click.option("-q", "--quiet", is_flag=True, help="Only validate the configuration, don't print anything")
@click.option("--services", "only", flag_value="services", help="Print the service names, one per line")
@click.option("--volumes", "only", flag_value="volumes", help="Print the volume names, one per line")
@click.option("--networks", "only", flag_value="networks", help="Print the network names, one per line")
@click.option("--profiles", "only", flag_value="profiles", help="Print the profile names, one per line")
@click.option("--images", "only", flag_value="images", help="Print the image names, one per line")
@click.option("--environment", "only", flag_value="environment", help="Print environment used for interpolation")
@click.option("-o", "--output", help="Save to file (default to stdout)")
@click.option("--hash", "hashed", help='Print the service config hash, one per line ("*": of all)')
@click.argument("services", nargs=-1)
@click.pass_obj
def config(
    face: Face, /, services: tuple[str, ...], form: str, quiet: bool, only: str | None, hashed: str | None, output: str
) -> Result:
    """Check the files and show them as they are understood."""
    from pathlib import Path

    project = compose.load(face, services)
    compose.check_names(project, services)
    if services:
        project.services = {name: value for name, value in project.services.items() if name in services}
    if quiet:
        return Text("")
    said = _said(project, form, only, hashed)
    if not output:
        return said
    Path(output).write_text(f"{said}\n", encoding="utf-8")
    return Text("")


def _said(project: Project, form: str, only: str | None, hashed: str | None) -> Result:
    from labdock.compose import labels
    from labdock.compose.requests import image_of

    if hashed:
        wanted = sorted(project.services) if hashed == "*" else hashed.split(",")
        compose.check_names(project, wanted)
        return Text("\n".join(f"{name} {labels.config_hash(project.services[name], project)}" for name in wanted))
    if only == "images":
        return Text("\n".join(image_of(name, service, project) for name, service in project.services.items()))
    if only == "profiles":
        everything = [*project.services.values(), *project.disabled.values()]
        return Text("\n".join(sorted({name for service in everything for name in service.get("profiles", ())})))
    if only == "environment":
        return Text("\n".join(f"{name}={value}" for name, value in sorted(project.environment.items())))
    if only:
        return Text("\n".join(getattr(project, only)))
    if form == "json":
        return Text(json.dumps(canonical(project), indent=2, ensure_ascii=False))
    import yaml

    return Text(yaml.safe_dump(canonical(project), sort_keys=False, allow_unicode=True).rstrip("\n"))


@command("port")
@click.option("--index", type=int, default=0, help="Index of the container if service has multiple replicas")
@click.option("--protocol", type=click.Choice(["tcp", "udp"]), default="tcp", help="tcp or udp")
@click.argument("service")
@click.argument("private_port", type=int)
@click.pass_obj
def port(face: Face, /, service: str, private_port: int, index: int, protocol: str) -> Result:
    """Print the public port for a port binding."""
    found = face.client.containers.inspect(compose.deploy(face, (service,), by_labels=True).find(service, index)).ports
    ends = found.get(f"{private_port}/{protocol}")
    if not ends:
        raise InvalidRequest(f"no port {private_port}/{protocol} for container of {service}")
    return Text(f"{address(ends[0][0])}:{ends[0][1]}")


@command("top")
@click.argument("services", nargs=-1)
@click.pass_obj
def top(face: Face, /, services: tuple[str, ...]) -> Result:
    """Display the running processes."""
    deployment = compose.deploy(face, services, by_labels=True)
    deployment.check_names(services)
    parts = []
    for each in deployment.containers(services, all=False):
        found = face.client.containers.top(each.id)
        rows = [dict(zip(found.titles, line, strict=False)) for line in found.processes]
        records = Records(found.processes, rows, [(title, title) for title in found.titles])
        parts.append(f"{each.name}\n{records}")
    return Text("\n\n".join(parts))


@command("events")
@click.option("--since", help="Show all events created since timestamp")
@click.option("--until", help="Stream events until this timestamp")
@click.option("--json", "as_json", is_flag=True, help="Output events as a stream of json objects")
@click.argument("services", nargs=-1)
@click.pass_obj
def events(face: Face, /, services: tuple[str, ...], as_json: bool, since: str | None, until: str | None) -> Result:
    """Receive real time events from containers."""
    from labdock.compose import labels

    project = compose.load(face, services, by_labels=True)
    conditions = {"type": ["container"], "label": [f"{labels.PROJECT}={project.name}"]}

    def lines() -> Any:
        for event in face.client.system.events(since=moment(since), until=moment(until), filters=conditions):
            known = event.actor.attributes
            if services and known.get(labels.SERVICE) not in services:
                continue
            shown = {
                "time": event.time,
                "action": event.action,
                "service": known.get(labels.SERVICE, ""),
                "name": known.get("name", ""),
                "id": event.actor.id,
            }
            words = f"{event.time} container {event.action} {event.actor.id} (name={shown['name']})"
            yield "stdout", (json.dumps(shown) if as_json else printable(words)).encode() + b"\n"

    face.follow(lines())
    return Exited(0)
