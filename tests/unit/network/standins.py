"""Second implementations of what the network room is given."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from labdock.daemon.dial import Caller, connect_udp
from labdock.errors import Conflict, Unavailable
from labdock.network import Address, HostNetwork, Published
from labdock.sys import mounts, namespaces
from labdock.sys.links import bring_up

T = TypeVar("T")


class StandinOutside:
    """network.Outside that holds nothing but a list. ``taken``: host ports that somebody else has."""

    def __init__(self, routes: tuple[str, ...] = (), taken: set[int] | None = None) -> None:
        self.held: list[Published] = []
        self.taken = taken or set()
        self.routes = routes
        self.asked = 0
        self.nameservers: tuple[str, ...] = ()
        #: Where dial and dial_udp really go.
        self.moved: dict[tuple[str, int], tuple[str, int]] = {}
        self.copies: dict[str, list[socket.socket]] = {}

    async def publish(self, owner: str, host: Address, target: Address) -> Published:
        self.asked += 1
        if host.port in self.taken or any(held.host.port == host.port != 0 for held in self.held):
            raise Conflict(f"Bind for 0.0.0.0:{host.port} failed: port is already allocated", hint="another port")
        held = Published(owner, Address(host.ip, host.port or 40000 + len(self.held), host.proto), target)
        self.held.append(held)
        return held

    async def unpublish(self, owner: str) -> None:
        self.asked += 1
        self.held = [held for held in self.held if held.owner != owner]

    async def retarget(self, owner: str, ip: str) -> None:
        self.asked += 1
        self.held = [
            Published(held.owner, held.host, Address(ip, held.target.port, held.target.proto))
            if held.owner == owner
            else held
            for held in self.held
        ]

    async def published(self) -> tuple[Published, ...]:
        return tuple(self.held)

    async def host(self) -> HostNetwork:
        return HostNetwork(self.routes, ("lab.example",), self.nameservers)

    async def dial_udp(self, ip: str, port: int) -> socket.socket:
        self.asked += 1
        return connect_udp(*self.moved.get((ip, port), (ip, port)))

    def keep(self, owner: str, sockets: Sequence[socket.socket]) -> None:
        self.let_go(owner)
        self.copies[owner] = [sock.dup() for sock in sockets]

    def let_go(self, owner: str) -> None:
        for sock in self.copies.pop(owner, ()):
            sock.close()

    async def kept(self) -> dict[str, list[socket.socket]]:
        found = {owner: [sock.dup() for sock in sockets] for owner, sockets in self.copies.items()}
        for sock in (sock for sockets in found.values() for sock in sockets):
            sock.setblocking(False)
        return found

    async def look(self, path: str) -> tuple[int, int] | None:
        return None

    async def dial_agent(self, path: str) -> socket.socket:
        raise Unavailable(path)

    async def dial(self, host: str, port: int) -> socket.socket:
        self.asked += 1
        return await Caller().dial(*self.moved.get((host, port), (host, port)))


def in_netns(path: str, work: Callable[[], T]) -> T:
    """Call *work* in a thread that has moved into the network namespace at *path*."""
    outcome: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                namespaces.setns(fd, namespaces.NEWNET)
            finally:
                os.close(fd)
            outcome.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    if failures:
        raise failures[0]
    if not outcome:
        raise OSError(errno.ETIMEDOUT, "the work in the namespace did not end")
    return outcome[0]


def prepare(tmp_path: Path) -> Path:
    """What inner does for networks: a tmpfs, lo up. Gives the folder for namespaces."""
    box = tmp_path / "box"
    box.mkdir()
    mounts.mount("tmpfs", str(box), "tmpfs")
    bring_up("lo")
    return box / "netns"
