"""REST: what a prune would remove. Nothing is removed here."""

from __future__ import annotations

from typing import Any

from tornado import web

from labdock.errors import InvalidRequest
from labdock.jupyter.access import Handler
from labdock.jupyter.engine import Link
from labdock.jupyter.flattening import ALIVE, BUILTIN

Item = dict[str, Any]


class PruneHandler(Handler):
    @web.authenticated
    async def get(self) -> None:
        kind = self.argument("kind")
        preview = PREVIEWS.get(kind)
        if preview is None:
            raise InvalidRequest(f"{kind!r} is nothing to prune", hint=", ".join(PREVIEWS))
        await self.desk.link.ensure()
        items = await preview(self.desk.link)
        self.answer({"items": items, "reclaimable": sum(item["size"] for item in items)})


def _item(id: str, name: str, size: int = 0) -> Item:
    # -1: the engine does not know.
    return {"id": id, "name": name, "size": max(size, 0)}


async def _containers(link: Link) -> list[Item]:
    found = await link.fetch("/containers/json", {"all": True, "size": True})
    ended = (each for each in found if each["State"] not in ALIVE and each["State"] not in ("restarting", "removing"))
    return [_item(each["Id"], each["Names"][0].lstrip("/"), int(each.get("SizeRw") or 0)) for each in ended]


async def _images(link: Link) -> list[Item]:
    """As ``docker image prune``: those without a name that nothing is made of."""
    found = await link.fetch("/images/json", {"filters": {"dangling": ["true"]}})
    used = {each["ImageID"] for each in await link.fetch("/containers/json", {"all": True})}
    return [
        _item(each["Id"], each["Id"].removeprefix("sha256:")[:12], int(each.get("Size") or 0))
        for each in found
        if each["Id"] not in used
    ]


async def _networks(link: Link) -> list[Item]:
    """As ``docker network prune``: those that no container is in now; one that has ended is in none."""
    used = {
        name
        for each in await link.fetch("/containers/json", {"all": True})
        if each["State"] in ALIVE or each["State"] == "restarting"
        for name in (each.get("NetworkSettings") or {}).get("Networks") or ()
    }
    found = await link.fetch("/networks")
    return [_item(each["Id"], each["Name"]) for each in found if each["Name"] not in used | BUILTIN]


async def _volumes(link: Link) -> list[Item]:
    """As ``docker volume prune``: anonymous ones that nobody uses."""
    found = await link.fetch("/system/df", {"type": "volume"})
    return [
        _item(each["Name"], each["Name"], int((each.get("UsageData") or {}).get("Size") or 0))
        for each in found.get("Volumes") or ()
        if (each.get("UsageData") or {}).get("RefCount", 1) == 0
        and "com.docker.volume.anonymous" in (each.get("Labels") or {})
    ]


async def _build(link: Link) -> list[Item]:
    found = await link.fetch("/system/df", {"type": "build-cache"})
    return [
        _item(each["ID"], str(each.get("Description") or each["ID"]), int(each.get("Size") or 0))
        for each in found.get("BuildCache") or ()
        # What images share stays: it would free nothing.
        if not each.get("InUse") and not each.get("Shared")
    ]


PREVIEWS = {"containers": _containers, "images": _images, "networks": _networks, "volumes": _volumes, "build": _build}
