"""``POST /build``: parameters to a BuildQuery, typed events to Docker's lines (with ``labdock=1``: as they are).

``POST /labdock/build`` has what that can't carry in parts (schema/build_query.py); its answer is always typed events.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from labdock.api.answers import json_answer
from labdock.api.bodies import chunks, convert
from labdock.api.build_lines import BuildLines
from labdock.api.call import Call
from labdock.api.handlers.images import stream_archive
from labdock.api.parcels import MEDIA_TYPE, read_parts
from labdock.api.query import Query, decode_parameter, parse_time
from labdock.api.step_order import StepOrder
from labdock.api.streams.answer import LineAnswer, Send
from labdock.errors import InvalidRequest, Unsupported
from labdock.schema.build import BuildEvent
from labdock.schema.build_query import BuildQuery
from labdock.schema.container import HostConfig, Ulimit

#: Parameters that have a field in BuildQuery, or that only this edge reads.
_OWN = {
    *("dockerfile", "t", "buildargs", "labels", "target", "nocache", "pull", "networkmode", "platform", "remote"),
    *("memory", "memswap", "cpushares", "cpuperiod", "cpuquota", "cpusetcpus", "cpusetmems", "ulimits", "cgroupparent"),
    *("q", "rm", "forcerm", "cachefrom", "extrahosts", "squash", "shmsize", "version", "labdock"),
}


async def build(call: Call) -> web.StreamResponse:
    query = read_build_query(call.query)
    query = msgspec.structs.replace(query, registry_config=call.request.headers.get("X-Registry-Config", ""))
    own = call.query.boolean("labdock")
    query = msgspec.structs.replace(query, debug=own)

    async def work(send: Send) -> None:
        on_event: Callable[[BuildEvent], None]
        if own:
            on_event = send
        else:
            lines = BuildLines(quiet=query.quiet, rm=query.rm or query.force_rm)
            order = StepOrder()

            def on_event(event: BuildEvent) -> None:
                for each in order.sort(event):
                    for line in lines.render(each):
                        send(line)

        await call.engine.builds.build(query, chunks(call.request), on_event)

    return await LineAnswer(call.request).run(work)


async def build_parts(call: Call) -> web.StreamResponse:
    if call.request.content_type != MEDIA_TYPE:
        raise InvalidRequest(f"the build's body must be {MEDIA_TYPE}, not {call.request.content_type}")
    query = read_build_query(call.query)
    query = _read_own(call.query, query)

    async def work(send: Send) -> None:
        await call.engine.builds.build_parts(query, read_parts(call.request.content), send)

    return await LineAnswer(call.request).run(work)


async def export(call: Call) -> web.StreamResponse:
    return await stream_archive(call.request, call.engine.builds.take_export(call["token"]))


async def prune(call: Call) -> web.StreamResponse:
    """``POST /build/prune``: ``all``, ``keep-storage`` (or ``reserved-space``) in bytes, filters until and id."""
    query = call.query
    filters = query.filters()
    until = [parse_time(text, time.time_ns(), "until") for text in filters.get("until", ())]
    found = await call.engine.builds.prune(
        query.boolean("all"),
        query.integer("keep-storage") or query.integer("reserved-space") or 0,
        min(until, default=None),
        tuple(filters.get("id", ())),
    )
    return json_answer(found)


def _read_own(query: Query, classic: BuildQuery) -> BuildQuery:
    """The parameters that only labdock's own call has."""
    return msgspec.structs.replace(
        classic,
        contexts=_texts(query, "contexts"),
        agents=_texts(query, "ssh"),
        outputs=_read_list(query, "outputs", "type"),
        cache_to=_read_list(query, "cacheto", "mode"),
        cache_parts=_read_list(query, "cachefromparts", ""),
        explain=query.boolean("explain"),
        check=query.boolean("check"),
        reproducible=query.boolean("reproducible"),
        provenance=query.boolean("provenance"),
        debug=query.boolean("debug", True),
        extra={},
    )


def _texts(query: Query, name: str) -> dict[str, str]:
    found = query.json_object(name)
    if not all(isinstance(value, str) for value in found.values()):
        raise InvalidRequest(f"invalid {name}: its values must be texts")
    return {key: str(value) for key, value in found.items()}


def _read_list(query: Query, name: str, key: str) -> tuple[str, ...]:
    """A JSON list of texts, or (*key*) of objects that have one under *key*."""
    found = decode_parameter(name, query.text(name)) or []
    if not isinstance(found, list):
        raise InvalidRequest(f"invalid {name}: expected a JSON list")
    values = [each.get(key) if key and isinstance(each, dict) else each for each in found]
    if not all(isinstance(value, str) for value in values):
        raise InvalidRequest(f"invalid {name}: expected a list of {f'objects with {key}' if key else 'texts'}")
    return tuple(map(str, values))


def read_build_query(query: Query) -> BuildQuery:
    """The request's parameters (Engine API v1.51, ImageBuild)."""
    if query.text("version", "1") not in ("", "1"):
        raise Unsupported(
            "labdock does not serve POST /build with version=2 (BuildKit) yet",
            hint="set DOCKER_BUILDKIT=0 for this command",
        )
    return BuildQuery(
        dockerfile=query.text("dockerfile") or "Dockerfile",
        names=tuple(name for name in query.texts("t") if name),
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
        extra_hosts=tuple(host for text in query.texts("extrahosts") for host in text.split(",") if host),
        squash=query.boolean("squash"),
        shm_size=query.integer("shmsize") or 0,
        limits=_read_limits(query),
        extra={key: value for key, value in query.items() if key not in _OWN},
    )


def _read_limits(query: Query) -> HostConfig:
    """What RUN steps are held to; what was sent as nothing is as if it was not sent."""
    return HostConfig(
        memory=query.integer("memory") or 0,
        memory_swap=query.integer("memswap") or 0,
        cpu_shares=query.integer("cpushares") or 0,
        cpu_period=query.integer("cpuperiod") or 0,
        cpu_quota=query.integer("cpuquota") or 0,
        cpuset_cpus=query.text("cpusetcpus"),
        cpuset_mems=query.text("cpusetmems"),
        cgroup_parent=query.text("cgroupparent"),
        ulimits=_read_ulimits(query),
    )


def _read_ulimits(query: Query) -> tuple[Ulimit, ...] | None:
    found = decode_parameter("ulimits", query.text("ulimits")) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InvalidRequest("invalid ulimits: expected a JSON list of objects")
    return tuple(convert(each, Ulimit) for each in found) or None


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
