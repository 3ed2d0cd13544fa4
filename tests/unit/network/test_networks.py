"""Networks in a real kernel: every test is root of a sandbox of its own."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from labdock.errors import Conflict, Forbidden, InvalidRequest, NoSuchNetwork, SystemFailure
from labdock.network import netlink
from labdock.network.netlink import Netlink
from labdock.network.networks import BRIDGE, Networks
from labdock.schema.container import PortBinding
from labdock.store.metadata import Database
from tests.unit.network.standins import StandinOutside, in_netns, prepare

NFT = shutil.which("nft") or "/usr/sbin/nft"


def with_networks(
    tmp_path: Path, body: Callable[[Networks, StandinOutside], Awaitable[None]], outside: StandinOutside | None = None
) -> None:
    folder = prepare(tmp_path)
    given = outside or StandinOutside()

    async def main() -> None:
        db = Database(tmp_path / "db")
        networks = Networks(db, given, netns_folder=folder, nft=NFT)
        await networks.start()
        try:
            await body(networks, given)
        finally:
            await networks.close()
            db.close()

    asyncio.run(main())


def list_table() -> str:
    """The packet rules with their handles, which a reload would change."""
    command = [NFT, "-a", "list", "table", "inet", "labdock"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def serve_once(ip: str, port: int) -> socket.socket:
    """A listener (made in the calling thread's namespace) that answers one connection with its peer's address."""
    listener = socket.create_server((ip, port))
    listener.settimeout(10)

    def answer() -> None:
        with listener:
            connection, peer = listener.accept()
            with connection:
                connection.sendall(peer[0].encode())

    threading.Thread(target=answer, daemon=True).start()
    return listener


def fetch(ip: str, port: int) -> str:
    with socket.create_connection((ip, port), timeout=5) as connection:
        return connection.recv(100).decode()


@pytest.mark.sandbox
def test_containers_reach_each_other_and_the_gateway(tmp_path: Path) -> None:
    async def body(networks: Networks, outside: StandinOutside) -> None:
        paths = [await networks.create_sandbox(name) for name in ("a" * 64, "b" * 64)]
        a, b = await networks.connect("a" * 64, "bridge"), await networks.connect("b" * 64, "bridge")
        assert (a.ip, a.prefix, a.gateway, a.mac) == ("172.17.0.2", 16, "172.17.0.1", "02:42:ac:11:00:02")
        assert b.ip == "172.17.0.3"
        await asyncio.to_thread(in_netns, paths[1], lambda: serve_once(b.ip, 80))
        assert await asyncio.to_thread(in_netns, paths[0], lambda: fetch(b.ip, 80)) == a.ip
        # From the sandbox itself, which is where outer's connections come from.
        await asyncio.to_thread(in_netns, paths[0], lambda: serve_once(a.ip, 81))
        assert await asyncio.to_thread(fetch, a.ip, 81) == "172.17.0.1"

    with_networks(tmp_path, body)


@pytest.mark.sandbox
def test_a_fresh_namespace_has_only_lo_and_it_is_up(tmp_path: Path) -> None:
    async def body(networks: Networks, outside: StandinOutside) -> None:
        path = await networks.create_sandbox("c")
        assert (await networks.connect("c", "none")).ip == ""

        def look() -> set[str]:
            serve_once("127.0.0.1", 80)
            assert fetch("127.0.0.1", 80) == "127.0.0.1"
            with Netlink() as inside:
                return set(inside.links())

        assert await asyncio.to_thread(in_netns, path, look) == {"lo"}

    with_networks(tmp_path, body)


@pytest.mark.sandbox
def test_containers_leave_with_the_address_of_the_way_out(tmp_path: Path) -> None:
    """A second namespace stands for the world: it knows no route back to 172.17.0.0/16."""

    async def body(networks: Networks, outside: StandinOutside) -> None:
        world = await networks.create_sandbox("world")
        fd = os.open(world, os.O_RDONLY)
        there = netlink.text(netlink.IFNAME, "down0") + netlink.number(netlink.NET_NS_FD, fd)
        here = netlink.text(netlink.IFNAME, "up0") + netlink.info("veth", netlink.peer(there))
        with Netlink() as home:
            home.run(netlink.new_link("up0", here, netlink.UP))
            home.run(netlink.new_address(home.links()["up0"], "10.9.0.1", 24))
        os.close(fd)

        def settle() -> None:
            with Netlink() as inside:
                index = inside.links()["down0"]
                inside.run(
                    netlink.set_link(index, "down0", flags=netlink.UP), netlink.new_address(index, "10.9.0.2", 24)
                )

        await asyncio.to_thread(in_netns, world, settle)
        path = await networks.create_sandbox("c")
        await networks.connect("c", "bridge")
        await asyncio.to_thread(in_netns, world, lambda: serve_once("10.9.0.2", 80))
        assert await asyncio.to_thread(in_netns, path, lambda: fetch("10.9.0.2", 80)) == "10.9.0.1"

    with_networks(tmp_path, body)


@pytest.mark.sandbox
def test_the_table_explains_itself(tmp_path: Path) -> None:
    async def body(networks: Networks, outside: StandinOutside) -> None:
        listed = list_table()
        assert "masquerade" in listed
        assert 'comment "the rest leaves with the address of the way out"' in listed
        assert 'comment "network bridge: its containers reach each other"' in listed
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"

    with_networks(tmp_path, body)


@pytest.mark.sandbox
def test_what_a_container_had_goes_with_it(tmp_path: Path) -> None:
    async def body(networks: Networks, outside: StandinOutside) -> None:
        fds = 0
        for number in range(20):
            # The first one opens what stays open: the way home.
            fds = len(os.listdir("/proc/self/fd")) if number == 1 else fds
            await networks.create_sandbox(f"c{number}")
            await networks.connect(f"c{number}", "bridge")
            await networks.disconnect(f"c{number}")
            await networks.remove_sandbox(f"c{number}")
            await networks.remove_sandbox(f"c{number}")
        assert len(os.listdir("/proc/self/fd")) == fds
        # But for those that are made ahead.
        assert {name[0] for name in os.listdir(tmp_path / "box/netns")} == {"~"}
        assert "netns/c" not in Path("/proc/self/mounts").read_text()
        assert networks.endpoints("bridge") == ()
        for _ in range(300):
            with Netlink() as home:
                left = [name for name in home.links() if name.startswith("ve")]
            if not left:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"links are left: {left}")

    with_networks(tmp_path, body)


@pytest.mark.sandbox
def test_addresses_rest_before_somebody_else_gets_them(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    now = [0.0]

    async def main() -> None:
        db = Database(tmp_path / "db")
        networks = Networks(db, StandinOutside(), netns_folder=folder, nft=NFT, clock=lambda: now[0])
        await networks.start()

        async def run_once(name: str) -> str:
            await networks.create_sandbox(name)
            ip = (await networks.connect(name, "bridge")).ip
            await networks.disconnect(name)
            await networks.remove_sandbox(name)
            return ip

        assert [await run_once("a"), await run_once("b")] == ["172.17.0.2", "172.17.0.3"]
        for _ in range(300):
            with Netlink() as home:
                if not any(name.startswith("ve") for name in home.links()):
                    break
            await asyncio.sleep(0.01)
        now[0] = 10.0
        assert await run_once("c") == "172.17.0.2"
        await networks.close()
        db.close()

    asyncio.run(main())


@pytest.mark.sandbox
def test_restore_keeps_the_living_and_sweeps_the_dead(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    outside = StandinOutside()

    async def main() -> None:
        db = Database(tmp_path / "db")
        first = Networks(db, outside, netns_folder=folder, nft=NFT)
        await first.start()
        for name in ("lives", "dead"):
            await first.create_sandbox(name)
            endpoint = await first.connect(name, "bridge")
            await first.publish(name, endpoint, {"80/tcp": (PortBinding(host_port="0"),)})
        (folder / "cut-short").touch()
        table = list_table()
        await first.close()

        second = Networks(db, outside, netns_folder=folder, nft=NFT)
        await second.start()
        await second.restore(["lives"])
        assert [endpoint.container for endpoint in second.endpoints("bridge")] == ["lives"]
        assert os.listdir(folder) == ["lives"]
        assert [held.owner for held in outside.held] == ["lives"]
        after = list_table()
        assert after == table, "the rules that worked were loaded again"
        lives = second.endpoints("bridge")[0]
        await asyncio.to_thread(in_netns, second.path("lives"), lambda: serve_once(lives.ip, 80))
        assert await asyncio.to_thread(fetch, lives.ip, 80) == lives.gateway
        await second.create_sandbox("new")
        assert (await second.connect("new", "bridge")).ip not in (lives.ip, lives.gateway)
        await second.unpublish("lives")
        assert outside.held == []
        await second.close()
        db.close()

    asyncio.run(main())


@pytest.mark.sandbox
def test_missing_rules_come_back_at_the_next_start(tmp_path: Path) -> None:
    folder = prepare(tmp_path)

    async def main() -> None:
        db = Database(tmp_path / "db")
        for _ in range(2):
            networks = Networks(db, StandinOutside(), netns_folder=folder, nft=NFT)
            await networks.start()
            await networks.close()
            list_table()
            await asyncio.to_thread(subprocess.run, [NFT, "delete", "table", "inet", "labdock"], check=True)
        db.close()

    asyncio.run(main())


@pytest.mark.sandbox
def test_the_default_subnet_avoids_the_hosts_routes(tmp_path: Path) -> None:
    async def body(networks: Networks, outside: StandinOutside) -> None:
        assert networks.inspect("bridge").subnet == "172.18.0.0/16"
        assert networks.inspect("bridge").gateway == "172.18.0.1"
        assert networks.search == ("lab.example",)

    with_networks(tmp_path, body, StandinOutside(routes=("172.17.4.0/24",)))


@pytest.mark.sandbox
def test_a_failed_connect_leaves_nothing(tmp_path: Path) -> None:
    async def body(networks: Networks, outside: StandinOutside) -> None:
        with pytest.raises(SystemFailure, match="connecting nowhere to network bridge"):
            await networks.connect("nowhere", "bridge")
        assert networks.endpoints("bridge") == ()
        await networks.create_sandbox("c")
        with pytest.raises(Conflict):
            await networks.create_sandbox("c")
        await networks.connect("c", "bridge", ip="172.17.5.5", mac="02:00:00:00:00:07")
        (endpoint,) = networks.endpoints("bridge")
        assert (endpoint.ip, endpoint.mac) == ("172.17.5.5", "02:00:00:00:00:07")
        with pytest.raises(Forbidden, match="already exists in network bridge"):
            await networks.connect("c", "bridge")
        await networks.create_sandbox("d")
        with pytest.raises(Conflict, match="Address already in use"):
            await networks.connect("d", "bridge", ip="172.17.5.5")
        with pytest.raises(InvalidRequest, match="MAC"):
            await networks.connect("d", "bridge", mac="02:00")
        with pytest.raises(NoSuchNetwork, match="network nets not found"):
            await networks.connect("d", "nets")

    with_networks(tmp_path, body)


@pytest.mark.sandbox
def test_networks_are_found_by_name_and_id(tmp_path: Path) -> None:
    async def body(networks: Networks, outside: StandinOutside) -> None:
        assert [network.name for network in networks.list()] == ["bridge", "host", "none"]
        default = networks.inspect("bridge")
        assert default == networks.inspect(default.id) == networks.inspect("default")
        assert networks.inspect(default.id[:12]) == default
        assert (default.driver, default.link) == ("bridge", BRIDGE)
        for unknown in ("", "brid", "zz"):
            with pytest.raises(NoSuchNetwork):
                networks.inspect(unknown)

    with_networks(tmp_path, body)


@pytest.mark.sandbox
def test_publishing_is_all_or_nothing_and_says_what_failed(tmp_path: Path) -> None:
    async def body(networks: Networks, outside: StandinOutside) -> None:
        await networks.unpublish("c")
        assert outside.asked == 0, "nothing was published: outer is not asked"
        await networks.create_sandbox("c")
        endpoint = await networks.connect("c", "bridge")
        shown = await networks.publish(
            "c", endpoint, {"80/tcp": (PortBinding(host_port="8080"),), "81/tcp": (PortBinding(host_port="8079-8085"),)}
        )
        assert {key: [b.host_port for b in found] for key, found in shown.items()} == {
            "80/tcp": ["8080", "8080"],
            "81/tcp": ["8081", "8081"],
        }
        assert {held.target.ip for held in outside.held} == {endpoint.ip}
        await networks.unpublish("c")
        assert outside.held == []
        with pytest.raises(Conflict) as caught:
            bindings = {"80/tcp": (PortBinding(host_port="8080"),), "81/tcp": (PortBinding(host_port="8079"),)}
            await networks.publish("c", endpoint, bindings, name="web")
        assert caught.value.message == (
            f"driver failed programming external connectivity on endpoint web ({endpoint.endpoint_id}):"
            " Bind for 0.0.0.0:8079 failed: port is already allocated"
        )
        assert caught.value.hint == "another port"
        assert outside.held == []

    with_networks(tmp_path, body, StandinOutside(taken={8079}))


@pytest.mark.sandbox
def test_a_veth_peer_cannot_be_born_up(tmp_path: Path) -> None:
    """Pins the quirk in links.Joint.make."""
    with Netlink() as home, pytest.raises(OSError) as caught:
        pair = netlink.info("veth", netlink.peer(netlink.text(netlink.IFNAME, "b0"), netlink.UP))
        home.run(netlink.new_link("a0", netlink.text(netlink.IFNAME, "a0") + pair, netlink.UP))
    assert caught.value.errno == errno.ENOTCONN
