"""Files in and out of containers: archive, export, changes, commit."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from labdock.api.answers import COMMON_HEADERS, empty_answer, json_answer
from labdock.api.bodies import chunks, convert, read_object
from labdock.api.call import Call
from labdock.api.handlers.images import stream_archive
from labdock.errors import InvalidRequest
from labdock.schema.container import ContainerConfig
from labdock.schema.files import HEADER


async def stat(call: Call) -> web.StreamResponse:
    found = await call.engine.files.stat(call["id"], call.query.text("path"))
    return web.Response(headers={**COMMON_HEADERS, HEADER: found.encode()})


async def list_folder(call: Call) -> web.StreamResponse:
    """One folder; an archive of it would have all below it."""
    return json_answer(await call.engine.files.list_folder(call["id"], call.query.text("path")))


async def archive(call: Call) -> web.StreamResponse:
    found, pieces = await call.engine.files.archive(call["id"], call.query.text("path"))
    return await stream_archive(call.request, pieces, {HEADER: found.encode()})


async def extract(call: Call) -> web.StreamResponse:
    query = call.query
    await call.engine.files.extract(
        call["id"],
        query.text("path"),
        chunks(call.request),
        replace=not query.boolean("noOverwriteDirNonDir"),
        own=query.boolean("copyUIDGID"),
    )
    return empty_answer(200)


async def export(call: Call) -> web.StreamResponse:
    pieces: AsyncIterator[bytes] = await call.engine.files.export(call["id"])
    return await stream_archive(call.request, pieces)


async def changes(call: Call) -> web.StreamResponse:
    return json_answer(await call.engine.files.changes(call["id"]) or None)


async def commit(call: Call) -> web.StreamResponse:
    query = call.query
    container, name = query.text("container"), query.text("repo")
    if not container:
        raise InvalidRequest("container (whose changes make the image) is missing")
    if name and query.optional("tag"):
        name = f"{name}:{query.text('tag')}"
    sent = await read_object(call.request)
    made = await call.engine.commits.commit(
        container,
        name,
        comment=query.text("comment"),
        author=query.text("author"),
        pause=query.boolean("pause", True),
        changes=call.request.query.getall("changes", []),
        config=convert(sent, ContainerConfig) if sent else None,
    )
    return json_answer({"Id": made}, 201)
