"""``labdock registry serve``: the engine's images as a registry, on a port of the host.

The server listens on the sandbox's own loopback, and outer publishes the host's port to it as it does for containers
(daemon/publish.py): nothing else of outer is needed, and an engine that comes back only publishes again.

The record of what is served is written last and goes first, so that a killed engine leaves either nothing or a
record from which the next one serves again; a port that outer holds without a record is closed at recovery.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from labdock.errors import Conflict, InvalidRequest, LabdockError, NotFound, SystemFailure
from labdock.network import Address, Outside
from labdock.registry.server import make_application
from labdock.registry.server.accounts import Accounts, seal
from labdock.store.metadata import Database

if TYPE_CHECKING:
    from aiohttp import web

    from labdock.registry.server.holdings import Holdings

#: Who holds the port, for outer. (Containers' owners are ids.)
OWNER = "registry"
LOOPBACK = "127.0.0.1"
#: First and longest pause between two tries to have the port again after a restart, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0

Wire = dict[str, Any]
Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
log = logging.getLogger("labdock.registry")


class RegistryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be served; ``accounts``: name → sealed password."""

    address: str
    port: int
    accounts: dict[str, str] = {}
    read_only: bool = False


class RegistryService:
    """Starts and stops the registry over *holdings*. *spawn*: as Supervisor.spawn."""

    def __init__(self, database: Database, outside: Outside, holdings: Holdings, spawn: Spawn) -> None:
        self._records = database.records("registry", RegistryRecord)
        self._outside = outside
        self._holdings = holdings
        self._spawn = spawn
        self._changing = asyncio.Lock()
        self._runner: web.AppRunner | None = None
        self._failure = ""

    @property
    def serving(self) -> bool:
        return self._runner is not None

    def status(self) -> Wire:
        """``Running``, ``Address``, ``Port``, ``User`` (names, with commas), ``ReadOnly``; ``Error`` when it should
        be served and can't be at the moment."""
        record = self._records.get(OWNER)
        if record is None:
            return {"Running": False, "Address": "", "Port": 0, "User": "", "ReadOnly": False, "Error": ""}
        return {
            "Running": self.serving,
            "Address": record.address,
            "Port": record.port,
            "User": ",".join(sorted(record.accounts)),
            "ReadOnly": record.read_only,
            "Error": self._failure,
        }

    async def serve(self, address: str, port: int, logins: Sequence[str], read_only: bool) -> Wire:
        """Serve at *address* (an IP address or "localhost") and *port* (0: any free one) of the host; the status.

        *logins*: see labdock.registry.server.accounts; with none, everybody who reaches the address is let in.
        Raises InvalidRequest; Conflict when it is served already or the port is taken; Forbidden (a low port).
        """
        where = _check_address(address)
        if not 0 <= port <= 65535:
            raise InvalidRequest(f"{port} is no port")
        async with self._changing:
            record = self._records.get(OWNER)
            if record is not None:
                raise Conflict(
                    f"the registry is served already, at {_join(record.address, record.port)}",
                    hint="`labdock registry stop` ends it; then serve it again as you like",
                )
            accounts = await asyncio.to_thread(seal, logins)
            wanted = RegistryRecord(address=where, port=port, accounts=accounts, read_only=read_only)
            held = await self._open(wanted)
            self._records.put(OWNER, msgspec.structs.replace(wanted, port=held))
        log.info("serving the registry at %s", _join(where, held))
        return self.status()

    async def _open(self, record: RegistryRecord) -> int:
        """Listen inside and have the host's port; gives it. All or nothing."""
        from aiohttp import web

        accounts = await asyncio.to_thread(Accounts, record.accounts)
        application = make_application(self._holdings, accounts, read_only=record.read_only)
        runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=2.0)
        try:
            await runner.setup()
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                listener.bind((LOOPBACK, 0))
                inside = Address(LOOPBACK, listener.getsockname()[1])
                await web.SockSite(runner, listener, backlog=1024).start()
            except OSError as error:
                listener.close()
                raise SystemFailure(f"listening for the registry on the sandbox's loopback: {error}") from error
            held = await self._outside.publish(OWNER, Address(record.address, record.port), inside)
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._failure = ""
        return held.host.port

    async def stop(self) -> None:
        """End it; the images stay. Raises NotFound when it is not served."""
        async with self._changing:
            if not self._records.delete(OWNER):
                raise NotFound("the registry is not served")
            await self._shut()

    async def _shut(self) -> None:
        runner, self._runner = self._runner, None
        self._failure = ""
        # An outer that is gone holds no port either.
        with contextlib.suppress(LabdockError):
            await self._outside.unpublish(OWNER)
        if runner is not None:
            await runner.cleanup()

    async def restore(self) -> None:
        """At recovery: serve again what was served. A port that is taken meanwhile is tried for until it is free."""
        with contextlib.suppress(LabdockError):
            await self._outside.unpublish(OWNER)
        if self._records.get(OWNER) is not None and not await self._try():
            self._spawn(self._retry(), "serving the registry again")

    async def _try(self) -> bool:
        """Whether it is served now, or is not to be any more."""
        async with self._changing:
            record = self._records.get(OWNER)
            if record is None or self.serving:
                return True
            try:
                await self._open(record)
            except LabdockError as error:
                if not self._failure:
                    log.warning("the registry can't be served at %s: %s", _join(record.address, record.port), error)
                self._failure = error.message
                return False
            return True

    async def _retry(self) -> None:
        pause = FIRST_PAUSE
        while True:
            await asyncio.sleep(pause)
            if await self._try():
                return
            pause = min(pause * 2, LONGEST_PAUSE)

    async def close(self) -> None:
        """At the engine's end; the record stays, so the next one serves again."""
        async with self._changing:
            await self._shut()


def _check_address(text: str) -> str:
    if text == "localhost":
        return LOOPBACK
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise InvalidRequest(
            f"no address to serve at: {text[:60]!r}", hint="127.0.0.1 serves this machine only, 0.0.0.0 every network"
        ) from error


def _join(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
