"""Images: the list and single ones, and the streams that bring them in and out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web

from labdock.api import versions
from labdock.api.answers import empty_answer, json_answer
from labdock.api.bodies import chunks
from labdock.api.call import Call
from labdock.api.query import decode_parameter
from labdock.api.streams.answer import LineAnswer, Send, StreamAnswer
from labdock.errors import InvalidRequest, NotFound

log = logging.getLogger(__name__)


async def list_images(call: Call) -> web.StreamResponse:
    query = call.query
    filters = query.filters()
    if name := query.optional("filter"):  # clients up to API 1.24
        filters.setdefault("reference", []).append(name)
    found = call.engine.images.list(
        query.boolean("all"),
        filters,
        query.boolean("digests"),
        shared=query.boolean("shared-size"),
        manifests=query.boolean("manifests"),
    )
    return json_answer(versions.age_images(found, call.version))


async def inspect(call: Call) -> web.StreamResponse:
    found = call.engine.images.inspect(call["name"])
    client = call.request.headers.get("User-Agent", "")
    return json_answer(versions.age_image_inspect(found, call.version, client))


async def history(call: Call) -> web.StreamResponse:
    _check_platform(call, call["name"])
    return json_answer(call.engine.images.history(call["name"]))


def _check_platform(call: Call, name: str) -> None:
    """The parameter ``platform`` (since API 1.48, JSON) must be that of *name*: an image has one here. NotFound."""
    for text in call.query.texts("platform"):
        wanted = decode_parameter("platform", text)
        if not isinstance(wanted, dict):
            raise InvalidRequest("invalid platform: expected a JSON object")
        found = call.engine.images.inspect(name)
        have = {"os": found.get("Os"), "architecture": found.get("Architecture"), "variant": found.get("Variant")}
        # A variant that the image does not name may be any.
        if any(value and value != have[part] for part in have if (value := wanted.get(part)) and have[part]):
            shown = "/".join(str(wanted[part]) for part in have if wanted.get(part))
            raise NotFound(
                f"image with reference {name} was found but does not provide the specified platform ({shown})"
            )


async def tag(call: Call) -> web.StreamResponse:
    repo = call.query.text("repo")
    if not repo:
        raise InvalidRequest("repo (the new name) is missing")
    await call.engine.images.tag(call["name"], repo, call.query.text("tag"))
    return empty_answer(201)


async def remove(call: Call) -> web.StreamResponse:
    query = call.query
    return json_answer(await call.engine.images.remove(call["name"], query.boolean("force"), query.boolean("noprune")))


async def prune(call: Call) -> web.StreamResponse:
    return json_answer(await call.engine.images.prune(call.query.filters()))


async def create(call: Call) -> web.StreamResponse:
    """Pull (``fromImage``) or import (``fromSrc``). Errors have a status as long as no progress was shown."""
    if call.query.optional("fromSrc"):
        return await _import(call)
    name = call.query.text("fromImage")
    if not name:
        raise InvalidRequest("fromImage (the image's name) is missing")
    platform = call.query.optional("platform")
    work = partial(call.engine.images.pull, name, call.query.text("tag"), platform, _auth(call))
    return await LineAnswer(call.request).run(lambda send: work(send))


async def _import(call: Call) -> web.StreamResponse:
    query = call.query
    source = query.text("fromSrc")
    name = query.text("repo")
    if name and query.optional("tag"):
        name = f"{name}:{query.text('tag')}"
    changes = query.texts("changes")
    message, platform = query.text("message"), query.optional("platform")

    async def work(send: Send) -> None:
        images = call.engine.images
        tar = chunks(call.request) if source == "-" else images.fetched(source, send)
        await images.import_tar(tar, name, message, changes, platform, send)

    return await LineAnswer(call.request).run(work)


async def push(call: Call) -> web.StreamResponse:
    """As a pull, errors before the first line of progress have a status."""
    work = partial(call.engine.images.push, call["name"], call.query.text("tag"), _auth(call))
    return await LineAnswer(call.request).run(lambda send: work(send))


def _auth(call: Call) -> str:
    return call.request.headers.get("X-Registry-Auth", "")


async def load(call: Call) -> web.StreamResponse:
    """Errors come in the stream, also the first (``docker load`` of something that is no archive is a 200)."""

    async def work(send: Send) -> None:
        await call.engine.images.load(chunks(call.request), send)

    return await LineAnswer(call.request).run(work, late_errors=True)


async def save_one(call: Call) -> web.StreamResponse:
    return await _save(call, [call["name"]])


async def save_many(call: Call) -> web.StreamResponse:
    names = [name for text in call.query.texts("names") for name in text.split(",") if name]
    if not names:
        raise InvalidRequest("names (of the images to save) are missing")
    return await _save(call, names)


async def _save(call: Call, names: list[str]) -> web.StreamResponse:
    for name in names:
        _check_platform(call, name)
    archive = await call.engine.images.save(names)
    return await stream_archive(call.request, archive)


async def stream_archive(
    request: web.Request, archive: AsyncIterator[bytes], headers: dict[str, str] | None = None
) -> web.StreamResponse:
    """A tar, piece by piece. When it fails on its way the answer breaks off, so that it can't be taken for whole."""
    try:
        first = await anext(archive, b"")  # a failure before it still has a status of its own
        answer = StreamAnswer(request, "application/x-tar", headers)
        try:
            async with answer.attended():
                answer.send(first)
                async for piece in archive:
                    answer.send(piece)
                    await answer.drain()
        except Exception:
            answer.break_off()
            raise
    finally:
        close = getattr(archive, "aclose", None)
        if close is not None:
            try:
                await close()
            except Exception:
                # What was sent is whole, or the answer was broken off; that something was left open is for the log.
                log.exception("closing what %s was read from", request.path)
    return await answer.finish()
