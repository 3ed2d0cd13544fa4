"""The Docker Engine API's edge: routes, versions, JSON and streams over an engine. In the engine process.

:func:`make_application` is all that others need. The table of endpoints is :mod:`labdock.api.table`; what the API
asks of an engine is :class:`labdock.api.facade.Engine`. Nothing here decides: parameters are read, the engine is
asked, its answer or its error is written in Docker's form.
"""

from __future__ import annotations

from aiohttp import web

from labdock.api.dispatch import Dispatcher
from labdock.api.facade import Engine
from labdock.api.streams.wires import WIRES, Wires, read_patience
from labdock.api.table import ROWS

__all__ = ["make_application"]

#: Idle connections are kept so long, in seconds: clients pool theirs, and can't repeat a POST on one closed under it.
_KEEP_ALIVE = 3600.0


def make_application(engine: Engine) -> web.Application:
    """The application that serves *engine*. Serve it with ``AppRunner(application, shutdown_timeout=…)`` as it is:
    its shutdown ends every open stream first."""
    application = web.Application(
        # No access log of aiohttp's own: the dispatcher writes one line a request, at debug.
        handler_args={"access_log": None, "keepalive_timeout": _KEEP_ALIVE}
    )
    wires = Wires(read_patience())
    application[WIRES] = wires

    async def close_streams(_: web.Application) -> None:
        await wires.close()

    application.on_shutdown.append(close_streams)
    # One route and our own tree behind it: faster than a cascade of patterns, and 404s come in Docker's form, of paths
    # with a line's end in them too.
    application.router.add_route("*", r"/{path:[\s\S]*}", Dispatcher(engine, ROWS).serve)
    return application
