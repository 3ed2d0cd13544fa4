"""The name service in real network namespaces; every test is root of a sandbox of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from labdock.network import links
from labdock.network.dns import doors
from labdock.network.dns.service import MOST_STREAMS, NameService
from labdock.network.dns.table import Member
from labdock.network.dns.upstream import frame
from labdock.network.netns import Corner
from tests.unit.network.dns import wire
from tests.unit.network.standins import StandinOutside, in_netns, prepare

Body = Callable[["Street"], Awaitable[None]]


def member(container: str, name: str, ip: str, *, outward: bool = True) -> Member:
    return Member(f"{container}@shop", container, "id", "shop", (name,), (ip,), outward=outward)


class Street:
    """Containers' namespaces without containers, and a service that may be started again."""

    def __init__(self, folder: Path) -> None:
        self.corner = Corner(folder)
        self.outside = StandinOutside()
        self.outside.nameservers = ("10.255.0.1",)
        self.service = NameService(self.corner, self.outside)

    def path(self, container: str) -> str:
        return str(self.corner.path(container))

    async def add(self, container: str, ip: str, *, outward: bool = True) -> None:
        def make() -> None:
            with self.corner.create(container) as inside:
                links.raise_loopback(inside)

        await self.corner.run(make)
        self.service.join(member(container, container, ip, outward=outward))
        await self.service.open(container)

    def again(self) -> NameService:
        self.service = NameService(self.corner, self.outside)
        return self.service

    async def ask(self, container: str, name: str, type: int = wire.A, room: int = 0) -> wire.Said:
        return wire.read(await asyncio.to_thread(in_netns, self.path(container), lambda: _ask(name, type, room)))

    async def ask_tcp(self, container: str, *names: str) -> list[wire.Said]:
        found = await asyncio.to_thread(in_netns, self.path(container), lambda: _ask_tcp(names))
        return [wire.read(answer) for answer in found]


def _ask(name: str, type: int, room: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        # Connected: only an answer from the very address that was asked is taken.
        sock.connect((doors.ADDRESS, doors.PORT))
        sock.send(wire.ask(name, type, room=room))
        return sock.recv(65535)


def _ask_tcp(names: tuple[str, ...]) -> list[bytes]:
    with socket.create_connection((doors.ADDRESS, doors.PORT), timeout=20) as sock, sock.makefile("rb") as source:
        sock.sendall(b"".join(frame(wire.ask(name)) for name in names))
        return [source.read(int.from_bytes(source.read(2), "big")) for _ in names]


def on_street(tmp_path: Path, body: Body) -> None:
    folder = prepare(tmp_path)

    async def main() -> None:
        street = Street(folder)
        try:
            await body(street)
        finally:
            await street.service.close()
            for owner in list(street.outside.copies):
                street.outside.let_go(owner)
            await street.corner.close()

    fds = set(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    assert set(os.listdir("/proc/self/fd")) == fds


@pytest.mark.sandbox
def test_names_are_answered_at_port_53_of_127_0_0_11_over_udp_and_tcp(tmp_path: Path) -> None:
    async def body(street: Street) -> None:
        await street.add("web", "172.18.0.2")
        await street.add("db", "172.18.0.3")
        assert (await street.ask("web", "db")).data == ["172.18.0.3"]
        assert (await street.ask("db", "web.shop", room=1232)).data == ["172.18.0.2"]
        assert [said.data for said in await street.ask_tcp("web", "db", "web")] == [["172.18.0.3"], ["172.18.0.2"]]
        table = await asyncio.to_thread(in_netns, street.path("web"), _list_rules)
        assert table.count("dnat to 127.0.0.11:") == 2

    on_street(tmp_path, body)


def _list_rules() -> str:
    command = ["nft", "list", "table", "ip", doors.TABLE]
    path = f"{os.environ['PATH']}:/usr/sbin"
    return subprocess.run(command, check=True, capture_output=True, text=True, env={"PATH": path}).stdout


@pytest.mark.sandbox
def test_a_container_may_run_a_name_server_of_its_own_on_port_53(tmp_path: Path) -> None:
    def serve() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("", 53))
            tcp.bind(("", 53))
            tcp.listen()
            assert wire.read(_ask("web", wire.A, 0)).data == ["172.18.0.2"], "the engine's goes on beside it"

    async def body(street: Street) -> None:
        await street.add("web", "172.18.0.2")
        await asyncio.to_thread(in_netns, street.path("web"), serve)

    on_street(tmp_path, body)


@pytest.mark.sandbox
def test_a_question_asked_while_no_engine_runs_is_answered_by_the_next(tmp_path: Path) -> None:
    async def body(street: Street) -> None:
        await street.add("web", "172.18.0.2")
        await street.add("gone", "172.18.0.9")
        await street.service.close()
        waiting = [asyncio.create_task(street.ask("web", "web")), asyncio.create_task(street.ask("web", "web.shop"))]
        over_tcp = asyncio.create_task(street.ask_tcp("web", "web"))
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in (*waiting, over_tcp))
        again = street.again()
        again.join(member("web", "web", "172.18.0.2"))
        again.join(member("late", "late", "172.18.0.4"))
        await again.restore({"web"})
        assert [said.data for said in await asyncio.gather(*waiting)] == [["172.18.0.2"]] * 2
        assert (await over_tcp)[0].data == ["172.18.0.2"]
        assert list(street.outside.copies) == ["web"], "what belongs to nobody who lives is let go"

    on_street(tmp_path, body)


