"""Endpoints of Docker's API that are answered as by an engine without what is behind them: clients do without."""

from __future__ import annotations

from aiohttp import web

from labdock.api.answers import json_answer
from labdock.api.call import Call, Handler
from labdock.errors import NotFound, Unavailable, Unsupported

#: moby's errNoSwarm: clean-ups count on it (`POST /swarm/leave` answers it on every engine without a swarm).
NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)


async def swarm(call: Call) -> web.StreamResponse:
    raise Unavailable(NO_SWARM)


async def list_plugins(call: Call) -> web.StreamResponse:
    call.query.filters()
    return json_answer([])


async def no_such_plugin(call: Call) -> web.StreamResponse:
    # `docker inspect NAME` asks every kind of object in turn and goes on only after a 404.
    raise NotFound(f'plugin "{call["name"]}" not found')


async def plugins(call: Call) -> web.StreamResponse:
    raise Unsupported(
        "labdock does not install managed plugins: they are containers with the machine's own rights",
        hint="volume drivers that listen on a socket of their own need no installing",
    )


async def buildkit(call: Call) -> web.StreamResponse:
    raise Unsupported(
        f"labdock does not serve {call.request.path} (BuildKit's own API)",
        hint="set DOCKER_BUILDKIT=0 for this command",
    )


#: handler → why it refuses, in few words.
REASONS: dict[Handler, str] = {
    swarm: "no swarm",
    no_such_plugin: "no plugins",
    plugins: "no plugins",
    buildkit: "no BuildKit API",
}
