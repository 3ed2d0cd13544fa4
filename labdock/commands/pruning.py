"""``system prune``: everything that nothing uses, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labdock.commands import units
from labdock.commands.filters import filters
from labdock.commands.results import Result, Text
from labdock.commands.tree import command
from labdock.errors import NotFound

if TYPE_CHECKING:
    from labdock.commands.face import Face


@command("prune")
@click.option("-a", "--all", "all_", is_flag=True, help="Remove all unused images not just dangling ones")
@click.option("--volumes", is_flag=True, help="Prune anonymous volumes")
@click.option("--filter", "conditions", multiple=True, help='Provide filter values (e.g. "label=<key>=<value>")')
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
@click.pass_obj
def prune(face: Face, /, all_: bool, volumes: bool, conditions: tuple[str, ...], force: bool) -> Result:
    """Remove unused data: stopped containers, unused networks, images, build cache."""
    from labdock.commands.disk import confirm

    chosen = filters(conditions)
    parts = ["all stopped containers", "all networks not used by at least one container"]
    parts += ["all anonymous volumes not used by at least one container"] if volumes else []
    parts += ["all images without at least one container associated to them" if all_ else "all dangling images"]
    parts += ["all build cache" if all_ else "unused build cache"]
    listed = "".join(f"\n  - {part}" for part in parts)
    if not force and not confirm(face, f"WARNING! This will remove:{listed}\n\nAre you sure you want to continue?"):
        return Text("")
    before = _weigh(face)
    told = _prune(face, chosen, all_=all_, volumes=volumes)
    return Text("\n".join((told, *_compare(before, _weigh(face)))))


def _weigh(face: Face) -> int | None:
    """Bytes on the disk of all that the engine keeps; None for another engine than labdock's."""
    try:
        total = (face.client.system.df().get("Labdock") or {}).get("Total")
    except NotFound:
        return None
    return total if isinstance(total, int) else None


def _compare(before: int | None, after: int | None) -> tuple[str, ...]:
    if before is None or after is None:
        return ()
    # What is thrown away is freed a little later.
    return (f"On the disk: {units.size(before)} before, {units.size(after)} now (and less in a moment)",)


def _prune(face: Face, chosen: dict[str, list[str]], *, all_: bool, volumes: bool = False) -> str:
    """In the order in which one frees the next."""
    client, sections, freed = face.client, [], 0
    gone = client.containers.prune(chosen)
    freed += gone.get("SpaceReclaimed") or 0
    sections.append(("Deleted Containers:", gone.get("ContainersDeleted") or []))
    sections.append(("Deleted Networks:", client.networks.prune(chosen)))
    if volumes:
        unused = client.volumes.prune(chosen)
        freed += unused.space_reclaimed
        sections.append(("Deleted Volumes:", list(unused.volumes_deleted)))
    images = client.images.prune({"dangling": ["false" if all_ else "true"], **chosen})
    freed += images.space_reclaimed
    words = [f"{kind.lower()}: {name}" for each in images.images_deleted for kind, name in each.items()]
    sections.append(("Deleted Images:", words))
    ids, bytes_ = client.builds.prune(all=all_, filters=chosen or None)
    freed += bytes_
    sections.append(("Deleted build cache objects:", list(ids)))
    lines = [line for title, names in sections if names for line in (title, *names, "")]
    return "\n".join([*lines, f"Total reclaimed space: {units.size(freed)}"])
