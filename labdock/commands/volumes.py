"""``volume ls``, ``create``, ``rm``, ``inspect``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labdock.commands import values
from labdock.commands.filters import filters
from labdock.commands.inspecting import inspect_by
from labdock.commands.lifecycle import each
from labdock.commands.results import Result, Text, render
from labdock.commands.tree import command

if TYPE_CHECKING:
    from labdock.commands.face import Face

COLUMNS = (("DRIVER", "Driver"), ("VOLUME NAME", "Name"))
inspect = inspect_by("volume")


@command("ls")
@click.option("-f", "--filter", "conditions", multiple=True, help='Provide filter values (e.g. "dangling=true")')
@click.option("--format", "form", help="Format output using a Go template")
@click.option("-q", "--quiet", is_flag=True, help="Only display volume names")
@click.pass_obj
def listing(face: Face, /, conditions: tuple[str, ...], form: str | None, quiet: bool) -> Result:
    """List volumes."""
    found = sorted(face.client.volumes.list(filters(conditions)), key=lambda volume: volume.name)
    rows = [
        {
            "Driver": volume.driver,
            "Name": volume.name,
            "Mountpoint": volume.mountpoint,
            "Scope": volume.scope,
            "Labels": ",".join(f"{name}={value}" for name, value in sorted(volume.labels.items())),
        }
        for volume in found
    ]
    return render(found, rows, COLUMNS, form=form, quiet="Name" if quiet else None, empty="no volumes", kind="volumes")


@command("create")
@click.option("-d", "--driver", default="local", help="Specify volume driver name")
@click.option("--label", multiple=True, help="Set metadata for a volume")
@click.option("-o", "--opt", multiple=True, help="Set driver specific options")
@click.argument("volume", required=False)
@click.pass_obj
def create(face: Face, /, volume: str | None, driver: str, label: tuple[str, ...], opt: tuple[str, ...]) -> Result:
    """Create a volume."""
    options, labels = values.key_values(opt), values.key_values(label)
    return Text(face.client.volumes.create(volume, driver=driver, options=options, labels=labels).name)


@command("rm")
@click.option("-f", "--force", is_flag=True, help="Force the removal of one or more volumes")
@click.argument("volumes", nargs=-1, required=True)
@click.pass_obj
def remove(face: Face, /, volumes: tuple[str, ...], force: bool) -> Result:
    """Remove one or more volumes."""
    return each(face, volumes, lambda name: face.client.volumes.remove(name, force=force))
