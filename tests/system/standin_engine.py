"""A stand-in for the engine process's two rooms: the real daemon.engine around an engine that does nothing.

Run by inner as `python standin_engine.py [broken | slow-stop | crash]`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from labdock.daemon import engine
from labdock.errors import StorageFull


class Containers:
    def list(self, all: bool, limit: int | None, size: bool, filters: dict[str, list[str]]) -> list[Any]:
        return []


class StandIn:
    """What daemon.engine asks of an engine."""

    containers = Containers()

    def __init__(self, data: Path) -> None:
        self._data = data

    async def close(self) -> None:
        (self._data / "closed").write_text("gracefully")


async def open_engine(plan: Any, paths: Any, outside: Any) -> StandIn:
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    if mode == "broken":
        raise StorageFull("writing the store: No space left on device", hint="make room")
    if mode == "bug":
        raise ZeroDivisionError("a bug")
    assert await outside.published() == ()
    return StandIn(paths.data)


def make_application(opened: StandIn) -> web.Application:
    async def ping(request: web.Request) -> web.Response:
        return web.Response(text="OK")

    async def facts(request: web.Request) -> web.Response:
        return web.json_response({"pid": os.getpid(), "environment": dict(os.environ), "umask": os.umask(0o022)})

    async def die(request: web.Request) -> web.Response:
        os.kill(os.getpid(), 9)
        return web.Response()

    application = web.Application()
    application.add_routes([web.get("/_ping", ping), web.get("/facts", facts), web.get("/die", die)])
    return application


if __name__ == "__main__":
    if sys.argv[1:] == ["crash"]:
        raise SystemError("crashed before anything could be said")
    sys.exit(engine.main(open_engine, make_application))
