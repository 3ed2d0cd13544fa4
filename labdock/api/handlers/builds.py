"""``POST /build``: parameters to a BuildQuery, typed events to Docker's lines (with ``labdock=1``: as they are)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from labdock.api.bodies import chunks
from labdock.api.build_lines import BuildLines
from labdock.api.call import Call
from labdock.api.query import Query, decode_parameter
from labdock.api.streams.answer import LineAnswer, Send
from labdock.errors import InvalidRequest, Unsupported
from labdock.schema.build import BuildEvent
from labdock.schema.build_query import BuildQuery

#: Parameters that have a field in BuildQuery, or that only this edge reads.
_OWN = {
    *("dockerfile", "t", "buildargs", "labels", "target", "nocache", "pull", "networkmode", "platform", "remote"),
    *("q", "rm", "forcerm", "cachefrom", "extrahosts", "squash", "shmsize", "version", "labdock"),
}


async def build(call: Call) -> web.StreamResponse:
    query = read_build_query(call.query, call.request.query.getall("t", []), dict(call.request.query))
    query = msgspec.structs.replace(query, registry_config=call.request.headers.get("X-Registry-Config", ""))
    own = call.query.boolean("labdock")

    async def work(send: Send) -> None:
        on_event: Callable[[BuildEvent], None]
        if own:
            on_event = send
        else:
            lines = BuildLines(quiet=query.quiet, rm=query.rm or query.force_rm)

            def on_event(event: BuildEvent) -> None:
                for line in lines.render(event):
                    send(line)

        await call.engine.builds.build(query, chunks(call.request), on_event)

    return await LineAnswer(call.request).run(work)


def read_build_query(query: Query, names: list[str], everything: dict[str, str]) -> BuildQuery:
    """The request's parameters (Engine API v1.51, ImageBuild). *names*: every ``t``."""
    if query.text("version", "1") not in ("", "1"):
        raise Unsupported(
            "labdock does not serve POST /build with version=2 (BuildKit) yet",
            hint="set DOCKER_BUILDKIT=0 for this command",
        )
    return BuildQuery(
        dockerfile=query.text("dockerfile") or "Dockerfile",
        names=tuple(name for name in names if name),
        build_args={key: _text_or_none("buildargs", value) for key, value in query.json_object("buildargs").items()},
        labels={key: _text_or_none("labels", value) or "" for key, value in query.json_object("labels").items()},
        target=query.text("target"),
        no_cache=query.boolean("nocache"),
        pull=query.boolean("pull"),
        network=query.text("networkmode") or "default",
        platform=query.text("platform"),
        remote=query.text("remote"),
        quiet=query.boolean("q"),
        rm=query.boolean("rm", True),
        force_rm=query.boolean("forcerm"),
        cache_from=_cache_from(query),
        extra_hosts=tuple(host for host in query.text("extrahosts").split(",") if host),
        squash=query.boolean("squash"),
        shm_size=query.integer("shmsize") or 0,
        extra={key: value for key, value in everything.items() if key not in _OWN},
    )


def _text_or_none(name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidRequest(f"invalid {name}: its values must be texts")


def _cache_from(query: Query) -> tuple[str, ...] | None:
    found = decode_parameter("cachefrom", query.text("cachefrom"))
    if not found:
        return None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise InvalidRequest("invalid cachefrom: expected a JSON list of texts")
    return tuple(found)
