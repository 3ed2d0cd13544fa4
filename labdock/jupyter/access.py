"""Who may: the base of every handler. Authenticated, authorised for ``labdock``, checked against forged requests.

Jupyter's own ``prepare`` finds out who it is, and checks origin and XSRF; here the authoriser is asked before any
handler's code runs, so that no handler can forget to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from http.client import responses
from typing import Any, TypeVar

import msgspec
from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado import web
from tornado.iostream import StreamClosedError

from labdock.errors import InvalidRequest, LabdockError
from labdock.jupyter.desk import Desk
from labdock.jupyter.shapes import Failure, encode

RESOURCE = "labdock"
#: As Jupyter's own table of methods and actions.
ACTIONS = {"GET": "read", "HEAD": "read", "OPTIONS": "read"}

T = TypeVar("T")


async def authorise(handler: JupyterHandler, action: str) -> None:
    """Raises 403 unless the handler's user may do *action* with ``labdock``."""
    user = handler.current_user
    if user is None:
        raise web.HTTPError(403)
    if not await ensure_async(handler.authorizer.is_authorized(handler, user, action, RESOURCE)):
        raise web.HTTPError(403, f"User is not authorized to {action} on resource: {RESOURCE}.")


class Handler(APIHandler):
    """JSON in, JSON out; :mod:`labdock.errors` become ``{"message", "hint"}`` with their status."""

    auth_resource = RESOURCE
    desk: Desk
    _gone: asyncio.Task[Any] | None = None

    def initialize(self, desk: Desk) -> None:
        self.desk = desk

    async def prepare(self) -> None:  # type: ignore[override]
        await super().prepare()
        if self._finished:
            return
        # OPTIONS is a browser's own question, which carries nobody's name.
        if self.request.method != "OPTIONS":
            await authorise(self, ACTIONS.get(self.request.method or "", "write"))

    def set_default_headers(self) -> None:
        super().set_default_headers()
        # What containers say is passed on: it is never a page, a script or a style of this origin.
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")

    @property
    def content_security_policy(self) -> str:
        return super().content_security_policy + "; sandbox"

    def answer(self, value: Any, status: int = 200) -> None:
        self.set_status(status)
        self.finish(encode(value))

    def read_body(self) -> dict[str, Any]:
        """The request's JSON object; {} for none. Raises InvalidRequest."""
        if not self.request.body:
            return {}
        try:
            return msgspec.json.decode(self.request.body, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise InvalidRequest(f"the request is no JSON object: {error}") from error

    def argument(self, name: str) -> str:
        """The query's *name*. Raises InvalidRequest when it is missing."""
        value = self.get_query_argument(name, "")
        if not value:
            raise InvalidRequest(f"the query has no {name!r}")
        return str(value)

    async def while_wanted(self, work: Coroutine[Any, Any, T]) -> T:
        """*work*, cancelled when the browser goes away (then StreamClosedError)."""
        self._gone = task = asyncio.ensure_future(work)
        try:
            return await task
        except asyncio.CancelledError:
            if not task.cancelled() or not self._hung_up:
                task.cancel()
                raise
            raise StreamClosedError from None
        finally:
            self._gone = None

    _hung_up = False

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._hung_up = True
        if self._gone is not None:
            self._gone.cancel()

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, LabdockError | StreamClosedError):
            super().log_exception(typ, value, tb)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if isinstance(error, LabdockError):
            self.set_status(error.status)
            failure = Failure(message=error.message, hint=error.hint or "")
        elif isinstance(error, web.HTTPError):
            failure = Failure(message=error.log_message or responses.get(status_code, "error"))
        else:
            failure = Failure(message="this failed on the server", hint="the Jupyter server's log has the reason")
        with contextlib.suppress(StreamClosedError):
            self.finish(encode(failure))
