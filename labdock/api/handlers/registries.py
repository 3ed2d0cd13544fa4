"""Registries: logging in, searching, looking at what one has."""

from __future__ import annotations

from aiohttp import web

from labdock.api.answers import COMMON_HEADERS, json_answer
from labdock.api.bodies import read_bytes, read_object
from labdock.api.call import Call
from labdock.errors import InvalidRequest


async def login(call: Call) -> web.StreamResponse:
    return json_answer(await call.engine.registries.login(await read_object(call.request)))


async def search(call: Call) -> web.StreamResponse:
    term = call.query.text("term")
    if not term:
        raise InvalidRequest("term (what to search for) is missing")
    limit = call.query.integer("limit")
    found = await call.engine.registries.search(term, 25 if limit is None else limit, call.query.filters(), _auth(call))
    return json_answer(found)


async def distribution(call: Call) -> web.StreamResponse:
    return json_answer(await call.engine.registries.distribution(call["name"], _auth(call)))


async def manifest(call: Call) -> web.StreamResponse:
    """The manifest of ``name`` byte for byte, as its registry has it."""
    name = call.query.text("name")
    if not name:
        raise InvalidRequest("name (of the image) is missing")
    body, media_type, digest = await call.engine.registries.manifest(name, _auth(call))
    headers = {**COMMON_HEADERS, "Content-Type": media_type, "Docker-Content-Digest": digest}
    return web.Response(body=body, headers=headers)


async def put_manifest(call: Call) -> web.StreamResponse:
    """The body becomes ``name``'s manifest; ``from``: the repository that has its blobs."""
    name = call.query.text("name")
    if not name:
        raise InvalidRequest("name (of the image) is missing")
    body = await read_bytes(call.request)
    source = call.query.text("from") or ""
    kind = call.request.content_type
    digest = await call.engine.registries.put_manifest(name, source, body, kind, _auth(call))
    return json_answer({"Digest": digest, "Size": len(body)}, status=201)


def _auth(call: Call) -> str:
    return call.request.headers.get("X-Registry-Auth", "")
