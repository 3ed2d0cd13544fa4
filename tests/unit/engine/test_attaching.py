"""Which networks a container is to be in, legacy links, and what is refused in Docker's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from labdock.engine import attaching, linking, network_views
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord, EndpointRecord, State
from labdock.errors import InvalidRequest, NoSuchNetwork, NotFound, Unsupported
from labdock.network.records import Network
from labdock.schema.container import ContainerConfig, HostConfig
from labdock.store.metadata import Database

NETWORKS = {
    name: Network(id=letter * 64, name=name, driver=driver, created=0, configured=name == "web")
    for name, letter, driver in (
        ("bridge", "a", "bridge"), ("host", "b", "host"), ("none", "c", "null"),
        ("web", "d", "bridge"), ("db", "e", "bridge"),
    )
}  # fmt: skip


def find(ref: str) -> Network:
    for network in NETWORKS.values():
        if ref in (network.name, network.id, network.id[:12]):
            return network
    raise NoSuchNetwork(ref)


def record(network: str = "bridge", **changes: Any) -> ContainerRecord:
    fields: dict[str, Any] = {
        "id": "12" * 32, "name": "app", "created": 0, "image": "busybox", "image_id": "sha256:1", "network": network,
        "config": ContainerConfig(), "host": HostConfig(), "args": ("sh",),
    }  # fmt: skip
    return ContainerRecord(**{**fields, **changes})


def names(record: ContainerRecord, sent: dict[str, Any]) -> list[str]:
    return [one.network for one in attaching.plan(record, sent, find)]


def test_the_network_of_the_mode_comes_first_and_ids_are_names() -> None:
    assert names(record("web"), {}) == ["web"]
    assert names(record("web"), {"db": None, "web": {}}) == ["web", "db"]
    assert names(record("d" * 64), {"db": {}}) == ["web", "db"]
    assert names(record("bridge"), {"default": {}}) == ["bridge"]
    assert names(record("container:other"), {}) == []


@pytest.mark.parametrize(
    ("record_", "sent", "words"),
    [
        (record("host"), {"web": {}}, attaching.SHARED_NETWORK),
        (record("web"), {"host": {}}, attaching.HOST_NETWORK),
        (record("none"), {"web": {}}, attaching.NO_NETWORK),
        (record("container:x"), {"web": {}}, attaching.SHARED_NETWORK),
        (record("container:x", config=ContainerConfig(hostname="h")), {}, "hostname and the network mode"),
        (record("container:x", host=HostConfig(dns=("1.1.1.1",))), {}, "dns and the network mode"),
        (record("container:x", host=HostConfig(publish_all_ports=True)), {}, "port publishing and the container type"),
        (record("host", config=ContainerConfig(mac_address="02:00:00:00:00:01")), {}, "mac-address and the network"),
        (record("host", host=HostConfig(links=("a",))), {}, "host type networking can't be used with links"),
        (record("bridge"), {"bridge": {"Aliases": ["a"]}}, "only supported for user-defined networks"),
        (record("bridge"), {"bridge": {"IPAMConfig": {"IPv4Address": "172.17.0.9"}}}, "user defined networks only"),
        (record("db"), {"db": {"IPAMConfig": {"IPv4Address": "172.17.0.9"}}}, "user configured subnets"),
        (record("web"), {"web": {"IPAMConfig": {"IPv4Address": "fd00::1"}}}, "invalid IP address: fd00::1"),
        (record("web"), {"web": {"MacAddress": "nonsense"}}, "invalid MAC address"),
        (record("web"), {"web": {"Aliases": "a"}}, "invalid endpoint settings for network web"),
    ],
)
def test_what_does_not_go_together_is_refused(record_: ContainerRecord, sent: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        attaching.plan(record_, sent, find)
    assert words in caught.value.message


def test_interface_settings_are_refused_and_not_forgotten() -> None:
    with pytest.raises(Unsupported, match="not supported"):
        names(record("web"), {"web": {"DriverOpts": {attaching.SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1"}}})


def test_what_is_wanted_of_a_network() -> None:
    host = HostConfig(links=("db:data",))
    config = ContainerConfig(hostname="big", mac_address="02:00:00:00:00:01")
    made = record("web", host=host, config=config)
    sent = {"web": {"Aliases": ["a", "app"], "IPAMConfig": {"IPv4Address": "172.30.0.9"}, "GwPriority": 2}, "db": None}
    one, two = (attaching.wanted(made, each) for each in attaching.plan(made, sent, find))
    assert one.dns_names == ("app", "a", "121212121212", "big")
    assert (one.ip, one.mac, one.priority, one.links) == ("172.30.0.9", "02:00:00:00:00:01", 2, ("db:data",))
    assert (two.ip, two.mac, two.links) == ("", "", ())


def test_inspect_gives_settings_back_as_sent() -> None:
    made = record("web")
    sent = {"web": {"Aliases": None, "IPAMConfig": {"LinkLocalIPs": ["169.254.1.1"]}, "DriverOpts": {"a": "b"}}}
    made = msgspec.structs.replace(made, attachments=attaching.plan(made, sent, find))
    shown = network_views.show_endpoints(made)["web"]
    assert shown["Aliases"] is None
    assert shown["IPAMConfig"] == {"LinkLocalIPs": ["169.254.1.1"]} and shown["DriverOpts"] == {"a": "b"}
    assert shown["DNSNames"] == ["app", "121212121212"] and shown["IPAddress"] == ""


def test_published_ports_that_nobody_can_reach_are_a_warning() -> None:
    asks = record("web", host=HostConfig(publish_all_ports=True))
    closed = msgspec.structs.replace(NETWORKS["web"], internal=True)
    assert attaching.warn(asks, [NETWORKS["web"]]) == ()
    assert "no way in" in attaching.warn(asks, [closed])[0]
    assert "host network mode" in attaching.warn(asks, [NETWORKS["host"]])[0]
    assert attaching.warn(record("web"), [closed]) == ()


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    database = Database(tmp_path / "db")
    found = Ledger(database)
    endpoint = EndpointRecord(
        network="bridge", network_id="a", endpoint_id="e", ip="172.17.0.5", prefix=16, gateway="172.17.0.1", mac=""
    )
    found.put(
        record(
            id="ef" * 32,
            name="db",
            env=("PATH=/bin", "PASS=a b"),
            config=ContainerConfig(exposed_ports={"5432/tcp": {}, "53/udp": {}}),
            endpoints=(endpoint,),
            state=State(status=Status.RUNNING),
        )
    )
    yield found
    database.close()


def test_a_link_gives_names_and_variables(ledger: Ledger) -> None:
    app = ledger.put(record(links=linking.resolve(("db:my-data",), ledger)))
    assert linking.hosts(app, ledger) == ["my-data=172.17.0.5", "efefefefefef=172.17.0.5", "db=172.17.0.5"]
    found = linking.variables(app, ledger)
    assert found[0] == "MY_DATA_NAME=/app/my-data"
    assert "MY_DATA_PORT=udp://172.17.0.5:53" in found
    assert "MY_DATA_PORT_5432_TCP=tcp://172.17.0.5:5432" in found and "MY_DATA_PORT_5432_TCP_PROTO=tcp" in found
    assert "MY_DATA_ENV_PASS=a b" in found and not any("ENV_PATH" in entry for entry in found)
    assert linking.shown(app, ledger) == ["/db:/app/my-data"]
    assert linking.names_of(ledger) == {"ef" * 32: ["/app/my-data"]}
    linking.check_running(app, ledger)
    assert linking.unlink(app, "my-data") == ()
    with pytest.raises(NotFound, match="Could not get link: /app/other"):
        linking.unlink(app, "other")


def test_a_link_to_nobody_or_to_one_that_does_not_run(ledger: Ledger) -> None:
    with pytest.raises(InvalidRequest, match="could not get container for nobody"):
        linking.resolve(("nobody",), ledger)
    for bad in (":x", "a:b:c", "db:a b"):
        with pytest.raises(InvalidRequest):
            linking.resolve((bad,), ledger)
    app = record(links=linking.resolve(("/db:/app/data",), ledger))
    assert app.links == (("ef" * 32, "data"),)
    ledger.put(ledger.get("db").evolve(status=Status.EXITED))
    with pytest.raises(InvalidRequest, match="Cannot link to a non running container: /db AS /app/data"):
        linking.check_running(app, ledger)
