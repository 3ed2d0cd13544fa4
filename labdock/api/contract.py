# ruff: noqa: E501  (a table: one line, one endpoint)
"""What each endpoint takes and gives, a line each; the table of endpoints, printed and as an OpenAPI document.

A line: method and path (as in :mod:`labdock.api.table`), after ``?`` the query's parameters with their kinds (``b``
boolean, ``i`` whole number, ``s`` text, ``t`` time, ``j`` JSON; ``!`` must be there, ``+`` may be repeated), after ``<``
the body (a struct of labdock.schema, ``object`` or ``tar``), after ``>`` the status of success and what is answered then:
a shape of :mod:`labdock.api.shapes`, ``text``, ``tar``, ``lines`` (JSON lines), ``stream`` (raw), or nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from labdock.api.answers import API_VERSION, OLDEST_VERSION
from labdock.api.handlers.refusals import REASONS
from labdock.api.shapes import SHAPES, to_schema
from labdock.api.table import ROWS, Row
from labdock.schema.container import CreateRequest, ExecConfig

_TEXT = """
GET /_ping > 200 text
HEAD /_ping > 200
GET /version > 200 Version
GET /info > 200 Info
GET /events ? since:t until:t filters:j > 200 lines
GET /system/df ? type:s+ verbose:b > 200 DiskUsage
GET /containers/json ? all:b limit:i size:b filters:j > 200 Containers
POST /containers/create ? name:s platform:s < CreateRequest > 201 Created
POST /containers/prune ? filters:j > 200 PrunedContainers
GET /containers/{id}/json ? size:b > 200 Container
GET /containers/{id}/top ? ps_args:s > 200 Top
GET /containers/{id}/logs ? follow:b stdout:b stderr:b since:t until:t timestamps:b tail:s > 200 stream
GET /containers/{id}/changes > 200 Changes
GET /containers/{id}/stats ? stream:b one-shot:b > 200 lines
GET /containers/{id}/export > 200 tar
GET /containers/{id}/archive ? path:s! > 200 tar
HEAD /containers/{id}/archive ? path:s! > 200
PUT /containers/{id}/archive ? path:s! noOverwriteDirNonDir:s copyUIDGID:s < tar > 200
GET /containers/{id}/attach/ws ? detachKeys:s logs:b stream:b stdin:b stdout:b stderr:b > 101
POST /commit ? container:s! repo:s tag:s comment:s author:s pause:b changes:s+ < object > 201 Id
POST /containers/{id}/start ? detachKeys:s > 204
POST /containers/{id}/stop ? t:i signal:s > 204
POST /containers/{id}/restart ? t:i signal:s > 204
POST /containers/{id}/kill ? signal:s > 204
POST /containers/{id}/pause > 204
POST /containers/{id}/unpause > 204
POST /containers/{id}/rename ? name:s! > 204
POST /containers/{id}/update < object > 200 Warnings
POST /containers/{id}/resize ? h:i! w:i! > 200
POST /containers/{id}/wait ? condition:s > 200 Wait
POST /containers/{id}/attach ? detachKeys:s logs:b stream:b stdin:b stdout:b stderr:b > 200 stream
POST /containers/{id}/exec < ExecConfig > 201 Id
DELETE /containers/{id} ? v:b force:b link:b > 204
DELETE /containers/{id}/{alias} ? link:b! > 204
POST /exec/{id}/start < object > 200 stream
POST /exec/{id}/resize ? h:i! w:i! > 200
GET /exec/{id}/json > 200 Exec
GET /images/json ? all:b filters:j shared-size:b digests:b manifests:b > 200 Images
POST /images/create ? fromImage:s fromSrc:s repo:s tag:s message:s changes:s+ platform:s < tar > 200 lines
POST /images/load ? quiet:b platform:j < tar > 200 lines
POST /images/prune ? filters:j > 200 PrunedImages
GET /images/get ? names:s+! platform:j+ > 200 tar
GET /images/{name}/get ? platform:j+ > 200 tar
GET /images/{name}/json > 200 Image
GET /images/{name}/history ? platform:j > 200 History
POST /images/{name}/tag ? repo:s! tag:s > 201
POST /images/{name}/push ? tag:s > 200 lines
GET /images/search ? term:s! limit:i filters:j > 200 Found
DELETE /images/{name} ? force:b noprune:b > 200 Deleted
POST /auth < object > 200 Login
GET /distribution/{name}/json > 200 Distribution
POST /build ? dockerfile:s t:s+ extrahosts:s+ remote:s q:b nocache:b cachefrom:j pull:b rm:b forcerm:b memory:i memswap:i cpushares:i cpuperiod:i cpuquota:i cpusetcpus:s cpusetmems:s ulimits:j cgroupparent:s shmsize:i buildargs:j labels:j networkmode:s platform:s target:s version:s < tar > 200 lines
POST /build/prune ? all:b keep-storage:i reserved-space:i filters:j > 200 PrunedCache
GET /networks ? filters:j > 200 Networks
POST /networks/create < object > 201 NetworkId
POST /networks/prune ? filters:j > 200 PrunedNetworks
GET /networks/{id} ? verbose:b scope:s > 200 Network
DELETE /networks/{id} > 204
POST /networks/{id}/connect < object > 200
POST /networks/{id}/disconnect < object > 200
GET /volumes ? filters:j > 200 Volumes
POST /volumes/create < object > 201 Volume
POST /volumes/prune ? filters:j > 200 PrunedVolumes
GET /volumes/{name} > 200 Volume
DELETE /volumes/{name} ? force:b > 204
GET /plugins ? filters:j > 200 Nothing
POST /labdock/build ? contexts:j ssh:j outputs:j cacheto:j cachefromparts:j explain:b check:b reproducible:b provenance:b debug:b < parts > 200 lines
GET /labdock/build/exports/{token} > 200 tar
GET /labdock/api ? openapi:b > 200 Object
GET /labdock/containers/{id}/explain > 200 Object
GET /labdock/containers/{id}/files ? path:s! > 200 Object
POST /labdock/containers/{id}/ports/{port} > 200 stream
GET /labdock/doctor > 200 Object
POST /labdock/exec/{id}/kill ? signal:s > 204
POST /labdock/images/bootstrap ? name:s! > 200 lines
GET /labdock/manifest ? name:s! > 200 Object
PUT /labdock/manifest ? name:s! from:s < object > 201 Object
GET /labdock/registry > 200 Object
POST /labdock/registry < object > 201 Object
DELETE /labdock/registry > 204
GET /labdock/volumes/{name}/tar > 200 tar
PUT /labdock/volumes/{name}/tar < tar > 201 Volume
"""

_STRUCTS: dict[str, type[msgspec.Struct]] = {"CreateRequest": CreateRequest, "ExecConfig": ExecConfig}
_KINDS: dict[str, dict[str, Any]] = {
    "b": {"type": "boolean"}, "i": {"type": "integer"}, "s": {"type": "string"}, "t": {"type": "string"}, "j": {"type": "string"},
}  # fmt: skip
_MEDIA = {"text": "text/plain", "tar": "application/x-tar", "stream": "application/vnd.docker.raw-stream",
          "lines": "application/json", "parts": "application/vnd.labdock.build"}  # fmt: skip
_LINE = re.compile(r"(\S+) (\S+)(?: \? ([^<>]*?))?(?: < (\S+))?(?: > (\d+)(?: (\S+))?)?\Z")


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    kind: str
    required: bool
    repeated: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """``status`` 0: nothing is known of what it gives (it is not served)."""

    method: str
    path: str
    query: tuple[Parameter, ...] = ()
    body: str = ""
    status: int = 0
    answer: str = ""


@cache
def operations() -> dict[tuple[str, str], Operation]:
    """(method, path) → what is taken and given there."""
    return {(each.method, each.path): each for each in map(_parse, _TEXT.strip().splitlines())}


def _parse(line: str) -> Operation:
    found = _LINE.match(line)
    if found is None:
        raise ValueError(f"no line of the contract: {line!r}")
    method, path, query, body, status, answer = found.groups()
    return Operation(
        method, path, tuple(map(_parameter, (query or "").split())), body or "", int(status or 0), answer or ""
    )


def _parameter(text: str) -> Parameter:
    name, _, kind = text.partition(":")
    return Parameter(name, kind[0], "!" in kind, "+" in kind)


def plain_path(row: Row) -> str:
    """``/images/{name}/json`` for ``/images/{name...}/json``."""
    return row.pattern.replace("...}", "}")


def operation_of(row: Row) -> Operation:
    """What *row* takes and gives; bare for what is answered by a refusal."""
    return operations().get((row.method, plain_path(row)), Operation(row.method, plain_path(row)))


def refusal_of(row: Row) -> str:
    """Why *row* is not served, in few words; "" when it is."""
    return "not yet" if row.handler is None else REASONS.get(row.handler, "")


def describe() -> list[dict[str, Any]]:
    """The table as plain values."""
    rows = []
    for row in ROWS:
        found = operation_of(row)
        rows.append(
            {
                "Method": row.method,
                "Path": found.path,
                "Since": f"{row.since[0]}.{row.since[1]}",
                "Handler": row.handler.__name__ if row.handler is not None else "",
                "Refused": refusal_of(row),
                "Query": [parameter.name for parameter in found.query],
                "Body": found.body,
                "Status": found.status,
                "Answer": found.answer,
            }
        )
    return rows


def openapi() -> dict[str, Any]:
    """The served part of the table as an OpenAPI 3.1 document."""
    _, components = msgspec.json.schema_components(
        list(_STRUCTS.values()),
        ref_template="#/components/schemas/{name}",
        schema_hook=lambda _: {"description": "anything"},
    )
    schemas = {**components, **{name: to_schema(shape) for name, shape in SHAPES.items()}}
    paths: dict[str, dict[str, Any]] = {}
    for row in ROWS:
        if not refusal_of(row):
            found = operation_of(row)
            paths.setdefault(found.path, {})[row.method.lower()] = _document(row, found)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "labdock: the Docker Engine API",
            "version": API_VERSION,
            "description": f"The paths are served without a version too; versions {OLDEST_VERSION} to {API_VERSION}.",
        },
        "servers": [{"url": f"/v{API_VERSION}"}],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _document(row: Row, found: Operation) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", found.path)
    shown: dict[str, Any] = {
        "operationId": f"{row.method.lower()}{re.sub(r'[^a-z]+', '_', found.path)}".rstrip("_"),
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names),
            *({"name": p.name, "in": "query", "required": p.required, "schema": _schema_of(p)} for p in found.query),
        ],
        "responses": {
            "default": _content("application/json", {"$ref": "#/components/schemas/Error"}, "What went wrong")
        },
    }
    if found.status:
        shown["responses"][str(found.status)] = _answer(found)
    if found.body:
        shown["requestBody"] = _body(found.body)
    return shown


def _schema_of(parameter: Parameter) -> dict[str, Any]:
    kind = _KINDS[parameter.kind]
    return {"type": "array", "items": kind} if parameter.repeated else kind


def _content(media: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"description": text, "content": {media: {"schema": schema}}}


def _answer(found: Operation) -> dict[str, Any]:
    if not found.answer:
        return {"description": "Done"}
    if found.answer in SHAPES:
        return _content("application/json", {"$ref": f"#/components/schemas/{found.answer}"}, found.answer)
    return _content(_MEDIA[found.answer], {}, found.answer)


def _body(name: str) -> dict[str, Any]:
    if name in _MEDIA:
        return {"content": {_MEDIA[name]: {"schema": {"type": "string", "format": "binary"}}}}
    schema = {"$ref": f"#/components/schemas/{name}"} if name in _STRUCTS else {"type": "object"}
    return {"content": {"application/json": {"schema": schema}}}
