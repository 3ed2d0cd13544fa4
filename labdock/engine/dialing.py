"""Connections into containers' networks: to a port that is published nowhere, without one on the host."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord
from labdock.errors import Conflict, InvalidRequest, Unavailable
from labdock.runtime import RuntimeDriver, Stream
from labdock.sys import namespaces

_PIECE = 64 << 10
#: Seconds for a connection to be taken: it does not leave the machine.
_PATIENCE = 10.0


class Dialing:
    """Dials containers' ports. A *ref* is a name, an id or an unambiguous id prefix."""

    def __init__(self, ledger: Ledger, driver: RuntimeDriver) -> None:
        self._ledger = ledger
        self._driver = driver

    async def dial(self, ref: str, port: int) -> Conversation:
        """A connection to TCP *port* of *ref*: of its loopback, else of its address.

        Raises NoSuchContainer, Conflict (it does not run), InvalidRequest, Unavailable (nothing listens there).
        """
        record = self._ledger.get(ref)
        if not 0 < port < 65536:
            raise InvalidRequest(f"invalid port: {port}", hint="TCP ports go from 1 to 65535")
        if record.state.status not in (Status.RUNNING, Status.PAUSED):
            raise Conflict(f"container {record.id} is not running", hint="start it first")
        if record.state.status is Status.PAUSED:
            raise Conflict(f"container {record.id} is paused", hint="unpause it first")
        namespace = await self._open_namespace(record)
        try:
            addresses = ["127.0.0.1", "::1", *_own_addresses(record.state.pid)]
            for address in addresses:
                with suppress(OSError, TimeoutError):
                    return Conversation(await _connect(namespace, address, port))
        finally:
            os.close(namespace)
        raise Unavailable(
            f"nothing in the container {record.name} listens on TCP port {port}",
            hint="its program may still be starting, or listen on another port: `labdock logs` tells",
        )

    async def _open_namespace(self, record: ContainerRecord) -> int:
        """The network namespace of the first process, which is its own and nobody's with the same number."""
        try:
            found = os.open(f"/proc/{record.state.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Conflict(f"container {record.id} is not running", hint="it has just ended") from error
        try:
            await self._driver.signal(record.id, 0)
        except BaseException:
            os.close(found)
            raise
        return found


class Conversation:
    """A connection as :class:`labdock.api.facade.Streams` has it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def read(self) -> tuple[Stream, bytes] | None:
        try:
            data = await self._loop.sock_recv(self._sock, _PIECE)
        except ConnectionError:
            return None
        return ("stdout", data) if data else None

    async def write(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    async def close_stdin(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        self._sock.close()


async def _connect(namespace: int, address: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    made = await _in_thread(lambda: _make(namespace, socket.AF_INET6 if ":" in address else socket.AF_INET))
    try:
        made.setblocking(False)
        async with asyncio.timeout(_PATIENCE):
            await loop.sock_connect(made, (address, port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        made.close()
        raise
    return made


def _make(namespace: int, family: int) -> socket.socket:
    """A socket of *namespace*. Only for a thread that ends afterwards: it stays in there."""
    namespaces.setns(namespace, namespaces.NEWNET)
    return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)


async def _in_thread(make: Callable[[], socket.socket]) -> socket.socket:
    """What *make* gives in a thread of its own; a socket that nobody waits for any more is closed."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[socket.socket] = loop.create_future()

    def tell(made: socket.socket | None, error: BaseException | None) -> None:
        if future.done():
            if made is not None:
                made.close()
        elif made is not None:
            future.set_result(made)
        elif error is not None:
            future.set_exception(error)

    def run() -> None:
        made, failed = None, None
        try:
            made = make()
        except OSError as error:
            failed = error
        with suppress(RuntimeError):  # The loop is closed: the process ends.
            loop.call_soon_threadsafe(tell, made, failed)

    threading.Thread(target=run, name="labdock-dial", daemon=True).start()
    return await future


def _own_addresses(pid: int) -> list[str]:
    """The IPv4 addresses of the namespace of *pid* that are not its loopback's (man 5 proc, net/fib_trie)."""
    try:
        lines = Path(f"/proc/{pid}/net/fib_trie").read_text().splitlines()
    except OSError:
        return []
    found: list[str] = []
    for before, line in itertools.pairwise(lines):
        address = before.rpartition(" ")[2]
        if line.strip() == "/32 host LOCAL" and not address.startswith("127.") and address not in found:
            found.append(address)
    return found
