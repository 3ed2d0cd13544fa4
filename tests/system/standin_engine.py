"""A stand-in for the engine process's two rooms: the real daemon.engine around an engine that does nothing.

Run by inner as `python standin_engine.py [MODE]`: "broken" (a diagnosis), "bug" (an exception), "crash" (no word),
"slow" (it never gets ready), "fragile" (it dies soon after it was ready), "hang" (it does not end when asked to).
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from labdock.daemon import engine
from labdock.errors import StorageFull


class Containers:
    def are_alive(self) -> bool:
        return False


class Registry:
    serving = False


class StandIn:
    """What daemon.engine asks of an engine."""

    containers = Containers()
    registry = Registry()

    def __init__(self, data: Path) -> None:
        self._data = data

    async def close(self) -> None:
        if sys.argv[1:] == ["hang"]:
            await asyncio.sleep(3600)
        (self._data / "closed").write_text("gracefully")


async def open_engine(plan: Any, paths: Any, outside: Any) -> StandIn:
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    if mode == "broken":
        raise StorageFull("writing the store: No space left on device", hint="make room")
    if mode == "bug":
        raise ZeroDivisionError("a bug")
    if mode == "slow":
        await asyncio.sleep(3600)
    if mode == "fragile":
        asyncio.get_running_loop().call_later(0.05, os.abort)
    assert await outside.published() == ()
    return StandIn(paths.data)


def make_application(opened: StandIn) -> web.Application:
    async def ping(request: web.Request) -> web.Response:
        return web.Response(text="OK")

    async def facts(request: web.Request) -> web.Response:
        told = {
            "environment": dict(os.environ),
            "umask": os.umask(0o022),
            "folder": os.getcwd(),
            "files": sorted(int(name) for name in os.listdir("/proc/self/fd")),
            "mounts": Path("/proc/self/mountinfo").read_text(),
            "resolv": Path("/etc/resolv.conf").read_text(),
        }
        return web.json_response(told)

    async def die(request: web.Request) -> web.Response:
        os.kill(os.getpid(), 9)
        return web.Response()

    application = web.Application()
    application.add_routes([web.get("/_ping", ping), web.get("/facts", facts), web.get("/die", die)])
    return application


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.argv[1:] == ["crash"]:
        raise SystemError("crashed before anything could be said")
    sys.exit(engine.main(open_engine, make_application))
