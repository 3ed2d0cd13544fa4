"""REST: JupyterLab's own terminals inside containers, and kernels inside images."""

from __future__ import annotations

import asyncio
from typing import Any

from tornado import web

from labdock.client.caller import path
from labdock.errors import Conflict, InvalidRequest, NotFound
from labdock.jupyter.access import Handler
from labdock.jupyter.desk import LABDOCK

#: The best shell that is there.
SHELL = ("sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi")


class TerminalsHandler(Handler):
    """A terminal of JupyterLab's that runs a command in a container."""

    @web.authenticated
    async def post(self) -> None:
        manager = self.desk.terminals
        if manager is None:
            raise NotFound("terminals are disabled on this server", hint="ServerApp.terminals_enabled enables them")
        body = self.read_body()
        container = body.get("container")
        if not isinstance(container, str) or not container or container.startswith("-"):
            raise InvalidRequest("'container' is missing")
        command = body.get("command") or list(SHELL)
        if not isinstance(command, list) or not all(isinstance(word, str) and "\0" not in word for word in command):
            raise InvalidRequest("'command' is no list of words")
        await self.desk.link.ensure()
        found = await self.desk.link.fetch(path("containers", container, "json"))
        if not found["State"].get("Running"):
            raise Conflict(f"container {found['Name'].lstrip('/')} is not running", hint="start it first")
        made = manager.create(shell_command=[*LABDOCK, "exec", "-it", found["Id"], *command])
        self.answer({"name": made["name"]}, 201)


class KernelsHandler(Handler):
    """The kernels that labdock has made of images."""

    @web.authenticated
    async def get(self) -> None:
        from labdock import kernels

        self.answer([describe(spec) for spec in await asyncio.to_thread(kernels.list_kernels)])

    @web.authenticated
    async def post(self) -> None:
        from labdock import kernels
        from labdock.client import connect

        body = self.read_body()
        image = body.get("image")
        if not isinstance(image, str) or not image:
            raise InvalidRequest("'image' is missing")
        options = read_options(body)
        await self.desk.link.ensure()
        with connect(self.desk.environment, start=False) as client:
            made = await asyncio.to_thread(kernels.add, image, client=client, **options)
        self.answer(describe(made), 201)


class KernelHandler(Handler):
    @web.authenticated
    async def delete(self, name: str) -> None:
        from labdock import kernels

        self.answer(describe(await asyncio.to_thread(kernels.remove, name)))


#: Members of a request for a kernel: what each may be. ``memory``: bytes, or a text such as 2g; ``network``: a name,
#: or false for none and true for the default one.
OPTIONS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "display_name": (str,),
    "install": (bool,),
    "network": (str, bool),
    "memory": (int, str),
    "mounts": (list,),
    "api_socket": (bool,),
}
WORDS = {str: "text", bool: "boolean", int: "number", list: "list"}


def read_options(body: dict[str, Any]) -> dict[str, Any]:
    """What ``kernels.add`` takes. Raises InvalidRequest."""
    from labdock.commands import values

    found: dict[str, Any] = {}
    for name, kinds in OPTIONS.items():
        value = body.get(name)
        if value is None:
            continue
        # By the type itself: a boolean is an int, too.
        if type(value) not in kinds:
            raise InvalidRequest(f"{name!r} is no {' or '.join(WORDS[kind] for kind in kinds)}")
        found[name] = value
    if isinstance(found.get("network"), bool):
        found["network"] = "" if found["network"] else "none"
    if isinstance(found.get("memory"), str):
        found["memory"] = values.size(found["memory"])
    if not all(isinstance(mount, str) for mount in found.get("mounts", ())):
        raise InvalidRequest("'mounts' is no list of texts", hint="each is FOLDER:PLACE, or FOLDER:PLACE:ro")
    return found


def describe(spec: Any) -> dict[str, Any]:
    return {
        "name": spec.name,
        "display_name": spec.display_name,
        "image": spec.image,
        "network": spec.network,
        "memory": spec.settings.memory,
        "mounts": list(spec.settings.mounts),
        "api_socket": spec.settings.api_socket,
        "debugger": spec.debugger,
        "notes": list(spec.notes),
    }
