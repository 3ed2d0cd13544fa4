"""From whatever a handler raised to an error with a status and a message; the unexpected is logged under an id."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar

from aiohttp import ClientPayloadError, web

from labdock.errors import InvalidRequest, LabdockError, SystemFailure

#: What the engine's log calls the request that is being served.
REQUEST_ID: ContextVar[str] = ContextVar("labdock.request", default="-")

log = logging.getLogger("labdock.api")


def explain(error: Exception) -> LabdockError:
    """*error* when it was raised on purpose; else it is logged with its traceback, under the id that is answered."""
    if isinstance(error, LabdockError):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return InvalidRequest(f"the request's body is too large: {error.text or error.reason}")
    if isinstance(error, ClientPayloadError | web.PayloadAccessError):
        return InvalidRequest(f"the request's body could not be read: {error}")
    request_id = REQUEST_ID.get()
    log.error("request %s failed", request_id, exc_info=error)
    kind = "timed out" if isinstance(error, asyncio.TimeoutError) else f"{type(error).__name__}"
    return SystemFailure(
        f"the engine failed on this request ({kind}, request id {request_id})",
        hint="`labdock engine logs` has the details under that id",
    )
