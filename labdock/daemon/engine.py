"""The engine process: `python -m labdock.daemon.engine`, a child of inner, root of the sandbox.

It says ``ready`` {} or ``failed`` {code, message, hint} to outer, and ``stop`` {reason} when it was idle for
long enough (LABDOCK_IDLE_STOP, in seconds). SIGTERM ends it gracefully: containers are stopped first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from labdock.daemon import handover
from labdock.daemon.channel import Channel, preserve
from labdock.daemon.idle import IdleWatch, read_idle_stop
from labdock.daemon.listener import Listener, Traffic
from labdock.daemon.publish import ChannelOutside
from labdock.errors import LabdockError
from labdock.sys import process

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

#: Opens the engine: (plan, paths, outside) → engine; and makes the application that serves it.
Open = Callable[[Any, Any, Any], Awaitable[Any]]
Make = Callable[[Any], "web.Application"]


def main(open_engine: Open, make_application: Make) -> int:
    """Serve until SIGTERM; returns the exit status. The arguments are labdock.engine's and labdock.api's own."""
    process.set_name("labdock-engine")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(levelname)s: %(message)s")
    if os.environ.get("LABDOCK_DEBUG") == "1":
        logging.getLogger("labdock").setLevel(logging.DEBUG)
    # aiohttp logs each request at INFO.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    given = handover.receive(os.environ)
    api = socket.socket(fileno=handover.API_FD)
    to_outer = socket.socket(fileno=handover.CHANNEL_FD)
    for end in (api, to_outer):
        os.set_inheritable(end.fileno(), False)
    return asyncio.run(_serve(given, api, to_outer, open_engine, make_application))


async def _serve(
    given: handover.Handover, api: socket.socket, to_outer: socket.socket, open_engine: Open, make_application: Make
) -> int:
    channel = Channel(to_outer, name="outer")
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    try:
        engine = await open_engine(given.plan, given.paths, ChannelOutside(channel))
        seconds = read_idle_stop(os.environ)
        traffic = Traffic() if seconds is not None else None
        listener = await Listener.open(api, make_application(engine), given.plan.identity, traffic)
    except Exception as error:
        log.exception("the engine can't start")
        channel.notify("failed", preserve(_explain(error, given)))
        channel.close()
        return 1
    idle = None
    if seconds is not None and traffic is not None:
        idle = _watch_idleness(seconds, engine, traffic, channel)
    channel.notify("ready")
    gone = asyncio.create_task(channel.wait_closed())
    await asyncio.wait({gone, asyncio.create_task(asked.wait())}, return_when=asyncio.FIRST_COMPLETED)
    if idle is not None:
        idle.cancel()
    gone.cancel()
    # No new requests, then the containers, then the requests that waited for them (logs, wait, attach).
    listener.refuse()
    await engine.close()
    await listener.close()
    channel.close()
    return 0


class Used(Protocol):
    """What is asked of an engine to know whether it is used. The engine's own type is not known here."""

    @property
    def containers(self) -> Living: ...
    @property
    def registry(self) -> Serving: ...


class Living(Protocol):
    def are_alive(self) -> bool: ...


class Serving(Protocol):
    @property
    def serving(self) -> bool: ...


def _watch_idleness(seconds: float, engine: Used, traffic: Traffic, channel: Channel) -> IdleWatch:
    return IdleWatch(
        seconds,
        # A registry that is served has users whom this traffic does not show.
        busy=lambda: traffic.open > 0 or engine.registry.serving or engine.containers.are_alive(),
        activity=lambda: traffic.total,
        expire=lambda waited: channel.notify("stop", {"reason": f"idle for {waited:g} s"}),
        call_later=asyncio.get_running_loop().call_later,
    )


def _explain(error: Exception, given: handover.Handover) -> LabdockError:
    """What the starter is shown; the log has the whole traceback."""
    if isinstance(error, LabdockError):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return LabdockError(
        f"the engine can't start: {type(error).__name__}: {error}{place}", hint=f"the whole log: {given.paths.log}"
    )


if __name__ == "__main__":
    from labdock.api import make_application
    from labdock.engine import open_engine

    sys.exit(main(open_engine, make_application))
