"""``network ls`` and ``network inspect``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labdock.commands.filters import filters
from labdock.commands.inspecting import inspect_by
from labdock.commands.results import Result, mark_short, render
from labdock.commands.tree import command

if TYPE_CHECKING:
    from labdock.commands.face import Face

COLUMNS = (("NETWORK ID", "ID"), ("NAME", "Name"), ("DRIVER", "Driver"), ("SCOPE", "Scope"))
inspect = inspect_by("network")


@command("ls")
@click.option("-f", "--filter", "conditions", multiple=True, help='Provide filter values (e.g. "driver=bridge")')
@click.option("--format", "form", help="Format output using a Go template")
@click.option("--no-trunc", is_flag=True, help="Do not truncate the output")
@click.option("-q", "--quiet", is_flag=True, help="Only display network IDs")
@click.pass_obj
def listing(face: Face, /, conditions: tuple[str, ...], form: str | None, no_trunc: bool, quiet: bool) -> Result:
    """List networks."""
    found = sorted(face.client.networks.list(filters(conditions)), key=lambda network: network.name)
    rows = [
        {
            "ID": mark_short(network.id, whole=no_trunc),
            "Name": network.name,
            "Driver": network.driver,
            "Scope": network.scope,
            "CreatedAt": network.created,
            "Internal": network.internal,
        }
        for network in found
    ]
    return render(found, rows, COLUMNS, form=form, quiet="ID" if quiet else None, empty="no networks", kind="networks")
