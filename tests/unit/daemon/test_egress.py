"""slirp4netns: the way out of a real sandbox, and the published way in."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from labdock.daemon import egress, sandbox
from labdock.daemon.channel import Channel, Descriptors, Handler, Params
from labdock.daemon.publish import Publisher
from labdock.daemon.reach import Dialer, Inside
from labdock.errors import HostUnfit, SystemFailure
from labdock.network import Address
from labdock.network.networks import Networks
from labdock.store.metadata import Database
from labdock.sys import mounts
from tests.conftest import _settle, own_maps
from tests.unit.network.standins import StandinOutside, in_netns, prepare

SLIRP = shutil.which("slirp4netns") or "/usr/bin/slirp4netns"
NFT = shutil.which("nft") or "/usr/sbin/nft"


def try_tcp(ip: str, port: int) -> str:
    """What a program sees that connects: the first bytes, or the error's class."""
    try:
        with socket.create_connection((ip, port), timeout=3) as client:
            return client.recv(100).decode()
    except OSError as error:
        return type(error).__name__


def ask_dns(server: str) -> str:
    """What a resolver sees: "answer" with the query's id (whatever it says), or the error's class."""
    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07invalid\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(3)
        try:
            asking.sendto(query, (server, 53))
            return "answer" if asking.recv(512)[:2] == query[:2] else "garbage"
        except OSError as error:
            return type(error).__name__


def live_inside(sock: socket.socket, folder: Path) -> int:
    """The sandbox's pid 1 in these tests: a dialer, a container with a server, and programs run on request."""
    _settle()
    mounts.mount("tmpfs", str(folder), "tmpfs")

    async def main() -> None:
        db = Database(folder / "db")
        networks = Networks(db, StandinOutside(), netns_folder=prepare(folder), nft=NFT)
        await networks.start()
        path = await networks.create_sandbox("c")
        endpoint = await networks.connect("c", "bridge")
        listener = await asyncio.to_thread(in_netns, path, lambda: socket.create_server((endpoint.ip, 80)))

        def greet(connection: socket.socket, peer: tuple[str, int]) -> None:
            with connection:
                connection.sendall(f"hello {peer[0]}".encode())

        loop = asyncio.get_running_loop()
        loop.add_reader(listener, lambda: greet(*listener.accept()))

        async def tcp(params: Params, fds: Descriptors) -> tuple[str, tuple[()]]:
            return await asyncio.to_thread(in_netns, path, lambda: try_tcp(params["ip"], params["port"])), ()

        async def dns(params: Params, fds: Descriptors) -> tuple[str, tuple[()]]:
            return await asyncio.to_thread(in_netns, path, lambda: ask_dns(params["ip"])), ()

        async def address(params: Params, fds: Descriptors) -> tuple[str, tuple[()]]:
            return endpoint.ip, ()

        own: dict[str, Handler] = {"tcp": tcp, "dns": dns, "address": address}
        channel = Channel(sock, {**Dialer().handlers(), **own})
        await channel.wait_closed()

    asyncio.run(main())
    return 0


def with_sandbox(tmp_path: Path, body: Callable[[int, Channel], Awaitable[None]]) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def inside() -> int:
        ours.close()
        return live_inside(theirs, tmp_path)

    started = sandbox.spawn(own_maps(), inside)
    theirs.close()

    async def main() -> None:
        channel = Channel(ours)
        try:
            await body(started.pid, channel)
        finally:
            channel.close()

    try:
        asyncio.run(main())
    finally:
        os.kill(started.pid, signal.SIGKILL)
        os.waitpid(started.pid, 0)
        os.close(started.pidfd)


def lan_address() -> str | None:
    """An address of this host that is not its loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def test_a_container_gets_out_and_the_hosts_loopback_is_closed(tmp_path: Path) -> None:
    async def body(pid: int, channel: Channel) -> None:
        way = await egress.start(SLIRP, pid)
        loop = asyncio.get_running_loop()
        with socket.create_server(("", 0)) as listener:
            listener.setblocking(False)

            def greet() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"hello from the host")

            loop.add_reader(listener, greet)
            port = listener.getsockname()[1]
            host = lan_address()
            if host is not None:
                assert (await channel.call("tcp", {"ip": host, "port": port}))[0] == "hello from the host"
            closed, _ = await channel.call("tcp", {"ip": egress.GATEWAY, "port": port})
            assert closed in ("ConnectionRefusedError", "TimeoutError", "OSError", "ConnectionResetError")
            # The forwarder asks this host's resolver: it may be dead, and then nothing comes; never an ICMP error.
            said, _ = await channel.call("dns", {"ip": egress.NAMESERVER})
            assert said in ("answer", "TimeoutError")
            loop.remove_reader(listener)
        await way.close()
        assert await way.wait() is not None
        await way.close()

    with_sandbox(tmp_path, body)


def test_publishing_reaches_a_container_through_the_sandbox(tmp_path: Path) -> None:
    async def body(pid: int, channel: Channel) -> None:
        publisher = Publisher(Inside(channel))
        ip, _ = await channel.call("address")
        held = await publisher.publish("c", Address("127.0.0.1", 0), Address(ip, 80))
        for _ in range(20):
            # From the bridge's gateway: the client's own address is not preserved.
            assert await asyncio.to_thread(try_tcp, "127.0.0.1", held.host.port) == "hello 172.17.0.1"
        await publisher.close()

    with_sandbox(tmp_path, body)


def test_its_death_is_noticed(tmp_path: Path) -> None:
    async def body(pid: int, channel: Channel) -> None:
        way = await egress.start(SLIRP, pid)
        os.kill(way.pid, signal.SIGKILL)
        assert await asyncio.wait_for(way.wait(), 5) == -signal.SIGKILL
        await way.close()

    with_sandbox(tmp_path, body)


def test_its_own_words_come_with_the_error() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(SystemFailure, match=r"was not ready \(status 1\): .*\S"):
        asyncio.run(_start(SLIRP, 0x3FFFFF))
    with pytest.raises(HostUnfit, match="starting /nonexistent/slirp4netns: No such file") as caught:
        asyncio.run(_start("/nonexistent/slirp4netns", 1))
    assert caught.value.hint
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_missing_tun_device_is_explained(tmp_path: Path) -> None:
    program = tmp_path / "slirp4netns"
    program.write_text("#!/bin/sh\necho 'open(\"/dev/net/tun\"): No such file or directory' >&2\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(HostUnfit, match="can't open the TUN device") as caught:
        asyncio.run(_start(str(program), 1))
    assert "/dev/net/tun" in (caught.value.hint or "")


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    program = tmp_path / "slirp4netns"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(SystemFailure, match="it said nothing"):
        asyncio.run(_start(str(program), 1, seconds=0.1))


async def _start(binary: str, pid: int, seconds: float = 10.0) -> None:
    way = await egress.start(binary, pid, seconds=seconds)
    await way.close()
