"""``cp``, ``diff``, ``export``, ``commit``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from labdock.commands import units
from labdock.commands.results import Records, Result, Text
from labdock.commands.tree import command
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.commands.face import Face

_WORDS = {"A": "added", "C": "changed", "D": "deleted"}


@command("cp")
@click.option("-a", "--archive", "own", is_flag=True, help="Archive mode (copy all uid/gid information)")
@click.option("-L", "--follow-link", "follow", is_flag=True, help="Always follow symbol link in SRC_PATH")
@click.option("-q", "--quiet", is_flag=True, help="Suppress progress output during copy")
@click.argument("source", metavar="SRC_PATH|CONTAINER:SRC_PATH|-")
@click.argument("target", metavar="DEST_PATH|CONTAINER:DEST_PATH|-")
@click.pass_obj
def copy(face: Face, /, source: str, target: str, own: bool, follow: bool, quiet: bool) -> None:
    """Copy files and folders between a container and this machine; `-` is a tar on standard input or output."""
    from labdock.client import copying

    (giver, there), (taker, place) = copying.read_place(source), copying.read_place(target)
    if giver and taker:
        raise InvalidRequest("copying between containers is not supported", hint="copy by way of this machine")
    files = face.client.files
    if giver and target == "-":
        if face.keeps_results or face.output_is_terminal():
            raise InvalidRequest(
                "cowardly refusing to write a tar to a terminal", hint=f"cp {source} FILE, or redirect the output"
            )
        for piece in files.archive(giver, there)[1]:
            face.write("stdout", piece)
        return
    if giver:
        size = copying.copy_out(files, giver, there, target, follow=follow)
        if not quiet:
            face.say(f"Successfully copied {units.size(size, 3)} to {os.path.abspath(target)}")
    elif taker:
        if not place:
            raise InvalidRequest("destination path is missing", hint="name one: CONTAINER:/PATH")
        standard = face.input_chunks() if source == "-" else None
        size = copying.copy_in(files, source, taker, place, follow=follow, own=own, standard=standard)
        if not quiet:
            face.say(f"Successfully copied {units.size(size, 3)} to {taker}:{place}")
    else:
        raise InvalidRequest("must specify at least one container source", hint="write CONTAINER:PATH")


@command("diff")
@click.argument("container")
@click.pass_obj
def diff(face: Face, /, container: str) -> Result:
    """Inspect changes to files or directories on a container's filesystem."""
    found = face.client.files.changes(container)
    if not face.keeps_results:
        return Text("\n".join(f"{kind} {path}" for kind, path in found))
    rows = [{"Kind": _WORDS[kind], "Path": path} for kind, path in found]
    return Records(found, rows, (("CHANGE", "Kind"), ("PATH", "Path")), empty="it changed no file")


@command("export")
@click.option("-o", "--output", help="Write to a file, instead of STDOUT")
@click.argument("container")
@click.pass_obj
def export(face: Face, /, container: str, output: str | None) -> None:
    """Export a container's filesystem as a tar archive."""
    from labdock.commands.images import write_file

    if output is None and (face.keeps_results or face.output_is_terminal()):
        raise InvalidRequest(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect", hint="export -o FILE CONTAINER"
        )
    pieces = face.client.files.export(container)
    if output is not None:
        write_file(output, pieces)
        return
    for piece in pieces:
        face.write("stdout", piece)


@command("commit")
@click.option("-a", "--author", default="", help='Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")')
@click.option("-c", "--change", "changes", multiple=True, help="Apply Dockerfile instruction to the created image")
@click.option("-m", "--message", default="", help="Commit message")
@click.option("-p", "--pause/--no-pause", default=True, help="Pause container during commit")
@click.argument("container")
@click.argument("name", metavar="[REPOSITORY[:TAG]]", required=False, default="")
@click.pass_obj
def commit(
    face: Face, /, container: str, name: str, author: str, changes: tuple[str, ...], message: str, pause: bool
) -> Result:
    """Create a new image from a container's changes."""
    made = face.client.files.commit(container, name, comment=message, author=author, pause=pause, changes=changes)
    return Text(made)
