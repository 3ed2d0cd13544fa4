"""Networks by docker-py: what its users and its own tests ask."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker import errors, types

from .clients import Engine

# docker-py leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def client(engine: Engine, clean: None) -> Iterator[Any]:
    found = docker.DockerClient(base_url=f"unix://{engine.socket}", timeout=60)
    yield found
    for box in found.containers.list(all=True):
        box.remove(force=True)
    for network in found.networks.list(filters={"type": "custom"}):
        network.remove()
    found.close()
    gc.collect()


def test_ipam_comes_back_as_sent(client: Any) -> None:
    pool = types.IPAMPool(
        subnet="172.28.0.0/16",
        iprange="172.28.5.0/24",
        gateway="172.28.5.254",
        aux_addresses={"a": "172.28.1.5", "b": "172.28.1.6"},
    )
    made = client.networks.create("planned", ipam=types.IPAMConfig(driver="default", pool_configs=[pool]))
    ipam = client.api.inspect_network(made.id)["IPAM"]
    assert ipam.pop("Options", None) is None
    assert ipam == {
        "Driver": "default",
        "Config": [
            {
                "Subnet": "172.28.0.0/16",
                "IPRange": "172.28.5.0/24",
                "Gateway": "172.28.5.254",
                "AuxiliaryAddresses": {"a": "172.28.1.5", "b": "172.28.1.6"},
            }
        ],
    }


def test_networks_are_found_by_name_and_short_id(client: Any) -> None:
    one, two = client.networks.create("one", labels={"k": "v"}), client.networks.create("two")
    assert [n.id for n in client.networks.list(ids=[one.id[:12]])] == [one.id]
    assert [n.id for n in client.networks.list(names=["two"])] == [two.id]
    assert client.networks.get(one.id[:10]).name == "one"
    assert client.networks.get("one").attrs["Labels"] == {"k": "v"}
    with pytest.raises(errors.NotFound):
        client.networks.get("three")
    with pytest.raises(errors.APIError) as caught:
        client.networks.create("one")
    assert caught.value.status_code == 409


def test_settings_may_be_null_and_then_come_back_null(client: Any) -> None:
    client.networks.create("plain")
    box = client.api.create_container("busybox", "sleep 60", networking_config={"EndpointsConfig": {"plain": None}})
    shown = client.api.inspect_container(box["Id"])["NetworkSettings"]["Networks"]
    assert shown["plain"]["Aliases"] is None
    assert shown["plain"]["DriverOpts"] is None


def test_connect_works_before_the_start_and_gives_all_that_was_asked(client: Any) -> None:
    pools = [types.IPAMPool(subnet="172.28.0.0/16"), types.IPAMPool(subnet="2001:389::/64")]
    network = client.networks.create("net", enable_ipv6=True, ipam=types.IPAMConfig(pool_configs=pools))
    box = client.containers.create("busybox", "sleep 60")
    network.connect(
        box,
        ipv4_address="172.28.5.24",
        ipv6_address="2001:389::f00d",
        link_local_ips=["169.254.8.8"],
        aliases=["foo", "bar"],
        driver_opt={"com.docker-py.setting": "yes"},
    )
    with pytest.raises(errors.APIError):
        network.connect(box)
    box.start()
    box.reload()
    found = box.attrs["NetworkSettings"]["Networks"]["net"]
    assert found["IPAMConfig"] == {
        "IPv4Address": "172.28.5.24",
        "IPv6Address": "2001:389::f00d",
        "LinkLocalIPs": ["169.254.8.8"],
    }
    assert (found["IPAddress"], found["GlobalIPv6Address"]) == ("172.28.5.24", "2001:389::f00d")
    assert {"foo", "bar"} <= set(found["Aliases"])
    assert found["DriverOpts"] == {"com.docker-py.setting": "yes"}
    assert {box.name, "foo", "bar", box.short_id} <= set(found["DNSNames"])
    shown = box.exec_run("ip addr show eth1").output.decode()
    assert "169.254.8.8/16" in shown and "2001:389::f00d/64" in shown
    network.reload()
    assert [each.name for each in network.containers] == [box.name]
    network.disconnect(box)
    with pytest.raises(errors.APIError):
        network.disconnect(box)
    with pytest.raises(errors.APIError):
        network.disconnect(box, force=True)
    network.reload()
    assert network.containers == []


def test_a_mac_address_at_the_top_is_the_default_networks(client: Any) -> None:
    box = client.api.create_container("busybox", "sleep 60", mac_address="02:42:ac:11:00:42")
    client.api.start(box)
    settings = client.api.inspect_container(box)["NetworkSettings"]
    assert settings["MacAddress"] == settings["Networks"]["bridge"]["MacAddress"] == "02:42:ac:11:00:42"


def test_links_to_who_is_not_there_yet_are_kept(client: Any) -> None:
    client.networks.create("net")
    config = client.api.create_networking_config({"net": client.api.create_endpoint_config(links={"later": "alias"})})
    box = client.api.create_container("busybox", "sleep 60", networking_config=config)
    shown = client.api.inspect_container(box)["NetworkSettings"]["Networks"]["net"]
    assert shown["Links"] == ["later:alias"]


def test_legacy_links_give_variables_and_a_name_that_can_be_removed(client: Any) -> None:
    target = client.containers.run("busybox", "sleep 60", name="target", detach=True, environment={"FOO": "1"})
    box = client.containers.create("busybox", "env", name="linker", links={target.name: "mylink1"})
    assert "/linker/mylink1" in client.api.containers(filters={"name": "target"})[0]["Names"]
    box.start()
    box.wait()
    output = box.logs().decode()
    assert "MYLINK1_NAME=/linker/mylink1\n" in output
    assert "MYLINK1_ENV_FOO=1\n" in output
    client.api.remove_container("linker/mylink1", link=True)
    assert client.api.containers(filters={"name": "target"})[0]["Names"] == ["/target"]
    assert client.containers.get("linker").status == "exited"


def test_prune_gives_the_names(client: Any) -> None:
    client.networks.create("idle")
    assert client.networks.prune() == {"NetworksDeleted": ["idle"]}
    assert client.networks.prune() == {"NetworksDeleted": None}
