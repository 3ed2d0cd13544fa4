"""Networks of one's own, with real containers: who reaches whom, joining and leaving while programs run."""

from __future__ import annotations

import subprocess

import pytest

from tests.system.conftest import EngineUnderTest, wait_until
from tests.system.inside import enter, look


def run(engine: EngineUnderTest, name: str, *words: str) -> None:
    engine.docker("run", "-d", "--name", name, *words, "busybox", "sleep", "1000")


def address(engine: EngineUnderTest, name: str, network: str, field: str = "IPAddress") -> str:
    form = f'{{{{(index .NetworkSettings.Networks "{network}").{field}}}}}'
    return engine.docker("inspect", "-f", form, name)


def pings(engine: EngineUnderTest, name: str, ip: str, seconds: int = 5) -> bool:
    """Whether one answer comes. Silence is told only after *seconds*: 1 for what must not come."""
    done = subprocess.run(
        ["docker", "exec", name, "ping", "-c1", f"-W{seconds}", ip],
        env=engine.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0


def refused(engine: EngineUnderTest, *words: str) -> str:
    """What docker says of a command that must fail."""
    done = subprocess.run(
        ["docker", *words], env=engine.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0, done.stdout
    return done.stderr


def test_containers_of_one_network_reach_each_other_and_no_other_network(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    for network in ("one", "two"):
        engine.docker("network", "create", network)
    engine.docker("network", "create", "--internal", "closed")
    run(engine, "one-a", "--network", "one")
    run(engine, "one-b", "--network", "one")
    run(engine, "two-a", "--network", "two")
    run(engine, "deep", "--network", "closed")
    assert pings(engine, "one-a", address(engine, "one-b", "one"))
    assert not pings(engine, "one-a", address(engine, "two-a", "two"), 1)
    assert not pings(engine, "two-a", address(engine, "one-a", "one"), 1)
    assert not pings(engine, "one-a", address(engine, "deep", "closed"), 1)
    # An internal network has no way out at all.
    assert "default" not in engine.docker("exec", "deep", "ip", "route")
    assert "default" in engine.docker("exec", "one-a", "ip", "route")
    engine.docker("exec", "--privileged", "deep", "ip", "route", "add", "default", "via", gateway(engine, "closed"))
    assert not pings(engine, "deep", "10.0.2.2", 1)
    assert not pings(engine, "deep", address(engine, "one-a", "one"), 1)


def gateway(engine: EngineUnderTest, network: str) -> str:
    return engine.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network)


def test_without_icc_containers_reach_only_the_way_out(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    engine.docker("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "shy")
    run(engine, "shy-a", "--network", "shy")
    run(engine, "shy-b", "--network", "shy")
    assert pings(engine, "shy-a", gateway(engine, "shy"))
    assert not pings(engine, "shy-a", address(engine, "shy-b", "shy"), 1)


def test_a_running_container_joins_and_leaves(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    engine.docker("network", "create", "--subnet", "172.30.0.0/16", "--ipv6", "alpha")
    engine.docker("network", "create", "beta")
    run(engine, "peer", "--network", "alpha", "--ip", "172.30.7.7")
    run(engine, "mover", "--network", "beta")
    assert engine.docker("inspect", "-f", "{{.NetworkSettings.Networks.alpha.IPAddress}}", "peer") == "172.30.7.7"
    engine.docker("network", "connect", "--ip", "172.30.8.8", "--alias", "nomad", "alpha", "mover")
    assert address(engine, "mover", "alpha") == "172.30.8.8"
    assert "inet 172.30.8.8/16" in engine.docker("exec", "mover", "ip", "addr", "show", "eth1")
    assert pings(engine, "mover", "172.30.7.7")
    assert pings(engine, "mover", address(engine, "peer", "alpha", "GlobalIPv6Address"))
    # The first name's gateway is the way out, as Docker has it, until its network is left.
    assert "default via 172.30.0.1" in engine.docker("exec", "mover", "ip", "route")
    assert "already exists in network alpha" in refused(engine, "network", "connect", "alpha", "mover")
    members = engine.docker("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{end}}", "alpha")
    assert sorted(members.split()) == ["mover", "peer"]
    engine.docker("network", "disconnect", "alpha", "mover")
    assert "eth1" not in engine.docker("exec", "mover", "ip", "addr")
    assert f"default via {gateway(engine, 'beta')}" in engine.docker("exec", "mover", "ip", "route")
    assert not pings(engine, "mover", "172.30.7.7", 1)
    assert "is not connected to network alpha" in refused(engine, "network", "disconnect", "alpha", "mover")
    assert "has active endpoints" in refused(engine, "network", "rm", "alpha")
    engine.docker("rm", "-f", "peer")
    engine.docker("network", "rm", "alpha")


def test_a_stopped_container_is_in_its_networks_when_it_starts(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    for network in ("first", "second"):
        engine.docker("network", "create", network)
    engine.docker("create", "--name", "both", "--network", "first", "busybox", "sleep", "1000")
    engine.docker("network", "connect", "second", "both")
    assert "already exists in network second" in refused(engine, "network", "connect", "second", "both")
    engine.docker("start", "both")
    was = address(engine, "both", "first"), address(engine, "both", "second")
    assert all(was)
    shown = engine.docker("exec", "both", "ip", "addr")
    assert f"inet {was[0]}/16 scope global eth0" in shown and f"inet {was[1]}/16 scope global eth1" in shown
    # It keeps its addresses over a restart, though others came meanwhile.
    engine.docker("stop", "-t", "0", "both")
    run(engine, "other", "--network", "first")
    engine.docker("start", "both")
    assert (address(engine, "both", "first"), address(engine, "both", "second")) == was
    engine.docker("stop", "-t", "0", "both")
    engine.docker("network", "disconnect", "second", "both")
    engine.docker("start", "both")
    assert "eth1" not in engine.docker("exec", "both", "ip", "addr")


def test_the_gateways_priority_decides(engine: EngineUnderTest) -> None:
    client = engine.client()
    client.images.pull("busybox")
    made = {name: client.networks.create(name) for name in ("aa", "zz")}
    body = {
        "Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "aa"},
        "NetworkingConfig": {"EndpointsConfig": {"aa": None, "zz": {"GwPriority": 5}}},
    }  # fmt: skip
    answer = client.api.post(client.api._url("/containers/create"), json=body)
    assert answer.status_code == 201, answer.text
    box = client.containers.get(answer.json()["Id"])
    box.start()
    way = made["zz"].attrs["IPAM"]["Config"] or client.networks.get("zz").attrs["IPAM"]["Config"]
    assert f"default via {way[0]['Gateway']} dev eth1" in box.exec_run(["ip", "route"]).output.decode()
    client.close()


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_links_on_a_parent_join_containers_and_keep_the_sandbox_out(engine: EngineUnderTest, driver: str) -> None:
    engine.docker("pull", "busybox")
    words = ("network", "create", "-d", driver, "--subnet", "172.31.1.0/24", "lan")
    done = subprocess.run(["docker", *words], env=engine.environment, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        # Not every kernel has ipvlan; then it is said when the network is made, and nothing is left of it.
        assert f"kernel has no {driver} links" in done.stderr
        assert driver == "ipvlan"
        assert "dm-" not in look(engine, "ip", "-o", "link")
        return
    run(engine, "one", "--network", "lan")
    run(engine, "two", "--network", "lan", "--ip", "172.31.1.9")
    assert pings(engine, "one", "172.31.1.9")
    run(engine, "plain")
    assert not pings(engine, "plain", "172.31.1.9", 1)
    said = refused(engine, "network", "create", "-d", driver, "-o", "parent=nope0", "x")
    assert "invalid subinterface vlan name nope0" in said
    engine.docker("network", "connect", "lan", "plain")
    assert pings(engine, "plain", "172.31.1.9")
    engine.docker("network", "disconnect", "lan", "plain")
    assert not pings(engine, "plain", "172.31.1.9", 1)
    engine.docker("rm", "-f", "one", "two", "plain")
    engine.docker("network", "rm", "lan")
    assert "dm-" not in look(engine, "ip", "-o", "link")


def test_a_shared_namespace_has_the_other_containers_address_and_names(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    engine.docker("network", "create", "mesh")
    run(engine, "owner", "--network", "mesh", "-h", "big")
    run(engine, "guest", "--network", "container:owner")
    ip = address(engine, "owner", "mesh")
    assert ip in engine.docker("exec", "guest", "ip", "addr", "show", "eth0")
    assert engine.docker("exec", "guest", "hostname") == "big"
    assert f"{ip}\tbig" in engine.docker("exec", "guest", "cat", "/etc/hosts")
    assert "conflicting options" in refused(
        engine, "run", "--network", "container:owner", "-p", "80", "busybox", "true"
    )
    assert "cannot be connected to any other network" in refused(engine, "network", "connect", "bridge", "guest")
    engine.docker("stop", "-t", "0", "guest", "owner")
    assert "non running container" in refused(engine, "start", "guest")


def test_links_give_names_and_variables(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    run(engine, "db", "-e", "SECRET=x y", "--expose", "5432")
    words = ("--name", "app", "--link", "db:data", "busybox", "sh", "-c", "env; cat /etc/hosts")
    output = engine.docker("run", "--rm", *words)
    ip = address(engine, "db", "bridge")
    assert "DATA_NAME=/app/data" in output
    assert f"DATA_PORT=tcp://{ip}:5432" in output and f"DATA_PORT_5432_TCP_ADDR={ip}" in output
    assert "DATA_ENV_SECRET=x y" in output
    assert f"{ip}\tdata\n" in output and f"{ip}\tdb\n" in output
    engine.docker("create", "--name", "app", "--link", "db:data", "busybox", "true")
    assert engine.docker("inspect", "-f", "{{.HostConfig.Links}}", "app") == "[/db:/app/data]"
    engine.docker("rm", "--link", "app/data")
    assert engine.docker("inspect", "-f", "{{.HostConfig.Links}}", "app") == "[]"
    assert "could not get container for nobody" in refused(engine, "create", "--link", "nobody", "busybox")
    engine.docker("create", "--name", "late", "--link", "db", "busybox", "true")
    engine.docker("stop", "-t", "0", "db")
    assert "Cannot link to a non running container: /db AS /late/db" in refused(engine, "start", "late")


def test_traffic_between_containers_flows_while_the_engine_is_killed(engine: EngineUnderTest) -> None:
    engine.docker("pull", "busybox")
    engine.docker("network", "create", "--subnet", "172.30.0.0/16", "flow")
    server = "nc -l -p 7000 -e sh -c 'while read line; do echo got $line; done'"
    place = ("--network", "flow", "--ip", "172.30.0.9")
    engine.docker("run", "-d", "--name", "server", *place, "busybox", "sh", "-c", server)
    run(engine, "talker", "--network", "flow")
    with subprocess.Popen(
        [*enter(engine, "talker"), "busybox", "nc", "172.30.0.9", "7000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as talk:
        assert talk.stdin is not None and talk.stdout is not None

        def say(word: str) -> str:
            assert talk.stdin is not None and talk.stdout is not None
            talk.stdin.write(f"{word}\n")
            return talk.stdout.readline()

        assert say("before") == "got before\n"
        rules = look(engine, "nft", "-a", "list", "table", "inet", "labdock")
        for number in range(3):
            before = engine.pid("engine")
            engine.kill("engine")
            assert say(f"during {number}") == f"got during {number}\n"
            survive(engine, before)
            engine.docker("network", "ls")
            assert say(f"after {number}") == f"got after {number}\n"
        after = look(engine, "nft", "-a", "list", "table", "inet", "labdock")
        assert after == rules, "rules that worked were touched"
        assert address(engine, "server", "flow") == "172.30.0.9"
        talk.stdin.close()
        talk.terminate()


def survive(engine: EngineUnderTest, before: int) -> None:
    wait_until(lambda: engine.pid("engine") not in (0, before), "a new engine runs")
