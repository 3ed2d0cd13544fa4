"""Accepting the API's connections on the inherited socket, from the engine's owner only."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from labdock.sys.peers import read_peer

#: How ids that the sandbox has no number for look in it (/proc/sys/kernel/overflowuid).
OVERFLOW = 65534

_REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
)
_REASON = b'{"message":"this engine belongs to another user"}'

log = logging.getLogger(__name__)


def allowed_uids(identity: str) -> frozenset[int]:
    """The peers that may connect, in the sandbox's numbering.

    The owner is uid 0 there. When host root runs labdock and containers' root is another id ("root-mapped"), host
    root has no number in the sandbox and shows as the overflow id. Other ids outside the map look the same; they
    are kept out by the socket, which is 0600 in a folder that is 0700.
    """
    return frozenset((0, OVERFLOW)) if identity == "root-mapped" else frozenset((0,))


class Traffic:
    """Requests: ``total`` so far, ``open`` now. (Connections say little: clients keep theirs for later.)"""

    def __init__(self) -> None:
        self.total = 0
        self.open = 0

    def count(self) -> Middleware:
        """The middleware that counts."""

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.total += 1
            self.open += 1
            try:
                return await handler(request)
            finally:
                self.open -= 1

        return middleware


class Listener:
    """An aiohttp application behind a unix socket."""

    def __init__(self, api: socket.socket, runner: web.AppRunner, allowed: frozenset[int]) -> None:
        self._api = api
        self._runner = runner
        assert runner.server is not None
        self._server = runner.server
        self._allowed = allowed
        self._accepting = asyncio.create_task(self._accept(), name="accept")

    @classmethod
    async def open(
        cls, api: socket.socket, application: web.Application, identity: str, traffic: Traffic | None = None
    ) -> Listener:
        """Serve *application* to the peers that *identity* (see Plan) allows, counting requests in *traffic*."""
        api.setblocking(False)
        if traffic is not None:
            application.middlewares.append(traffic.count())
        # Requests are ended by who serves them, when the engine closes; SIGTERM is the caller's.
        runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=2.0)
        await runner.setup()
        return cls(api, runner, allowed_uids(identity))

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._api)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED):
                    raise
                # At the limit of open files nothing wakes an accepter when one is free again.
                log.warning("accepting a connection: %s", error.strerror)
                await asyncio.sleep(0.1)
                continue
            peer = read_peer(connection)
            if peer.uid not in self._allowed:
                log.warning("refused a connection of uid %d (pid %d)", peer.uid, peer.pid)
                with contextlib.suppress(OSError):
                    connection.send(_REFUSAL % (len(_REASON), _REASON))
                connection.close()
                continue
            await loop.connect_accepted_socket(self._server, connection)

    def refuse(self) -> None:
        """Take no new connections; they wait in the socket's queue."""
        self._accepting.cancel()

    async def close(self) -> None:
        """End the open connections."""
        self.refuse()
        await asyncio.gather(self._accepting, return_exceptions=True)
        await self._runner.cleanup()
        self._api.close()
