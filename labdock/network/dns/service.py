"""The name service: serves every container's door from one table, and asks others what the table does not have."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from labdock.errors import LabdockError, SystemFailure
from labdock.network import Outside
from labdock.network.dns import doors, messages
from labdock.network.dns.doors import Door
from labdock.network.dns.messages import Malformed, Query, encode_name
from labdock.network.dns.resolver import Ask, resolve
from labdock.network.dns.sources import HostServers, HostWay, InsideWay
from labdock.network.dns.table import Member, Table
from labdock.network.dns.upstream import Upstream, frame, read_frame
from labdock.network.netns import Corner

#: Names of the host itself, when it can be reached from inside.
HOST_NAMES: Final = ("host.docker.internal", "gateway.docker.internal")
#: Questions taken from one door before others have their turn.
_AT_ONE_GO: Final = 64
#: Bytes of a question over UDP; no honest one is near that.
_ROOM: Final = 4096
#: Answers that are kept for one door.
_MOST_ANSWERS: Final = 128
#: TCP connections of one container at a time, and seconds that one may be silent.
MOST_STREAMS: Final = 16
PATIENCE: Final = 10.0

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Open:
    """A container's door, and what is going on at it."""

    container: str
    door: Door
    #: Answers that stay the same while the table has this version: all but a question's number → all but an answer's.
    answers: dict[bytes, bytes] = field(default_factory=dict)
    version: int = -1
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    streams: int = 0


