"""``labdock api``: the table of endpoints that the engine serves or refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labdock.commands.results import Result, Text, render
from labdock.commands.tree import command

if TYPE_CHECKING:
    from labdock.commands.face import Face

COLUMNS = (
    ("METHOD", "Method"), ("PATH", "Path"), ("SINCE", "Since"), ("ANSWER", "Answer"), ("PARAMETERS", "Parameters"),
)  # fmt: skip


@command("api")
@click.option("--format", "form", help="Format output using a Go template, or json")
@click.option("--openapi", is_flag=True, help="Print what is served as an OpenAPI document")
@click.pass_obj
def api(face: Face, /, form: str | None, openapi: bool) -> Result:
    """Show the endpoints of the Docker Engine API, and which of them this engine refuses."""
    if openapi:
        import msgspec

        return Text(msgspec.json.format(msgspec.json.encode(face.client.system.openapi())).decode())
    found = face.client.system.api()
    rows = [
        {
            **row,
            "Answer": f"refused: {row['Refused']}" if row["Refused"] else f"{row['Status']} {row['Answer']}".strip(),
            "Parameters": " ".join([*row["Query"], *([f"({row['Body']})"] if row["Body"] else [])]),
        }
        for row in found
    ]
    return render(found, rows, COLUMNS, form=form)