@pytest.mark.sandbox
def test_a_door_that_was_not_kept_is_made_anew(tmp_path: Path) -> None:
    async def body(street: Street) -> None:
        await street.add("web", "172.18.0.2")
        await street.service.close()
        street.outside.let_go("web")
        again = street.again()
        again.join(member("web", "web", "172.18.0.2"))
        await again.restore({"web"})
        assert (await street.ask("web", "web")).data == ["172.18.0.2"]
        assert (await street.ask_tcp("web", "web"))[0].data == ["172.18.0.2"]

    on_street(tmp_path, body)


@pytest.mark.sandbox
def test_the_door_goes_with_the_last_network_and_comes_again_with_the_next(tmp_path: Path) -> None:
    async def body(street: Street) -> None:
        await street.add("web", "172.18.0.2")
        street.service.leave("web@shop", "web")
        assert not street.outside.copies
        with pytest.raises(ConnectionRefusedError):
            await street.ask("web", "web")
        street.service.join(member("web", "web", "172.18.0.7"))
        await street.service.open("web")
        assert (await street.ask("web", "web")).data == ["172.18.0.7"]

    on_street(tmp_path, body)


@pytest.mark.sandbox
def test_local_names_are_answered_while_every_server_is_dead(tmp_path: Path) -> None:
    async def body(street: Street) -> None:
        await street.add("web", "172.18.0.2")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            street.outside.moved["10.255.0.1", 53] = silent.getsockname()
            far = asyncio.create_task(street.ask("web", "debian.org"))
            for _ in range(20):
                assert (await street.ask("web", "web")).data == ["172.18.0.2"]
            assert (await far).code == 2

    on_street(tmp_path, body)


@pytest.mark.sandbox
def test_the_rest_of_the_world_is_known_by_the_hosts_servers_also_after_they_changed(tmp_path: Path) -> None:
    def answer_once(sock: socket.socket, ip: str) -> None:
        query, peer = sock.recvfrom(4096)
        sock.sendto(wire.reply(query, ip), peer)

    async def body(street: Street) -> None:
        await street.add("web", "172.18.0.2")
        for server, ip in (("10.255.0.1", "1.1.1.1"), ("fd00::53", "2.2.2.2")):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(20)
                sock.bind(("127.0.0.1", 0))
                street.outside.nameservers = (server,)
                street.outside.moved[server, 53] = sock.getsockname()
                street.service._host_servers._asked = float("-inf")
                serving = asyncio.create_task(asyncio.to_thread(answer_once, sock, ip))
                assert (await street.ask("web", "debian.org")).data == [ip]
                await serving

    on_street(tmp_path, body)


@pytest.mark.sandbox
def test_a_containers_own_servers_are_asked_from_its_own_namespace(tmp_path: Path) -> None:
    def serve() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(20)
            sock.bind(("127.0.0.5", 53))
            listening.set()
            query, peer = sock.recvfrom(4096)
            sock.sendto(wire.reply(query, "5.5.5.5"), peer)

    async def body(street: Street) -> None:
        await street.add("web", "172.18.0.2")
        street.service.servers_of = lambda container: ("127.0.0.5", doors.ADDRESS)
        serving = asyncio.create_task(asyncio.to_thread(in_netns, street.path("web"), serve))
        await asyncio.to_thread(listening.wait, 20)
        assert (await street.ask("web", "debian.org")).data == ["5.5.5.5"]
        await serving

    listening = threading.Event()
    on_street(tmp_path, body)


@pytest.mark.sandbox
def test_connections_that_say_nothing_do_not_keep_others_out_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold() -> list[socket.socket]:
        return [socket.create_connection((doors.ADDRESS, doors.PORT), timeout=20) for _ in range(MOST_STREAMS)]

    async def body(street: Street) -> None:
        await street.add("web", "172.18.0.2")
        held = await asyncio.to_thread(in_netns, street.path("web"), hold)
        try:
            for sock in held:
                assert await asyncio.to_thread(sock.recv, 1) == b"", "cut for its silence"
            assert (await street.ask_tcp("web", "web"))[0].data == ["172.18.0.2"]
        finally:
            for sock in held:
                sock.close()

    monkeypatch.setattr("labdock.network.dns.service.PATIENCE", 0.3)
    on_street(tmp_path, body)


@pytest.mark.sandbox
def test_answers_that_are_kept_end_with_what_they_say(tmp_path: Path) -> None:
    async def body(street: Street) -> None:
        await street.add("web", "172.18.0.2")
        for ip in ("172.18.0.3", "172.18.0.4"):
            street.service.join(member("db", "db", ip))
            for _ in range(2):
                assert (await street.ask("web", "db")).data == [ip]
        street.service.leave("db@shop", "db")
        street.service.join(member("db1", "twin", "172.18.0.5"))
        street.service.join(member("db2", "twin", "172.18.0.6"))
        first = [(await street.ask("web", "twin")).data[0] for _ in range(4)]
        assert first[0] != first[1] and first[:2] == first[2:], "turns are taken all the same"
        assert (await street.ask("web", "db")).code == 2, "nobody has it, and nobody else is there to ask"

    on_street(tmp_path, body)


@pytest.mark.sandbox
def test_a_burst_of_questions_is_answered_to_the_last(tmp_path: Path) -> None:
    def burst() -> set[int]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(20)
            sock.connect((doors.ADDRESS, doors.PORT))
            found = set()
            for first in range(0, 3000, 100):
                for id in range(first, first + 100):
                    sock.send(wire.ask("web", id=id))
                found |= {wire.read(sock.recv(4096)).id for _ in range(100)}
            return found

    async def body(street: Street) -> None:
        await street.add("web", "172.18.0.2")
        assert await asyncio.to_thread(in_netns, street.path("web"), burst) == set(range(3000))

    on_street(tmp_path, body)
