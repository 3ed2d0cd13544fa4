"""Plain answers: JSON by msgspec, errors in Docker's form, the headers every answer carries."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from labdock import __version__
from labdock.errors import DockerfileError, LabdockError

API_VERSION = "1.51"
OLDEST_VERSION = "1.24"
JSON = "application/json"
SERVER = f"labdock/{__version__} (linux)"

#: On every answer (moby's server middleware; clients negotiate by Api-Version).
COMMON_HEADERS = {"Api-Version": API_VERSION, "Docker-Experimental": "false", "Ostype": "linux", "Server": SERVER}
_JSON_HEADERS = {**COMMON_HEADERS, "Content-Type": JSON}

_encode = msgspec.json.encode


def json_answer(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=_encode(value) + b"\n", status=status, headers=_JSON_HEADERS)


def empty_answer(status: int = 204) -> web.Response:
    return web.Response(status=status, headers=COMMON_HEADERS)


def text_answer(text: str, headers: dict[str, str]) -> web.Response:
    return web.Response(
        body=text.encode(), headers={**COMMON_HEADERS, **headers, "Content-Type": "text/plain; charset=utf-8"}
    )


def error_body(error: LabdockError) -> dict[str, str | int]:
    """``{"message": …}``, with the hint beside it when there is one, and where in a Dockerfile it is."""
    body: dict[str, str | int] = {"message": error.message}
    if error.hint:
        body["hint"] = error.hint
    if isinstance(error, DockerfileError):
        body |= {
            "line": error.line,
            "end_line": error.end_line,
            "column": error.column,
            "end_column": error.end_column,
        }
    return body


def error_answer(error: LabdockError) -> web.Response:
    return json_answer(error_body(error), error.status)


def error_line(error: LabdockError) -> dict[str, object]:
    """The last line of a stream that failed on its way (moby's pkg/jsonmessage)."""
    return {"errorDetail": error_body(error), "error": error.message}
