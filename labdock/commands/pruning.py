"""``system prune``: everything that nothing uses, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from labdock.commands import units
from labdock.commands.filters import filters
from labdock.commands.results import Result, Text
from labdock.commands.tree import command

if TYPE_CHECKING:
    from labdock.commands.face import Face


@command("prune")
@click.option("-a", "--all", "all_", is_flag=True, help="Remove all unused images not just dangling ones")
@click.option("--filter", "conditions", multiple=True, help='Provide filter values (e.g. "label=<key>=<value>")')
@click.option("-f", "--force", is_flag=True, help="Do not prompt for confirmation")
@click.pass_obj
def prune(face: Face, /, all_: bool, conditions: tuple[str, ...], force: bool) -> Result:
    """Remove unused data: stopped containers, unused networks, images, build cache."""
    from labdock.commands.disk import confirm

    chosen = filters(conditions)
    parts = ["all stopped containers", "all networks not used by at least one container"]
    parts += ["all images without at least one container associated to them" if all_ else "all dangling images"]
    parts += ["all build cache" if all_ else "unused build cache"]
    listed = "".join(f"\n  - {part}" for part in parts)
    if not force and not confirm(face, f"WARNING! This will remove:{listed}\n\nAre you sure you want to continue?"):
        return Text("")
    return Text(_prune(face, chosen, all_=all_))


def _prune(face: Face, chosen: dict[str, list[str]], *, all_: bool) -> str:
    """In the order in which one frees the next."""
    client, sections, freed = face.client, [], 0
    gone = client.containers.prune(chosen)
    freed += gone.get("SpaceReclaimed") or 0
    sections.append(("Deleted Containers:", gone.get("ContainersDeleted") or []))
    sections.append(("Deleted Networks:", client.networks.prune(chosen)))
    images = client.images.prune({"dangling": ["false" if all_ else "true"], **chosen})
    freed += images.space_reclaimed
    words = [f"{kind.lower()}: {name}" for each in images.images_deleted for kind, name in each.items()]
    sections.append(("Deleted Images:", words))
    ids, bytes_ = client.builds.prune(all=all_, filters=chosen or None)
    freed += bytes_
    sections.append(("Deleted build cache objects:", list(ids)))
    lines = [line for title, names in sections if names for line in (title, *names, "")]
    return "\n".join([*lines, f"Total reclaimed space: {units.size(freed)}"])
