"""One request on its way to its handler."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from labdock.api.answers import API_VERSION
from labdock.api.facade import Engine
from labdock.api.query import Query

Version = tuple[int, int]
Handler = Callable[["Call"], Awaitable[web.StreamResponse]]

_VERSION = re.compile(r"v([0-9]+)\.([0-9]+)\Z")


def parse_version(segment: str) -> Version | None:
    """``v1.41`` as (1, 41); None when the path segment is no version."""
    match = _VERSION.match(segment)
    return (int(match[1]), int(match[2])) if match else None


CURRENT: Version = (int(API_VERSION.split(".")[0]), int(API_VERSION.split(".")[1]))


class Call:
    """``version`` is the API version that the path names (the current one when it names none)."""

    __slots__ = ("_parts", "engine", "query", "request", "version")

    def __init__(self, request: web.Request, engine: Engine, version: Version, parts: dict[str, str]) -> None:
        self.request = request
        self.engine = engine
        self.version = version
        self.query = Query(request.query)
        self._parts = parts

    def __getitem__(self, name: str) -> str:
        """The part of the path that stands for ``{name}``."""
        return self._parts[name]
