"""Answers as older versions of the API have them: fields that came back then and are gone now. Pure.

Each function gets an answer of the current version and gives it as *version* has it.
"""

from __future__ import annotations

from typing import Any

from labdock.api.call import Version

Wire = dict[str, Any]
_NO_ALIASES = frozenset({"bridge", "host", "none", "default"})


def age_image(image: Wire, version: Version) -> Wire:
    """One image, listed or inspected: up to 1.43 it has a VirtualSize, its Size."""
    return image if version >= (1, 44) else {**image, "VirtualSize": image["Size"]}


def age_images(images: list[Wire], version: Version) -> list[Wire]:
    return images if version >= (1, 44) else [age_image(image, version) for image in images]


def age_image_inspect(image: Wire, version: Version, client: str = "") -> Wire:
    """*client*: its User-Agent.

    # quirk: docker-compose 1.x negotiates the newest version and still reads ContainerConfig, which went with 1.45.
    """
    if version < (1, 45) or client.startswith("docker-compose/1."):
        image = {**image, "Container": "", "ContainerConfig": dict(image.get("Config") or {})}
    return age_image(image, version)


def age_container(container: Wire, version: Version) -> Wire:
    """An inspected container: up to 1.44 its short id and host name are among its aliases in networks of names."""
    if version >= (1, 45):
        return container
    settings = container["NetworkSettings"]
    more = [container["Id"][:12], container["Config"].get("Hostname") or ""]
    networks = {
        name: endpoint if name in _NO_ALIASES else {**endpoint, "Aliases": _join(endpoint.get("Aliases"), more)}
        for name, endpoint in (settings.get("Networks") or {}).items()
    }
    return {**container, "NetworkSettings": {**settings, "Networks": networks}}


def _join(names: list[str] | None, more: list[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, [*(names or ()), *more])))


def age_disk_usage(found: Wire, version: Version) -> Wire:
    """Up to 1.41 there is a BuilderSize."""
    if version < (1, 44) and found.get("Images"):
        found = {**found, "Images": age_images(found["Images"], version)}
    return found if version < (1, 42) else {name: value for name, value in found.items() if name != "BuilderSize"}
