"""Published ports: outer listens on the host, reaches into the sandbox, and relays between the two.

::

    a client ── host port ── Publisher (outer) ══ relay ══ a socket of the sandbox's network (daemon/reach.py)
    engine: ChannelOutside ── "publish", "unpublish", "published" ──▶ Publisher.handlers()  ("dial": daemon/dial.py)

The container sees connections from the bridge's gateway: the client's own address is not preserved.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import socket
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from labdock.daemon import agents, dial, listening, sights
from labdock.daemon.channel import Channel, Descriptors, Handler, Params
from labdock.daemon.datagrams import Datagrams
from labdock.daemon.reach import PATIENCE
from labdock.daemon.relay import Relay, Relays, reset
from labdock.errors import LabdockError, Unsupported
from labdock.network import Address, HostNetwork, Published, pacing

#: A port that was reached before, or was published this long ago, is past its start: then only a moment.
START = 30.0
SHORT_PATIENCE = 1.0
#: Connections relayed at a time; more wait in the kernel's backlog.
MOST_RELAYED = 4096
_ACCEPTED_AT_ONE_GO = 64
#: Characters of a host file that are passed on.
_LONGEST_FILE = 16384
#: Ports of one "published" answer, so that it fits a message.
_PAGE = 128


class Connect(Protocol):
    """Gives a connected, non-blocking socket to a target inside, with a patience in seconds; reach.Inside."""

    def begin(self, target: Address) -> tuple[socket.socket | None, bool]: ...
    def __call__(
        self, target: Address, patience: float, begun: socket.socket | None = None
    ) -> Awaitable[socket.socket]: ...
    def close(self) -> None: ...


log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Port:
    """A published port: its listeners (IPv4 and IPv6 for ""), the connections or sessions of its clients.

    ``plain``: what its listeners accept is not paced. ``tasks`` reach the inside for those that can't be at once.
    """

    published: Published
    listeners: list[socket.socket]
    since: float
    reached: bool = False
    datagrams: Datagrams | None = None
    plain: bool = False
    tasks: set[asyncio.Task[bool]] = field(default_factory=set)
    relays: set[Relay] = field(default_factory=set)


class Publisher:
    """The host's side, in outer. *connect* reaches the inside; at most *limit* connections are relayed at a time."""

    def __init__(self, connect: Connect, *, limit: int = MOST_RELAYED) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._limit = limit
        self._ports: list[_Port] = []
        self._relayed = 0
        self._paused = False
        self._relays = Relays()
        self._paced = pacing.is_paced()

    @property
    def relayed(self) -> int:
        """Connections being relayed (or held) now."""
        return self._relayed

    async def publish(self, owner: str, host: Address, target: Address) -> Published:
        """Listen on *host*; gives what is held, with the port that "any" became and ip "0.0.0.0" where IPv6 is not.

        Raises Conflict ("port is already allocated"), Forbidden (a port below the limit for users),
        InvalidRequest (not an address of this host), Unsupported (anything but TCP and UDP).
        """
        if host.proto not in ("tcp", "udp") or host.proto != target.proto:
            raise Unsupported(
                f"publishing {host.proto} port {target.port}: only tcp and udp ports can be relayed without root",
                hint="containers of one network reach each other's ports on their own addresses",
            )
        try:
            listeners = listening.listen(host)
        except OSError as error:
            raise await listening.explain(error, host, [port.published for port in self._ports]) from error
        port = listeners[0].getsockname()[1]
        ip = listening.ANY if host.ip == "" and len(listeners) == 1 else host.ip
        held = Published(owner, Address(ip, port, host.proto), target)
        entry = _Port(held, listeners, self._loop.time(), plain=self._stop_pacing(host, listeners))
        self._ports.append(entry)
        if host.proto == "udp":
            entry.datagrams = Datagrams(listeners, lambda: self._connect(entry.published.target, 0))
        elif not self._paused:
            self._watch(entry)
        return held

    async def unpublish(self, owner: str) -> None:
        """Close all that *owner* published; its connections end before this returns."""
        gone = [port for port in self._ports if port.published.owner == owner]
        await self._drop(gone)

    async def retarget(self, owner: str, ip: str) -> None:
        """New connections to what *owner* published reach *ip*; those that exist go on to where they went."""
        for port in self._ports:
            if port.published.owner == owner:
                held = port.published
                port.published = Published(owner, held.host, Address(ip, held.target.port, held.target.proto))
                if port.datagrams is not None:
                    port.datagrams.forget()

    async def published(self) -> tuple[Published, ...]:
        return tuple(port.published for port in self._ports)

    async def close(self) -> None:
        """Close every port and connection."""
        await self._drop(list(self._ports))
        self._relays.close()
        self._connect.close()

    def handlers(self) -> dict[str, Handler]:
        """The methods of the channel to the engine, for :class:`ChannelOutside`."""
        return {
            "publish": self._serve_publish,
            "unpublish": self._serve_unpublish,
            "published": self._serve_published,
            "retarget": self._serve_retarget,
            "host": _serve_host,
        }

    async def _serve_publish(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        held = await self.publish(str(params["owner"]), Address(*params["host"]), Address(*params["target"]))
        return pack(held), ()

    async def _serve_unpublish(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        await self.unpublish(str(params["owner"]))
        return None, ()

    async def _serve_retarget(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        await self.retarget(str(params["owner"]), str(params["ip"]))
        return None, ()

    async def _serve_published(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        first = int(params.get("from", 0))
        return [pack(port.published) for port in self._ports[first : first + _PAGE]], ()

    # -- listening

    def _watch(self, port: _Port) -> None:
        if port.datagrams is not None:
            return
        for listener in port.listeners:
            self._loop.add_reader(listener.fileno(), self._accept, port, listener)

    def _unwatch(self, port: _Port) -> None:
        if port.datagrams is not None:
            return
        for listener in port.listeners:
            self._loop.remove_reader(listener.fileno())

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            for port in self._ports:
                self._unwatch(port)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            for port in self._ports:
                self._watch(port)

    async def _drop(self, gone: list[_Port]) -> None:
        for port in gone:
            self._ports.remove(port)
            if port.datagrams is not None:
                port.datagrams.close()
            self._unwatch(port)
            for listener in port.listeners:
                listener.close()
        tasks = [task for port in gone for task in port.tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        # Only now: a task that was too far to be cancelled ends in one.
        for port in gone:
            for relay in tuple(port.relays):
                relay.cut()

    # -- connections

    def _stop_pacing(self, host: Address, listeners: Sequence[socket.socket]) -> bool:
        """Whether no connection to *listeners* needs a look: none is paced, or all clients are near."""
        if self._paced and host.proto == "tcp" and _is_loopback(host.ip):
            for listener in listeners:
                pacing.stop_on(listener)
            return True
        return not self._paced

    def _accept(self, port: _Port, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONE_GO):
            if self._relayed >= self._limit:
                self._pause()
                return
            try:
                client, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.warning("accepting on port %d: %s; waiting", port.published.host.port, error.strerror)
                    self._pause()
                    self._loop.call_later(0.1, self._resume)
                # Anything else is the fault of one connection that is gone already (man 2 accept).
                return
            self._relayed += 1
            client.setblocking(False)
            if not port.plain and (_is_loopback(address[0]) or address[0] == client.getsockname()[0]):
                pacing.stop_on(client)
            self._admit(port, client)

    def _admit(self, port: _Port, client: socket.socket) -> None:
        """Relay at once when the inside is reached at once, as it mostly is; else by a task."""
        inside, connected = self._connect.begin(port.published.target)
        if connected and inside is not None:
            self._relay(port, client, inside)
            return
        task = self._loop.create_task(self._reach(port, client, inside), name="reach")
        port.tasks.add(task)
        task.add_done_callback(functools.partial(self._settle, port, client, inside))

    def _relay(self, port: _Port, client: socket.socket, inside: socket.socket) -> None:
        port.reached = True
        relay = Relay(client, inside, self._relays, functools.partial(self._forget, port))
        port.relays.add(relay)
        relay.begin()

    def _forget(self, port: _Port, relay: Relay) -> None:
        port.relays.discard(relay)
        self._free()

    def _free(self) -> None:
        self._relayed -= 1
        if self._paused:
            self._resume()

    def _settle(
        self, port: _Port, client: socket.socket, begun: socket.socket | None, task: asyncio.Task[bool]
    ) -> None:
        port.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("port %d: a connection was lost", port.published.host.port, exc_info=error)
        elif not task.cancelled() and task.result():
            return
        # A task that is cancelled before its first step runs no line of it.
        if begun is not None:
            begun.close()
        client.close()
        self._free()

    async def _reach(self, port: _Port, client: socket.socket, begun: socket.socket | None) -> bool:
        """Reach the inside with patience, and relay; False when there is nothing to relay with."""
        try:
            starting = not port.reached and self._loop.time() - port.since < START
            patience = PATIENCE if starting else SHORT_PATIENCE
            inside = await self._connect(port.published.target, patience, begun)
        except (LabdockError, OSError) as error:
            target = port.published.target
            log.warning("port %d: no connection to %s:%d: %s", port.published.host.port, target.ip, target.port, error)
            reset(client)
            return False
        self._relay(port, client, inside)
        return True


def _is_loopback(ip: str) -> bool:
    return ip.startswith("127.") or ip == "::1"


async def _serve_host(params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
    """The two files of the host that network.HostNetwork is read from; the engine parses them."""
    found = []
    for path in ("/proc/net/route", "/etc/resolv.conf"):
        try:
            with open(path, encoding="utf-8", errors="replace") as source:
                found.append(source.read(_LONGEST_FILE))
        except OSError:
            found.append("")
    return found, ()


def pack(held: Published) -> list[Any]:
    """*held* as it travels; :func:`unpack` is its inverse."""
    host, target = held.host, held.target
    return [held.owner, [host.ip, host.port, host.proto], [target.ip, target.port, target.proto]]


def unpack(travelled: Sequence[Any]) -> Published:
    owner, host, target = travelled
    return Published(owner, Address(*host), Address(*target))


class ChannelOutside:
    """network.Outside over the engine's *channel* to outer."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def publish(self, owner: str, host: Address, target: Address) -> Published:
        params = {
            "owner": owner,
            "host": [host.ip, host.port, host.proto],
            "target": [target.ip, target.port, target.proto],
        }
        result, _ = await self._channel.call("publish", params, seconds=30)
        return unpack(result)

    async def unpublish(self, owner: str) -> None:
        await self._channel.call("unpublish", {"owner": owner}, seconds=30)

    async def retarget(self, owner: str, ip: str) -> None:
        await self._channel.call("retarget", {"owner": owner, "ip": ip}, seconds=30)

    async def published(self) -> tuple[Published, ...]:
        found: list[Published] = []
        while True:
            page, _ = await self._channel.call("published", {"from": len(found)}, seconds=30)
            found += [unpack(entry) for entry in page]
            if len(page) < _PAGE:
                return tuple(found)

    async def host(self) -> HostNetwork:
        # Here and not in outer, which has no use for these rooms and no memory to spare.
        from labdock.network import ipam, names

        (routes, resolv), _ = await self._channel.call("host", seconds=30)
        return HostNetwork(ipam.parse_routes(routes), names.search_of(resolv), names.nameservers_of(resolv))

    async def dial(self, host: str, port: int) -> socket.socket:
        _, fds = await self._channel.call("dial", {"host": host, "port": port}, seconds=dial.PATIENCE + 10)
        return dial.adopt(fds.take())

    async def dial_udp(self, ip: str, port: int) -> socket.socket:
        _, fds = await self._channel.call("dial udp", {"ip": ip, "port": port}, seconds=10)
        return dial.adopt(fds.take())

    def keep(self, owner: str, sockets: Sequence[socket.socket]) -> None:
        self._channel.notify("keep", {"owner": owner}, [sock.fileno() for sock in sockets])

    def let_go(self, owner: str) -> None:
        self._channel.notify("let go", {"owner": owner})

    async def kept(self) -> dict[str, list[socket.socket]]:
        found: dict[str, list[socket.socket]] = {}
        while True:
            page, fds = await self._channel.call("kept", {"from": len(found)}, seconds=30)
            for owner, count in page:
                found[owner] = [dial.adopt(fds.take()) for _ in range(count)]
            if not page:
                return found

    async def dial_agent(self, path: str) -> socket.socket:
        _, fds = await self._channel.call("dial agent", {"path": path}, seconds=agents.PATIENCE + 10)
        return dial.adopt(fds.take())

    async def look(self, path: str) -> tuple[int, int] | None:
        found, _ = await self._channel.call("look", {"path": path}, seconds=sights.PATIENCE + 10)
        return (found[0], found[1]) if found else None
