"""Published ports of real containers: TCP and UDP, over the engine's death, over connect and disconnect."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import EngineUnderTest, wait_until
from tests.system.inside import echoing, look


def run(engine: EngineUnderTest, name: str, *words: str) -> None:
    engine.docker("run", "-d", "--name", name, *words, "busybox", "sleep", "1000")


def port_of(engine: EngineUnderTest, name: str, inner: str) -> int:
    return int(engine.docker("port", name, inner).splitlines()[0].rpartition(":")[2])


def says(port: int, word: str, ip: str = "127.0.0.1") -> str:
    """What comes back from *port* after the client has ended its side; "" when it refuses."""
    try:
        with socket.create_connection((ip, port), timeout=20) as connection:
            connection.sendall(word.encode())
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while block := connection.recv(4096):
                answer += block
            return answer.decode()
    except (ConnectionError, TimeoutError):
        return ""


def refused(engine: EngineUnderTest, *words: str) -> str:
    done = subprocess.run(
        ["docker", *words], env=engine.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_udp_ports_answer(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    run(engine, "udp", "-p", "127.0.0.1::7000/udp")
    port = port_of(engine, "udp", "7000/udp")
    assert engine.docker("port", "udp") == f"7000/udp -> 127.0.0.1:{port}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, echoing(engine, "udp"):
        client.settimeout(20)
        client.connect(("127.0.0.1", port))

        def ask(word: bytes) -> bytes:
            client.send(word)
            return client.recv(100)

        assert ask(b"before") == b"before"
        before = engine.pid("engine")
        engine.kill("engine")
        assert ask(b"during") == b"during"
        wait_until(lambda: engine.pid("engine") not in (0, before), "a new engine runs")
        assert ask(b"after") == b"after"
    engine.docker("rm", "-f", "udp")
    # It is free again.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", port))
    assert "SCTP" in refused(engine, "create", "-p", "99/sctp", "busybox")


def test_a_port_follows_its_container_from_network_to_network(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    for network in ("one", "two"):
        engine.docker("network", "create", network)
    engine.docker("network", "create", "--internal", "closed")
    run(engine, "web", "--network", "one", "-p", "127.0.0.1::7000")
    port = port_of(engine, "web", "7000")
    with echoing(engine, "web"):
        assert says(port, "hello") == "hello"
        engine.docker("network", "connect", "two", "web")
        engine.docker("network", "connect", "closed", "web")
        assert says(port, "both") == "both"
        engine.docker("network", "disconnect", "one", "web")
        assert port_of(engine, "web", "7000") == port
        assert says(port, "moved") == "moved"
        # An internal network alone has no way in.
        engine.docker("network", "disconnect", "two", "web")
        assert engine.docker("port", "web") == ""
        assert says(port, "nobody") == ""
        engine.docker("network", "connect", "one", "web")
        assert says(port_of(engine, "web", "7000"), "back") == "back"


def test_published_connections_go_on_over_the_death_of_the_engine(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    engine.docker("network", "create", "net")
    run(engine, "web", "--network", "net", "-p", "127.0.0.1::7000")
    port = port_of(engine, "web", "7000")
    with echoing(engine, "web"), socket.create_connection(("127.0.0.1", port), timeout=20) as held:
        held.sendall(b"before")
        assert held.recv(100) == b"before"
        before = engine.pid("engine")
        engine.kill("engine")
        held.sendall(b"during")
        assert held.recv(100) == b"during"
        assert says(port, "new") == "new"
        wait_until(lambda: engine.pid("engine") not in (0, before), "a new engine runs")
        assert engine.docker("port", "web") == f"7000/tcp -> 127.0.0.1:{port}"
        held.sendall(b"after")
        assert held.recv(100) == b"after"
        assert says(port, "again") == "again"
    # The port is the container's until it goes.
    message = refused(engine, "run", "--name", "late", "-p", f"127.0.0.1:{port}:80", "busybox", "true")
    assert "port is already allocated" in message
    # It did not start: nothing of its program ran.
    assert engine.docker("inspect", "-f", "{{.State.StartedAt}}", "late") == "0001-01-01T00:00:00Z"
    engine.docker("rm", "-f", "web")
    engine.docker("start", "-a", "late")


def test_all_exposed_ports_and_ranges_and_the_ipv6_loopback(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    run(engine, "all", "-P", "--expose", "7000-7002", "--expose", "53/udp")
    shown = engine.docker("port", "all").splitlines()
    assert sorted({line.partition(" ")[0] for line in shown}) == ["53/udp", "7000/tcp", "7001/tcp", "7002/tcp"]
    run(engine, "six", "-p", "[::1]::7000")
    with echoing(engine, "six"):
        assert says(port_of(engine, "six", "7000"), "six", "::1") == "six"


@pytest.mark.limit(300)
def test_crowds_of_connections_and_starts_leave_nothing(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    engine.docker("network", "create", "crowd")
    run(engine, "web", "--network", "crowd", "-p", "127.0.0.1::7000")
    port = port_of(engine, "web", "7000")
    with echoing(engine, "web"):
        assert says(port, "warm") == "warm"
        before = descriptors(engine)
        with contextlib.ExitStack() as crowd, many_files():
            # All of them alive at a time. (A thousand: tests/unit/daemon/test_publish.py.)
            held = [crowd.enter_context(socket.create_connection(("127.0.0.1", port), timeout=100)) for _ in range(400)]
            for number, connection in enumerate(held):
                connection.sendall(b"%d" % number)
            assert [connection.recv(100) for connection in held] == [b"%d" % number for number in range(400)]
        for _ in range(8):
            engine.docker("run", "--rm", "--network", "crowd", "-p", "127.0.0.1::80", "busybox", "true")
        # Sockets of the inside that are opened ahead of need are few.
        wait_until(lambda: descriptors(engine) <= before + 32, f"no more descriptors than {before} are left")
        assert listeners(engine) == 1

    def links() -> list[str]:
        return [line for line in look(engine, "ip", "-o", "link").splitlines() if ": ve" in line]

    wait_until(lambda: len(links()) == 1, "one link is left")


@contextlib.contextmanager
def many_files() -> Iterator[None]:
    """As many open files as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def listeners(engine: EngineUnderTest) -> int:
    """How many TCP ports outer listens on."""
    outer = engine.pid("outer")
    own = set()
    for fd in os.listdir(f"/proc/{outer}/fd"):
        with contextlib.suppress(FileNotFoundError):
            own.add(os.readlink(f"/proc/{outer}/fd/{fd}"))
    lines = Path(f"/proc/{outer}/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in lines if (fields := line.split())[3] == "0A" and f"socket:[{fields[9]}]" in own)


def descriptors(engine: EngineUnderTest) -> int:
    return len(os.listdir(f"/proc/{engine.pid('outer')}/fd"))
