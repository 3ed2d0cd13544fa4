"""The engine itself: ping, version, info, disk use, events, and what labdock adds to Docker's API."""

from __future__ import annotations

import time

import msgspec
from aiohttp import web

from labdock.api import versions
from labdock.api.answers import JSON, empty_answer, json_answer, text_answer
from labdock.api.call import Call
from labdock.api.streams.answer import LineAnswer, StreamAnswer
from labdock.errors import InvalidRequest
from labdock.schema.events import Event

_NO_CACHE = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache"}


async def ping(call: Call) -> web.StreamResponse:
    body = "" if call.request.method == "HEAD" else "OK"
    return text_answer(body, {**_NO_CACHE, **call.engine.system.ping_headers()})


async def version(call: Call) -> web.StreamResponse:
    return json_answer(call.engine.system.version())


async def info(call: Call) -> web.StreamResponse:
    return json_answer(call.engine.system.info())


async def kill_exec(call: Call) -> web.StreamResponse:
    """Docker has no way to end an exec; a notebook's interrupt needs one."""
    call.engine.execs.kill(call["id"], call.query.text("signal") or "KILL")
    return empty_answer()


async def df(call: Call) -> web.StreamResponse:
    found = await call.engine.system.df(frozenset(call.query.texts("type")))
    return json_answer(versions.age_disk_usage(found, call.version))


async def events(call: Call) -> web.StreamResponse:
    query, now = call.query, time.time_ns()
    # From the beginning of time, and up to it, are limits here.
    since, until = (0 if query.text(name) == "0" else query.time(name, now) for name in ("since", "until"))
    if since is not None and until is not None and since > until:
        raise InvalidRequest("`since` time cannot be after `until` time")
    found = call.engine.events.subscribe(since, until, query.filters())
    answer = StreamAnswer(call.request, JSON)
    async with answer.attended():
        async for event in found:
            if answer.gather(event_line(event)):
                await answer.drain()
    return await answer.finish()


def event_line(event: Event) -> bytes:
    """One event with the fields from before API 1.22 (``status``, ``id``, ``from``) that docker-py's users read."""
    line: dict[str, object] = {}
    if event.type in ("container", "image"):
        line = {"status": event.action, "id": event.actor.id}
        if event.type == "container" and "image" in event.actor.attributes:
            line["from"] = event.actor.attributes["image"]
    line.update(msgspec.to_builtins(event))
    return msgspec.json.encode(line) + b"\n"


async def doctor(call: Call) -> web.StreamResponse:
    return json_answer(call.engine.system.doctor())


async def explain(call: Call) -> web.StreamResponse:
    """What the engine did for a container, in facts."""
    return json_answer(await call.engine.system.explain(call["id"]))


async def bootstrap(call: Call) -> web.StreamResponse:
    name = call.query.text("name")
    if not name:
        raise InvalidRequest("name (of the image, such as debian:bookworm) is missing")
    return await LineAnswer(call.request).run(lambda send: call.engine.images.bootstrap(name, send))
