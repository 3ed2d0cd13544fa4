"""Networks."""

from __future__ import annotations

from aiohttp import web

from labdock.api.answers import empty_answer, json_answer
from labdock.api.bodies import read_object
from labdock.api.call import Call


async def list_networks(call: Call) -> web.StreamResponse:
    return json_answer(call.engine.networks.list(call.query.filters()))


async def inspect(call: Call) -> web.StreamResponse:
    return json_answer(call.engine.networks.inspect(call["id"], call.query.boolean("verbose")))


async def create(call: Call) -> web.StreamResponse:
    return json_answer(await call.engine.networks.create(await read_object(call.request)), 201)


async def remove(call: Call) -> web.StreamResponse:
    await call.engine.networks.remove(call["id"])
    return empty_answer()


async def connect(call: Call) -> web.StreamResponse:
    await call.engine.networks.connect(call["id"], await read_object(call.request))
    return empty_answer(200)


async def disconnect(call: Call) -> web.StreamResponse:
    await call.engine.networks.disconnect(call["id"], await read_object(call.request))
    return empty_answer(200)


async def prune(call: Call) -> web.StreamResponse:
    return json_answer(await call.engine.networks.prune(call.query.filters()))
