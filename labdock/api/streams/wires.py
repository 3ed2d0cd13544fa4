"""All connections that were taken over from aiohttp in one application, and how long their clients are waited for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING

from aiohttp import web

from labdock.api.streams.peers import PeerWatch
from labdock.engine.slack import Slack

if TYPE_CHECKING:
    from labdock.api.streams.wire import Wire

#: A client that takes none of what waits for it for so long is cut (a pager may hold it for minutes). Seconds.
PATIENCE = 900.0
#: The environment's word for another patience.
PATIENCE_VARIABLE = "LABDOCK_READER_PATIENCE"
#: How long a server that closes waits for streams to end by themselves. Seconds.
LAST_TIME = 0.5

log = logging.getLogger("labdock.api")


class Wires:
    """All connections taken over in one application, so that its shutdown can end them.

    ``patience``: for how many seconds a client may take nothing of what waits for it.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self.patience = patience
        self.peers = PeerWatch()
        self._slack = Slack()
        self._open: set[Wire] = set()
        self._fewer = asyncio.Event()

    def add(self, wire: Wire) -> None:
        self._open.add(wire)

    def discard(self, wire: Wire) -> None:
        """*wire* is nobody's any more. What was held back for a slow client is given back."""
        if wire in self._open:
            self._open.remove(wire)
            self._fewer.set()
            if wire.was_blocked:
                self._slack.give_back()

    def __len__(self) -> int:
        return len(self._open)

    async def close(self) -> None:
        """Give open streams :data:`LAST_TIME` to end with what they belong to, then cut the rest."""
        deadline = asyncio.get_running_loop().time() + LAST_TIME
        while self._open and (left := deadline - asyncio.get_running_loop().time()) > 0:
            self._fewer.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._fewer.wait()
        for wire in tuple(self._open):
            wire.abort()
        self.peers.close()


WIRES = web.AppKey("wires", Wires)


def read_patience() -> float:
    """The seconds that the environment asks for; :data:`PATIENCE` where it asks for nothing that makes sense."""
    text = os.environ.get(PATIENCE_VARIABLE, "")
    try:
        seconds = float(text or PATIENCE)
    except ValueError:
        seconds = 0.0
    if 0 < seconds < float("inf"):
        return seconds
    log.warning("%s=%s is no number of seconds above 0; %g is used", PATIENCE_VARIABLE, text, PATIENCE)
    return PATIENCE
