"""Containers: everything but the streams (those are in attach, logs and wait)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from labdock.api import versions
from labdock.api.answers import empty_answer, json_answer
from labdock.api.bodies import convert, read_object
from labdock.api.call import Call
from labdock.api.query import parse_boolean
from labdock.api.spelling import respell
from labdock.errors import InvalidRequest
from labdock.schema.container import CreateRequest

Wire = dict[str, Any]
_OUTSIDE = ("Memory", "MemorySwap", "CpuShares", "CpusetCpus", "VolumeDriver", "Runtime")


async def list_containers(call: Call) -> web.StreamResponse:
    query = call.query
    limit = query.integer("limit")
    everything = query.boolean("all")
    if limit is not None and limit <= 0:
        limit = None
    # labdock=1: with what only an inspection would say.
    found = await call.engine.containers.list(
        everything, limit, query.boolean("size"), query.filters(), query.boolean("labdock")
    )
    return json_answer(found)


async def create(call: Call) -> web.StreamResponse:
    sent = await read_object(call.request)
    if not sent:
        raise InvalidRequest("invalid request body: a container's configuration is missing")
    sent = gather_host_config(respell(sent, CreateRequest))
    request = convert(sent, CreateRequest)
    name = call.query.optional("name")
    created = await call.engine.containers.create(request, sent, name, call.query.optional("platform"))
    return json_answer({"Id": created.id, "Warnings": list(created.warnings)}, 201)


def gather_host_config(sent: Wire) -> Wire:
    """*sent* with HostConfig's members that stand outside it (as clients up to API 1.18 wrote them) inside.

    # quirk: docker-py's ``create_container(runtime=…)`` still does so; Docker takes them where HostConfig has none.
    """
    outside = {name: sent[name] for name in _OUTSIDE if sent.get(name)}
    if sent.get("Cpuset"):
        outside.setdefault("CpusetCpus", sent["Cpuset"])
    if not outside:
        return sent
    inside = sent.get("HostConfig") or {}
    if not isinstance(inside, dict):
        return sent
    return {**sent, "HostConfig": {**inside, **{k: v for k, v in outside.items() if not inside.get(k)}}}


async def inspect(call: Call) -> web.StreamResponse:
    found = await call.engine.containers.inspect(call["id"], call.query.boolean("size"))
    return json_answer(versions.age_container(found, call.version))


async def top(call: Call) -> web.StreamResponse:
    return json_answer(await call.engine.containers.top(call["id"], call.query.text("ps_args") or "-ef"))


async def start(call: Call) -> web.StreamResponse:
    started = await call.engine.containers.start(call["id"], call.query.text("detachKeys"))
    return empty_answer(204 if started else 304)


async def stop(call: Call) -> web.StreamResponse:
    timeout, signal = call.query.integer("t"), call.query.optional("signal")
    stopped = await call.engine.containers.stop(call["id"], timeout, signal)
    return empty_answer(204 if stopped else 304)


async def restart(call: Call) -> web.StreamResponse:
    await call.engine.containers.restart(call["id"], call.query.integer("t"), call.query.optional("signal"))
    return empty_answer()


async def kill(call: Call) -> web.StreamResponse:
    await call.engine.containers.kill(call["id"], call.query.optional("signal"))
    return empty_answer()


async def pause(call: Call) -> web.StreamResponse:
    await call.engine.containers.pause(call["id"])
    return empty_answer()


async def unpause(call: Call) -> web.StreamResponse:
    await call.engine.containers.unpause(call["id"])
    return empty_answer()


async def rename(call: Call) -> web.StreamResponse:
    await call.engine.containers.rename(call["id"], call.query.text("name"))
    return empty_answer()


async def update(call: Call) -> web.StreamResponse:
    warnings = await call.engine.containers.update(call["id"], await read_object(call.request))
    return json_answer({"Warnings": warnings})


async def resize(call: Call) -> web.StreamResponse:
    rows, columns = read_size(call)
    await call.engine.containers.resize(call["id"], rows, columns)
    return empty_answer(200)


async def remove(call: Call) -> web.StreamResponse:
    query = call.query
    await call.engine.containers.remove(call["id"], query.boolean("force"), query.boolean("v"), query.boolean("link"))
    return empty_answer()


async def remove_link(call: Call) -> web.StreamResponse:
    """``DELETE /containers/NAME/ALIAS?link=1``: docker-py does not quote the slash."""
    if not parse_boolean(call.query.text("link")):
        raise InvalidRequest("a container's name has no slash", hint="add link=1 to remove a link by its alias")
    await call.engine.containers.remove(f"{call['id']}/{call['alias']}", False, False, True)
    return empty_answer()


async def prune(call: Call) -> web.StreamResponse:
    return json_answer(await call.engine.containers.prune(call.query.filters()))


def read_size(call: Call) -> tuple[int, int]:
    """A terminal's (rows, columns)."""
    rows, columns = call.query.integer("h"), call.query.integer("w")
    if rows is None or columns is None:
        raise InvalidRequest("h and w (a terminal's rows and columns) are missing")
    if not (0 <= rows <= 0xFFFF and 0 <= columns <= 0xFFFF):
        raise InvalidRequest(f"a terminal can't have {rows} rows and {columns} columns")
    return rows, columns
