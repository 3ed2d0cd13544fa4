"""Containers find each other by name, as users of networks expect it from Docker."""

from __future__ import annotations

import os
import re
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests import stores
from tests.system.conftest import EngineUnderTest, short_folder, wait_until


def run(engine: EngineUnderTest, name: str, network: str, *options: str, command: str = "sleep 600") -> str:
    return engine.docker("run", "-d", "--name", name, "--network", network, *options, "busybox", *command.split())


def look_up(engine: EngineUnderTest, asker: str, name: str) -> list[str]:
    """What busybox's own nslookup, which reads no hosts file, is told: addresses, or an address's name; []: nothing."""
    kind = () if name[0].isdigit() and name.count(".") == 3 else ("-type=a",)
    said = engine.docker("exec", asker, "nslookup", *kind, name, check=False)
    return re.findall(r"^(?:Address: |.* = )(\S+)$", said.partition("\n\n")[2], re.MULTILINE)


def address(engine: EngineUnderTest, container: str, network: str) -> str:
    return engine.docker("inspect", "-f", f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}', container)


@pytest.mark.limit(180)
def test_names_come_and_go_with_containers(engine: EngineUnderTest) -> None:
    engine.docker("network", "create", "shop")
    asker = run(engine, "asker", "shop")
    web = run(engine, "web", "shop", "--network-alias", "www", "--hostname", "frontend")
    ip = address(engine, "web", "shop")
    for name in ("web", "www", "frontend", web[:12], "web.shop"):
        assert look_up(engine, asker, name) == [ip], name
    assert look_up(engine, asker, ip) == ["web.shop"]
    assert engine.docker("exec", asker, "ping", "-c1", "-W5", "web")
    assert "nameserver 127.0.0.11" in engine.docker("exec", asker, "cat", "/etc/resolv.conf")

    run(engine, "web2", "shop", "--network-alias", "www")
    both = {ip, address(engine, "web2", "shop")}
    first = {look_up(engine, asker, "www")[0] for _ in range(4)}
    assert first == both, "several behind one alias take turns"

    engine.docker("rename", "web2", "api")
    assert look_up(engine, asker, "api") and not look_up(engine, asker, "web2")
    engine.docker("stop", "-t", "0", "web")
    assert not look_up(engine, asker, "web") and not look_up(engine, asker, ip)
    engine.docker("start", "web")
    assert look_up(engine, asker, "web") == [address(engine, "web", "shop")]


@pytest.mark.limit(180)
def test_two_projects_with_the_same_services_do_not_see_each_other(engine: EngineUnderTest) -> None:
    for project in ("red", "blue"):
        engine.docker("network", "create", "--label", f"com.docker.compose.project={project}", f"{project}_default")
        for service in ("web", "db"):
            run(engine, f"{project}-{service}-1", f"{project}_default", "--network-alias", service)
    for project, other in (("red", "blue"), ("blue", "red")):
        asker = f"{project}-web-1"
        assert look_up(engine, asker, "db") == [address(engine, f"{project}-db-1", f"{project}_default")]
        assert not look_up(engine, asker, f"{other}-db-1")
        assert not look_up(engine, asker, f"db.{other}_default")


@pytest.mark.limit(180)
def test_joining_and_leaving_a_network_changes_what_a_running_container_knows(engine: EngineUnderTest) -> None:
    engine.docker("network", "create", "shop")
    run(engine, "web", "shop")
    asker = run(engine, "asker", "bridge")
    assert "127.0.0.11" not in engine.docker("exec", asker, "cat", "/etc/resolv.conf")
    engine.docker("exec", asker, "sh", "-c", "echo 9.9.9.9 mine >>/etc/hosts")
    engine.docker("network", "connect", "--alias", "me", "shop", asker)
    assert look_up(engine, asker, "web") == [address(engine, "web", "shop")]
    own = address(engine, asker, "shop")
    assert look_up(engine, "web", "me") == [own]
    hosts = engine.docker("exec", asker, "cat", "/etc/hosts")
    assert own in hosts and "9.9.9.9 mine" in hosts
    engine.docker("network", "disconnect", "shop", asker)
    assert not look_up(engine, "web", "me")
    hosts = engine.docker("exec", asker, "cat", "/etc/hosts")
    assert own not in hosts and "9.9.9.9 mine" in hosts
    assert "127.0.0.11" not in engine.docker("exec", asker, "cat", "/etc/resolv.conf")


@pytest.mark.limit(180)
def test_names_are_answered_although_the_engine_is_killed_again_and_again(engine: EngineUnderTest) -> None:
    engine.docker("network", "create", "shop")
    run(engine, "web", "shop")
    # One connection that stays, and a look-up after the other: each must find the name. It says what went wrong.
    run(engine, "server", "shop", command="nc -ll -p 7 -e cat")
    ask = "nslookup -type=a web >/tmp/said || cat /tmp/said >>/bad; echo >>/done"
    loop = f"while ! test -e /stop; do {ask}; done; sleep 600"
    engine.docker("run", "-d", "--name", "asker", "--network", "shop", "busybox", "sh", "-c", loop)
    talk = "mkfifo /in; (nc server 7 </in >/out; echo over >>/out) & exec 3>/in; echo one >&3; sleep 600"
    engine.docker("run", "-d", "--name", "talker", "--network", "shop", "busybox", "sh", "-c", talk)

    def count() -> int:
        return int(engine.docker("exec", "asker", "sh", "-c", "wc -l </done || echo 0", check=False) or 0)

    wait_until(lambda: engine.docker("exec", "talker", "cat", "/out", check=False) == "one", "an echo before")
    for _ in range(3):
        wait_until(lambda: engine.pid("engine"), "an engine")
        before = engine.pid("engine")
        engine.kill("engine")
        wait_until(lambda before=before: engine.pid("engine") not in (0, before), "another engine")  # type: ignore[misc]
        done = count()
        wait_until(lambda done=done: count() > done + 2, "look-ups go on")  # type: ignore[misc]
    engine.docker("exec", "asker", "touch", "/stop")
    assert engine.docker("exec", "asker", "sh", "-c", "cat /bad 2>/dev/null || true") == ""
    # A connection between two containers is the kernel's: it does not notice.
    engine.docker("exec", "talker", "sh", "-c", "echo two >/in")
    wait_until(lambda: engine.docker("exec", "talker", "cat", "/out") == "one\ntwo", "an echo after")