class NameService:
    """All of it. *corner* opens doors, *outside* keeps their sockets for the next engine and asks the host's servers.

    *fixed*: names that mean the same to every container, name → IPv4 address. ``servers_of`` gives the container's own
    name servers (``--dns``); () means the host's. Call everything in the event loop.
    """

    def __init__(self, corner: Corner, outside: Outside, fixed: Mapping[str, str] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._corner = corner
        self._outside = outside
        self.table = Table()
        self.servers_of: Callable[[str], Sequence[str]] = lambda container: ()
        self._fixed = {encode_name(name): socket.inet_aton(ip) for name, ip in (fixed or {}).items()}
        self._open: dict[str, _Open] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._upstream = Upstream()
        self._host_servers = HostServers(outside)
        self._host_way = HostWay(outside)

    # -- who is there

    def join(self, member: Member) -> None:
        """The container has a place in a network with names; again with the same endpoint: its names have changed."""
        self.table.join(member)

    def leave(self, endpoint: str, container: str) -> None:
        """It has it no longer. Its door is closed with its last place."""
        self.table.leave(endpoint)
        if self.table.view(container) is None:
            self._close(container)

    async def open(self, container: str) -> None:
        """Have the container's door open; its namespace exists. Before its first process runs. Raises SystemFailure."""
        async with self._opening.setdefault(container, asyncio.Lock()):
            if container in self._open or self.table.view(container) is None:
                return
            try:
                door = await self._corner.run(lambda: self._corner.within(container, doors.open_door))
            except OSError as error:
                raise SystemFailure(f"opening the name service for container {container[:12]}: {error}") from error
            if self.table.view(container) is None:
                door.close()
                return
            self._serve(container, door)
            with contextlib.suppress(LabdockError):
                self._outside.keep(container, (door.datagrams, door.streams))

    async def restore(self, live: Iterable[str]) -> None:
        """Go on at the doors of the *live* containers, which outer kept while no engine was there; open missing ones.

        What was asked in between waits in their sockets and is answered now.
        """
        alive = set(live)
        for container, sockets in (await self._outside.kept()).items():
            if container in alive and self.table.view(container) is not None and len(sockets) == 2:
                self._serve(container, Door(*sockets))
                continue
            for sock in sockets:
                sock.close()
            self._outside.let_go(container)
        for container in sorted({member.container for member in self.table} & alive - set(self._open)):
            try:
                await self.open(container)
            except SystemFailure as error:
                log.warning("%s", error)

    async def close(self) -> None:
        """Close this engine's side of every door."""
        tasks: Collection[asyncio.Task[None]] = [task for one in self._open.values() for task in one.tasks]
        for container in list(self._open):
            self._shut(self._open.pop(container))
        if tasks:
            await asyncio.wait(tasks)

    def _close(self, container: str) -> None:
        self._opening.pop(container, None)
        found = self._open.pop(container, None)
        if found is None:
            return
        self._shut(found)
        with contextlib.suppress(LabdockError):
            self._outside.let_go(container)

    def _shut(self, found: _Open) -> None:
        for sock in (found.door.datagrams, found.door.streams):
            self._loop.remove_reader(sock.fileno())
        found.door.close()
        for task in found.tasks:
            task.cancel()

    # -- at the doors

    def _serve(self, container: str, door: Door) -> None:
        found = _Open(container, door)
        self._open[container] = found
        self._loop.add_reader(door.datagrams.fileno(), self._hear, found)
        self._loop.add_reader(door.streams.fileno(), self._accept, found)

    def _hear(self, found: _Open) -> None:
        sock = found.door.datagrams
        view = self.table.view(found.container)
        if view is None:
            return
        if found.version != self.table.version:
            found.version = self.table.version
            found.answers.clear()
        for _ in range(_AT_ONE_GO):
            try:
                data, peer = sock.recvfrom(_ROOM)
            except OSError:
                return
            known = found.answers.get(data[2:])
            if known is not None:
                _send(sock, data[:2] + known, peer)
                continue
            turns = view.turns
            verdict = resolve(data, view, self._fixed)
            if isinstance(verdict, bytes):
                _send(sock, verdict, peer)
                if view.turns == turns and len(found.answers) < _MOST_ANSWERS:
                    found.answers[data[2:]] = verdict[2:]
            elif verdict is not None:
                self._spawn(found, self._answer_later(found, verdict.query, peer))

    async def _answer_later(self, found: _Open, query: Query, peer: Any) -> None:
        answer = await self._ask(found.container, query, stream=False)
        if len(answer) > query.room:
            answer = messages.truncate(query)
        _send(found.door.datagrams, answer, peer)

    async def _ask(self, container: str, query: Query, *, stream: bool) -> bytes:
        """What the container's own servers say, or the host's; SERVFAIL when nobody answers."""
        own = [server for server in self.servers_of(container) if server != doors.ADDRESS]
        if own:
            answer = await self._upstream.ask(container, query, own, InsideWay(self._corner, container), stream=stream)
        else:
            servers = await self._host_servers.current()
            answer = await self._upstream.ask(container, query, servers, self._host_way, stream=stream)
        return messages.answer_code(query, messages.SERVFAIL) if answer is None else answer

    def _accept(self, found: _Open) -> None:
        try:
            client, _ = found.door.streams.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # Out of descriptors: the connection waits in the backlog, and this must not spin.
            log.warning("accepting a question of %s: %s", found.container[:12], error.strerror)
            self._loop.remove_reader(found.door.streams.fileno())
            self._loop.call_later(0.1, self._accept_again, found)
            return
        if found.streams >= MOST_STREAMS:
            client.close()
            return
        client.setblocking(False)
        found.streams += 1
        self._spawn(found, self._converse(found, client)).add_done_callback(functools.partial(_hang_up, found, client))

    def _accept_again(self, found: _Open) -> None:
        if self._open.get(found.container) is found:
            self._loop.add_reader(found.door.streams.fileno(), self._accept, found)

    async def _converse(self, found: _Open, client: socket.socket) -> None:
        """Question and answer, one after the other, over TCP, until the asker ends it or is silent for too long."""
        with contextlib.suppress(OSError, EOFError, Malformed):
            while True:
                async with asyncio.timeout(PATIENCE):
                    data = await read_frame(self._loop, client)
                view = self.table.view(found.container)
                if view is None:
                    return
                verdict = resolve(data, view, self._fixed, stream=True)
                if verdict is None:
                    return
                if isinstance(verdict, Ask):
                    verdict = await self._ask(found.container, verdict.query, stream=True)
                async with asyncio.timeout(PATIENCE):
                    await self._loop.sock_sendall(client, frame(verdict))

    def _spawn(self, found: _Open, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work, name="name")
        found.tasks.add(task)
        task.add_done_callback(found.tasks.discard)
        return task


def _hang_up(found: _Open, client: socket.socket, task: asyncio.Task[None]) -> None:
    client.close()
    found.streams -= 1


def _send(sock: socket.socket, answer: bytes, peer: Any) -> None:
    """A datagram that can't be sent is lost, as datagrams may be; the asker asks again."""
    with contextlib.suppress(OSError):
        sock.sendto(answer, peer)
