"""``compose ls``, ``volumes``, ``version``; and what there is not here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from labdock.commands import compose
from labdock.commands.filters import filters
from labdock.commands.results import Result, Text, render
from labdock.commands.tree import command
from labdock.errors import InvalidRequest, Unsupported

if TYPE_CHECKING:
    from labdock.client.results import ContainerSummary
    from labdock.commands.face import Face
    from labdock.compose.document import Block
    from labdock.compose.loading import Project


def listed(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[tuple[str, str]], form: str | None, **ways: Any
) -> Result:
    """*rows* as a table or by a template; as JSON they are one array, as Compose's lists are."""
    if form == "json" and not ways.get("quiet"):
        return Text(json.dumps([dict(row) for row in rows], ensure_ascii=False))
    return render(rows, rows, columns, form=form, **ways)


@command("ls")
@click.option("-a", "--all", "all_", is_flag=True, help="Show all stopped Compose projects")
@click.option(
    "--filter", "conditions", multiple=True, help='Filter output based on conditions provided (e.g. "name=x")'
)
@click.option("--format", "form", help="Format output using a Go template: table, json, TEMPLATE")
@click.option("-q", "--quiet", is_flag=True, help="Only display project names")
@click.pass_obj
def projects(face: Face, /, all_: bool, conditions: tuple[str, ...], form: str | None, quiet: bool) -> Result:
    """List projects."""
    from labdock.compose import labels

    wanted = filters(conditions)
    if unknown := set(wanted) - {"name"}:
        raise InvalidRequest(f"invalid filter {min(unknown)!r}", hint="name=PART")
    found: dict[str, list[ContainerSummary]] = {}
    for each in face.client.containers.list(all=all_, filters={"label": [labels.PROJECT]}):
        found.setdefault(each.labels[labels.PROJECT], []).append(each)
    rows = []
    for name, members in sorted(found.items()):
        if wanted and not any(part in name for part in wanted["name"]):
            continue
        states = sorted({each.state for each in members})
        counts = ", ".join(f"{state}({sum(each.state == state for each in members)})" for state in states)
        files = next((each.labels.get(labels.CONFIG_FILES, "") for each in members), "")
        rows.append({"Name": name, "Status": counts, "ConfigFiles": files})
    columns = (("NAME", "Name"), ("STATUS", "Status"), ("CONFIG FILES", "ConfigFiles"))
    return listed(rows, columns, form, quiet="Name" if quiet else None, empty="no projects")


def _of(project: Project, names: Sequence[str]) -> list[Block]:
    return [project.services[name] for name in names if name in project.services]


@command("volumes")
@click.option("--format", "form", help="Format output using a Go template: table, json, TEMPLATE")
@click.option("-q", "--quiet", is_flag=True, help="Only display volume names")
@click.argument("services", nargs=-1)
@click.pass_obj
def volumes(face: Face, /, services: tuple[str, ...], form: str | None, quiet: bool) -> Result:
    """List volumes."""
    from labdock.compose import labels

    deployment = compose.deploy(face, services, by_labels=True)
    deployment.check_names(services)
    project = deployment.project
    wanted = None
    if services:
        mounts = [mount for known in _of(project, services) for mount in known.get("volumes", ())]
        sources = {mount.get("source") for mount in mounts if mount["type"] == "volume"}
        wanted = {volume["name"] for key, volume in project.volumes.items() if key in sources}
        wanted |= {
            str(mount.get("Name"))
            for each in deployment.containers(services)
            for mount in each.raw.get("Mounts") or ()
            if mount.get("Type") == "volume"
        }
    found, _ = face.client.volumes.look({"label": [f"{labels.PROJECT}={project.name}"]})
    rows = [
        {"Driver": each.driver, "Name": each.name}
        for each in sorted(found, key=lambda volume: volume.name)
        if wanted is None or each.name in wanted
    ]
    columns = (("DRIVER", "Driver"), ("VOLUME NAME", "Name"))
    return render(rows, rows, columns, form=form, quiet="Name" if quiet else None, empty="no volumes")


@command("version")
@click.option(
    "-f", "--format", "form", type=click.Choice(["pretty", "json"]), default="pretty", help="Format the output"
)
@click.option("--short", is_flag=True, help="Show only the version number")
@click.pass_obj
def version(face: Face, /, form: str, short: bool) -> Result:
    """Show which version of Docker Compose this goes by."""
    from labdock import __version__
    from labdock.compose.labels import SPOKEN

    if short:
        return Text(SPOKEN)
    if form == "json":
        return Text(json.dumps({"version": f"v{SPOKEN}", "labdock": __version__}))
    return Text(f"Docker Compose version v{SPOKEN} (labdock {__version__})")


@command("refused", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def refused(context: click.Context, /, words: tuple[str, ...]) -> Result:
    """Refused: Docker Compose has it, labdock has not."""
    hints = {
        "bridge": "it makes files for another orchestrator out of a project; labdock runs projects",
        "publish": "`compose config` writes the project as one file, `compose push` sends its images",
        "watch": "mount the sources in `volumes`, or run `compose up -d --build` again",
    }
    raise Unsupported(f"compose {context.info_name} is not supported", hint=hints[str(context.info_name)])