@pytest.mark.limit(180)
def test_dns_options_are_the_containers_own(engine: EngineUnderTest) -> None:
    engine.docker("network", "create", "shop")
    options = ("--dns", "9.9.9.9", "--dns-search", "example", "--dns-search", "shop", "--dns-option", "timeout:9")
    run(engine, "asker", "shop", *options)
    said = engine.docker("exec", "asker", "cat", "/etc/resolv.conf").splitlines()
    assert said == ["search example shop", "nameserver 127.0.0.11", "options timeout:9 ndots:0"]
    assert look_up(engine, "asker", "asker") == [address(engine, "asker", "shop")]
    run(engine, "plain", "bridge", "--dns", "9.9.9.9")
    assert engine.docker("exec", "plain", "cat", "/etc/resolv.conf") == "nameserver 9.9.9.9"


@pytest.mark.limit(180)
def test_a_step_of_a_build_finds_the_containers_of_its_network(engine: EngineUnderTest) -> None:
    engine.docker("network", "create", "shop")
    run(engine, "web", "shop")
    words = "RUN nslookup -type=a web && cat /etc/hostname && ! nslookup -type=a $(hostname)"
    engine.docker("build", "--network", "shop", "-", stdin=f"FROM busybox\n{words}\n")
    assert engine.docker("network", "inspect", "-f", "{{len .Containers}}", "shop") == "1"


@pytest.mark.limit(180)
def test_an_internal_network_has_names_and_asks_nobody_else(engine: EngineUnderTest) -> None:
    engine.docker("network", "create", "--internal", "vault")
    run(engine, "db", "vault")
    run(engine, "asker", "vault")
    assert look_up(engine, "asker", "db") == [address(engine, "db", "vault")]
    said = engine.docker("exec", "asker", "nslookup", "-type=a", "debian.org", check=False)
    assert "SERVFAIL" in said


@pytest.fixture
def hello() -> Iterator[int]:
    """A program that listens on this machine's loopback; its port."""

    class Hello(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"from the host")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Hello) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


#: By address: a static busybox has no libraries to read /etc/hosts with.
FETCH = "nc -w 5 10.0.2.2 {}"


@pytest.mark.limit(180)
def test_the_hosts_loopback_is_closed_and_asking_for_it_says_so(engine: EngineUnderTest, hello: int) -> None:
    command = ["docker", "run", "--rm", "--add-host", "host.docker.internal:host-gateway"]
    done = subprocess.run(
        [*command, "busybox", *FETCH.format(hello).split()],
        env=engine.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1 and "from the host" not in done.stdout
    assert "closed to containers" in done.stderr and "--host-loopback" in done.stderr
    assert "host.docker.internal" not in engine.docker("run", "--rm", "busybox", "cat", "/etc/hosts")


@pytest.mark.limit(180)
def test_the_hosts_loopback_is_open_when_the_engine_was_started_so(hello: int) -> None:
    root = short_folder()
    engine = EngineUnderTest(root)
    command = [sys.executable, "-c", "from labdock.cli import main; main()", "engine", "start"]
    try:
        for arguments, code in (((*command, "--host-loopback"), 0), ((*command, "--host-loopback"), 1)):
            done = subprocess.run(
                arguments, env=engine.environment, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == code, done.stderr
        assert "labdock engine stop" in done.stderr
        engine.docker("network", "create", "shop")
        for network in ("bridge", "shop"):
            fetch = FETCH.format(hello).split()
            assert engine.docker("run", "--rm", "--network", network, "busybox", *fetch) == "from the host"
            assert "10.0.2.2\thost.docker.internal" in engine.docker("run", "--rm", "busybox", "cat", "/etc/hosts")
        run(engine, "asker", "shop")
        assert look_up(engine, "asker", "host.docker.internal") == ["10.0.2.2"]
        engine.docker("rm", "-f", "asker")
    finally:
        engine.stop()
        stores.remove(root)


@pytest.mark.limit(240)
def test_names_cost_no_descriptors_once_their_containers_are_gone(engine: EngineUnderTest) -> None:
    engine.docker("network", "create", "shop")

    def descriptors() -> tuple[int, int]:
        return tuple(len(os.listdir(f"/proc/{engine.pid(role)}/fd")) for role in ("outer", "engine"))  # type: ignore[return-value]

    def turn() -> None:
        client = engine.client()
        found = [client.containers.create("busybox", "sleep 60", network="shop") for _ in range(5)]
        for container in found:
            container.start()
        for container in found:
            container.remove(force=True)
        # It keeps connections open.
        client.close()

    engine.docker("run", "--rm", "busybox", "true")
    turn()
    before = descriptors()
    for _ in range(4):
        turn()
    wait_until(
        lambda: all(now <= then for now, then in zip(descriptors(), before, strict=True)), f"no more than {before}"
    )
