"""``volume ls``, ``create``, ``rm``, ``inspect``, ``prune``, ``export``, ``import``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labdock.commands import units, values
from labdock.commands.disk import confirm
from labdock.commands.filters import filters
from labdock.commands.foreign import cluster_options
from labdock.commands.images import file_chunks, write_file
from labdock.commands.inspecting import inspect_by
from labdock.commands.lifecycle import each
from labdock.commands.results import Result, Text, render
from labdock.commands.tree import command
from labdock.errors import InvalidRequest, Unsupported

if TYPE_CHECKING:
    from labdock.commands.face import Face

COLUMNS = (("DRIVER", "Driver"), ("VOLUME NAME", "Name"))
inspect = inspect_by("volume")


@command("ls")
@click.option("--cluster", is_flag=True, help="Display only cluster volumes: a Swarm's, so none")
@click.option("-f", "--filter", "conditions", multiple=True, help='Provide filter values (e.g. "dangling=true")')
@click.option("--format", "form", help="Format output using a Go template")
@click.option("-q", "--quiet", is_flag=True, help="Only display volume names")
@click.pass_obj
def listing(face: Face, /, cluster: bool, conditions: tuple[str, ...], form: str | None, quiet: bool) -> Result:
    """List volumes."""
    volumes, warnings = face.client.volumes.look(filters(conditions))
    for warning in warnings:
        face.say(f"WARNING: {warning}")
    found = sorted(volumes, key=lambda volume: volume.name)
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
@cluster_options
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


@command("prune")
@click.option("-a", "--all", "all_", is_flag=True, help="Remove all unused volumes, not just anonymous ones")
@click.option("--filter", "conditions", multiple=True, help='Provide filter values (e.g. "label=<label>")')
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
@click.pass_obj
def prune(face: Face, /, all_: bool, conditions: tuple[str, ...], force: bool) -> Result:
    """Remove unused volumes."""
    what = "all" if all_ else "anonymous"
    question = f"WARNING! This will remove {what} local volumes not used by at least one container.\n"
    if not force and not confirm(face, f"{question}Are you sure you want to continue?"):
        return Text("")
    chosen = filters(conditions)
    if all_:
        chosen["all"] = ["true"]
    found = face.client.volumes.prune(chosen)
    told = ["Deleted Volumes:", *found.volumes_deleted, ""] if found.volumes_deleted else []
    return Text("\n".join([*told, f"Total reclaimed space: {units.size(found.space_reclaimed)}"]))


@command("export")
@click.option("-o", "--output", help="Write to a file, instead of STDOUT")
@click.argument("volume")
@click.pass_obj
def export(face: Face, /, volume: str, output: str | None) -> None:
    """Write all files of a volume, with owners and modes, to a tar archive (streamed to STDOUT by default).

    To rename a volume: `labdock volume export OLD | labdock volume import NEW`, then `labdock volume rm OLD`.
    """
    if output is None and (face.keeps_results or face.output_is_terminal()):
        raise InvalidRequest(
            "cowardly refusing to write a volume to a terminal", hint="volume export -o FILE VOLUME, or redirect"
        )
    pieces = face.client.volumes.export(volume)
    if output is None:
        for piece in pieces:
            face.write("stdout", piece)
        return
    write_file(output, pieces)


@command("import")
@click.argument("volume")
@click.argument("archive", default="-")
@click.pass_obj
def import_tar(face: Face, /, volume: str, archive: str) -> Result:
    """Make a volume of a tar archive (- or nothing: STDIN), or fill an empty one. All of it, or nothing."""
    pieces = face.input_chunks() if archive == "-" else file_chunks(archive)
    return Text(face.client.volumes.import_tar(volume, pieces).name)


@command("update")
@click.option(
    "--availability",
    type=click.Choice(["active", "pause", "drain"]),
    default="active",
    help='Cluster Volume availability ("active", "pause", "drain")',
)
@click.argument("volume", required=False)
@click.pass_obj
def update(face: Face, /, volume: str | None, availability: str) -> None:
    """Update a volume (cluster volumes only): refused, in Docker's words, for the volumes that there are."""
    if face.client.volumes.inspect(volume or "").raw.get("ClusterVolume") is None:
        raise InvalidRequest("can only update cluster volumes", hint="they are a Swarm's; labdock is one machine's")
    raise Unsupported("labdock does not update cluster volumes", hint="`docker volume update` does, on a swarm manager")
