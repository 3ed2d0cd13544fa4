"""From a request to its handler, and from whatever that does to an answer: the one aiohttp handler of the API."""

from __future__ import annotations

import itertools
import logging
import secrets
import time
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from labdock.api.answers import API_VERSION, OLDEST_VERSION, error_answer
from labdock.api.call import CURRENT, Call, Version, parse_version
from labdock.api.facade import Engine
from labdock.api.failures import REQUEST_ID, explain
from labdock.api.paths import PathTree
from labdock.api.streams.wire import ClientGone
from labdock.api.table import Row
from labdock.errors import InvalidRequest, NotFound, Unsupported

log = logging.getLogger("labdock.api")

_OLDEST = (1, 24)
assert f"{_OLDEST[0]}.{_OLDEST[1]}" == OLDEST_VERSION


#: In an error's head: what the engine's log calls the request.
HEADER: Final = "X-Request-Id"


class RequestIds:
    """Names for requests, ``4f21c9-1a``: which engine process, and which of its requests."""

    def __init__(self) -> None:
        self._start = secrets.token_hex(3)
        self._count = itertools.count(1)

    def make(self) -> str:
        return f"{self._start}-{next(self._count):x}"


class Dispatcher:
    """Serves *engine* by the rows of the table."""

    def __init__(self, engine: Engine, rows: Iterable[Row]) -> None:
        self._engine = engine
        self._ids = RequestIds()
        self._tree: PathTree[Row] = PathTree()
        for row in rows:
            self._tree.add(row.method, row.pattern, row)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        began = time.perf_counter() if log.isEnabledFor(logging.DEBUG) else 0.0
        number = self._ids.make()
        REQUEST_ID.set(number)
        row: Row | None = None
        response: web.StreamResponse
        try:
            row, call = self._route(request)
            if row.handler is None:
                raise Unsupported(f"labdock does not serve {row.method} {row.pattern.replace('...', '')} yet")
            response = await row.handler(call)
        except ClientGone:
            response = error_answer(InvalidRequest("the client went away"))  # nobody will see it
        except Exception as error:
            response = error_answer(explain(error))
            response.headers[HEADER] = number
        if row is not None and row.hijacks:
            response.force_close()
        if began:
            taken = (time.perf_counter() - began) * 1000
            log.debug("%s: %s %s → %s in %.1f ms", number, request.method, request.path_qs, response.status, taken)
        return response

    def _route(self, request: web.Request) -> tuple[Row, Call]:
        # The raw path: `%2F` must not split an image's name apart before the segments are cut.
        path = request.rel_url.raw_path
        segments = [unquote(part) if "%" in part else part for part in path.split("/") if part]
        version = CURRENT
        if segments and (named := parse_version(segments[0])) is not None:
            version = check_version(named)
            del segments[0]
        found = self._tree.find(request.method, segments)
        if found is None or found[0].since > version:
            raise NotFound("page not found")
        row, parts = found
        return row, Call(request, self._engine, version, parts)


def check_version(version: Version) -> Version:
    """*version* when it is served; the words are moby's (its version middleware)."""
    text = f"{version[0]}.{version[1]}"
    if version < _OLDEST:
        raise InvalidRequest(
            f"client version {text} is too old. Minimum supported API version is {OLDEST_VERSION}, "
            "please upgrade your client to a newer version"
        )
    if version > CURRENT:
        raise InvalidRequest(f"client version {text} is too new. Maximum supported API version is {API_VERSION}")
    return version
