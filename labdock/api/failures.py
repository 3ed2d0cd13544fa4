"""From whatever a handler raised to an error with a status and a message, logged under the request's id."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from contextvars import ContextVar

from aiohttp import ClientPayloadError, web

from labdock.errors import InvalidRequest, LabdockError, SystemFailure

log = logging.getLogger("labdock.api")


#: The header in which a client may name its request, and every error answer names it.
REQUEST_ID = "X-Request-Id"
_served: ContextVar[str] = ContextVar("request", default="")
_NAME = re.compile(r"[0-9A-Za-z._-]{1,64}").fullmatch


def identify(request: web.Request) -> str:
    """The id of the request that this task serves from now on.

    It is the client's own, where that can stand in a log line, else a new one.
    """
    sent = request.headers.get(REQUEST_ID, "")
    found = sent if _NAME(sent) else secrets.token_hex(6)
    _served.set(found)
    return found


def explain(error: Exception) -> LabdockError:
    """*error* when it was raised on purpose; else it is logged with its traceback and answered by the id."""
    if isinstance(error, LabdockError):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return InvalidRequest(f"the request's body is too large: {error.text or error.reason}")
    if isinstance(error, ClientPayloadError | web.PayloadAccessError):
        return InvalidRequest(f"the request's body could not be read: {error}")
    request_id = _served.get()
    log.error("request %s failed", request_id, exc_info=error)
    kind = "timed out" if isinstance(error, asyncio.TimeoutError) else f"{type(error).__name__}"
    return SystemFailure(
        f"the engine failed on this request ({kind}, request id {request_id})",
        hint="`labdock engine logs` has the details under that id",
    )
