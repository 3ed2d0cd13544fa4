"""The endpoints of a container's or an exec's life that stream: attach, exec start, logs, wait."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import msgspec
from aiohttp import web

from labdock.api.answers import JSON, empty_answer, json_answer
from labdock.api.bodies import convert, read_object
from labdock.api.call import Call
from labdock.api.facade import Condition
from labdock.api.handlers.containers import read_size
from labdock.api.query import Query
from labdock.api.streams import session
from labdock.api.streams import socket as sockets
from labdock.api.streams.answer import StreamAnswer
from labdock.api.streams.detach import DetachMatcher, parse_keys
from labdock.api.streams.frames import MULTIPLEXED, RAW, join_frames
from labdock.errors import Conflict, InvalidRequest, LabdockError, NotFound
from labdock.schema.container import ExecConfig

_CONDITIONS: dict[str, Condition] = {
    "": "not-running",
    "not-running": "not-running",
    "next-exit": "next-exit",
    "removed": "removed",
}


async def attach(call: Call) -> web.StreamResponse:
    query = call.query
    keys = parse_keys(query.text("detachKeys"))
    stdin, stdout, stderr = (query.boolean(name) for name in ("stdin", "stdout", "stderr"))
    wire = session.take(call.request)
    try:
        found = await call.engine.containers.attach(
            call["id"],
            stdin,
            stdout,
            stderr,
            query.boolean("logs"),
            query.boolean("stream"),
            query.text("detachKeys"),
        )
    except BaseException:
        wire.give_back(keep_alive=False)
        raise
    detach = DetachMatcher(keys) if found.tty and stdin else None
    return await session.carry(
        call.request, wire, found.streams, framed=not found.tty, stdin=stdin, version=call.version, detach=detach
    )


async def attach_socket(call: Call) -> web.StreamResponse:
    """As attach, over a WebSocket. What can't be attached to is answered before the handshake."""
    query = call.query
    keys = parse_keys(query.text("detachKeys"))
    stdin, stdout, stderr = (query.boolean(name) for name in ("stdin", "stdout", "stderr"))
    found_socket = sockets.make_socket()
    if not found_socket.can_prepare(call.request).ok:
        raise InvalidRequest("not a websocket handshake", hint="this endpoint speaks WebSocket; attach is without it")
    found = await call.engine.containers.attach(
        call["id"],
        stdin,
        stdout,
        stderr,
        query.boolean("logs"),
        query.boolean("stream"),
        query.text("detachKeys"),
    )
    try:
        await found_socket.prepare(call.request)
    except BaseException:
        await found.streams.close()
        raise
    detach = DetachMatcher(keys) if found.tty and stdin else None
    binary = call.version >= sockets.BINARY_SINCE
    await sockets.carry(call.request, found_socket, found.streams, binary=binary, stdin=stdin, detach=detach)
    return found_socket


async def exec_create(call: Call) -> web.StreamResponse:
    config = convert(await read_object(call.request), ExecConfig)
    if not config.cmd:
        raise InvalidRequest("No exec command specified")
    parse_keys(config.detach_keys or "")
    return json_answer({"Id": call.engine.execs.create(call["id"], config)}, 201)


async def dial(call: Call) -> web.StreamResponse:
    """A connection to a container's TCP port: raw bytes both ways after ``Upgrade: tcp``."""
    text = call["port"]
    port = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    wire = session.take(call.request)
    try:
        found = await call.engine.dialing.dial(call["id"], port)
    except BaseException:
        wire.give_back(keep_alive=False)
        raise
    return await session.carry(call.request, wire, found, framed=False, stdin=True, version=call.version)


