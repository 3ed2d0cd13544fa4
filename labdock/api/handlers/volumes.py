"""Volumes."""

from __future__ import annotations

import msgspec
from aiohttp import web

from labdock.api.answers import empty_answer, json_answer
from labdock.api.bodies import chunks, convert, read_object
from labdock.api.call import Call
from labdock.api.handlers.images import stream_archive

#: Since this version a prune takes anonymous volumes only, unless the filter "all" says otherwise.
ANONYMOUS_ONLY = (1, 42)


class _Create(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of ``POST /volumes/create``; without a name the engine gives one."""

    name: str | None = None
    driver: str | None = None
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None


async def list_volumes(call: Call) -> web.StreamResponse:
    return json_answer(await call.engine.volumes.list(call.query.filters()))


async def inspect(call: Call) -> web.StreamResponse:
    return json_answer(await call.engine.volumes.inspect(call["name"]))


async def create(call: Call) -> web.StreamResponse:
    body = convert(await read_object(call.request), _Create)
    found = await call.engine.volumes.create(
        body.name or "", body.driver or "", body.driver_opts or {}, body.labels or {}
    )
    return json_answer(found, 201)


async def export(call: Call) -> web.StreamResponse:
    return await stream_archive(call.request, await call.engine.volume_transfers.export(call["name"]))


async def take(call: Call) -> web.StreamResponse:
    return json_answer(await call.engine.volume_transfers.take(call["name"], chunks(call.request)), 201)


async def remove(call: Call) -> web.StreamResponse:
    await call.engine.volumes.remove(call["name"], call.query.boolean("force"))
    return empty_answer()


async def prune(call: Call) -> web.StreamResponse:
    filters = call.query.filters()
    if call.version < ANONYMOUS_ONLY:
        filters.setdefault("all", ["true"])
    return json_answer(await call.engine.volumes.prune(filters))
