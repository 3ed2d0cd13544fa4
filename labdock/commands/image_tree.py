"""``images --tree``: each image with its names, its platform and the containers that use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labdock.commands import units
from labdock.commands.results import Result, Text, align, mark_short
from labdock.errors import InvalidRequest

if TYPE_CHECKING:
    from labdock.client.results import ImageSummary
    from labdock.commands.face import Face


def draw(face: Face, images: Sequence[ImageSummary], clash: str) -> Result:
    """The tree; *clash* is an option that was given and does not go with it."""
    if clash:
        raise InvalidRequest(f"{clash} is not yet supported with --tree")
    used = {container.image_id for container in face.client.containers.list(all=True)}
    lines = [("IMAGE", "ID", "DISK USAGE", "IN USE")]
    for image in images:
        names = image.repo_tags or ("<untagged>",)
        raw = face.client.images.inspect(image.id).raw
        platform = "/".join(filter(None, (raw.get("Os"), raw.get("Architecture"), raw.get("Variant"))))
        facts = mark_short(image.id, whole=False), units.size(image.size, 3), "✔" if image.id in used else ""
        lines += [(names[0], *facts), *((f"├─ {name}", "", "", "") for name in names[1:])]
        lines.append((f"└─ {platform}", *facts))
    return Text(align(lines))