class _Start(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of ``POST /exec/ID/start``. ``console_size``: rows, columns."""

    detach: bool | None = False
    tty: bool | None = None
    console_size: tuple[int, int] | None = None


async def exec_start(call: Call) -> web.StreamResponse:
    body = convert(await read_object(call.request), _Start)
    execs = call.engine.execs
    if body.detach:
        await execs.start(call["id"], True, body.tty, body.console_size)
        return empty_answer(200)
    wire = session.take(call.request)
    try:
        found = await execs.start(call["id"], False, body.tty, body.console_size)
    except (NotFound, Conflict):
        wire.give_back(keep_alive=False)
        raise
    except LabdockError as error:
        # quirk: a program that can't be run is told in the stream, and clients then ask for the exit code (126, 127).
        return await session.refuse(call.request, wire, error, framed=not body.tty, version=call.version)
    except BaseException:
        wire.give_back(keep_alive=False)
        raise
    if found is None:
        wire.give_back(keep_alive=False)
        return empty_answer(200)
    shown = execs.inspect(call["id"])
    # The stream's form follows this body and not the exec: without Tty here a terminal's output comes in frames.
    return await session.carry(
        call.request,
        wire,
        found.streams,
        framed=not body.tty,
        stdin=bool(shown.get("OpenStdin")),
        version=call.version,
        detach=_exec_detach(shown),
    )


def _exec_detach(shown: dict[str, Any]) -> DetachMatcher | None:
    """The detach keys that an exec with a terminal was created with."""
    process = shown.get("ProcessConfig") or {}
    return DetachMatcher(parse_keys(shown.get("DetachKeys") or "")) if process.get("tty") else None


async def exec_resize(call: Call) -> web.StreamResponse:
    rows, columns = read_size(call)
    await call.engine.execs.resize(call["id"], rows, columns)
    return empty_answer(200)


async def exec_inspect(call: Call) -> web.StreamResponse:
    return json_answer(call.engine.execs.inspect(call["id"]))


async def logs(call: Call) -> web.StreamResponse:
    query = call.query
    stdout, stderr = query.boolean("stdout"), query.boolean("stderr")
    if not (stdout or stderr):
        raise InvalidRequest("Bad parameters: you must choose at least one stream")
    now = time.time_ns()
    since, until = query.time("since", now), query.time("until", now)
    source = call.engine.containers.log_source(call["id"])
    batches = source.read(
        stdout=stdout,
        stderr=stderr,
        since_ns=since,
        until_ns=until,
        tail=read_tail(query),
        follow=query.boolean("follow"),
        timestamps=query.boolean("timestamps"),
        details=query.boolean("details"),
    )
    framed = not source.tty
    content_type = MULTIPLEXED if framed and call.version >= (1, 42) else RAW
    answer = StreamAnswer(call.request, content_type)
    async with answer.attended(), contextlib.aclosing(batches):
        async for batch in batches:
            full = answer.gather(join_frames(batch) if framed else b"".join([data for _, data in batch]))
            del batch
            if full:
                await answer.drain()
    return await answer.finish()


async def stats(call: Call) -> web.StreamResponse:
    stream, one_shot = call.query.boolean("stream", True), call.query.boolean("one-shot")
    if stream and one_shot:
        raise InvalidRequest("cannot have stream=true and one-shot=true")
    found = call.engine.stats.watch(call["id"], stream, one_shot)
    answer = StreamAnswer(call.request, JSON)
    async with answer.attended(), contextlib.aclosing(found):
        async for sample in found:
            answer.send(msgspec.json.encode(sample) + b"\n")
            await answer.drain()
    return await answer.finish()


def read_tail(query: Query) -> int | None:
    """How many of the last lines: None for all of them (also for what is no number, as Docker does)."""
    text = query.text("tail", "all")
    return int(text) if text.isdecimal() else None


async def wait(call: Call) -> web.StreamResponse:
    asked = call.query.text("condition")
    condition = _CONDITIONS.get(asked)
    if condition is None:
        raise InvalidRequest(f'invalid condition: "{asked}"')
    ended = call.engine.containers.prepare_wait(call["id"], condition)
    # The head goes out now: clients attach, wait, and start only when they have seen it.
    answer = StreamAnswer(call.request, JSON)
    async with answer.attended():
        result = await ended
        body: dict[str, Any] = {"StatusCode": result.code}
        if result.error is not None:
            body["Error"] = {"Message": result.error}
        answer.send(msgspec.json.encode(body) + b"\n")
    return await answer.finish()
