"""Who is in which network: addresses given and given back, and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labdock.errors import Conflict, Forbidden, InvalidRequest
from labdock.network.endpoints import Endpoints, Wanted, choose_gateway
from labdock.network.records import EndpointRecord, Network
from labdock.store.metadata import Database

NET = Network(
    id="a" * 64, name="net", driver="bridge", created=0, subnet="172.30.0.0/29", gateway="172.30.0.1",
    subnet6="fd12::/64", gateway6="fd12::1", reserved={"printer": "172.30.0.3"}, link="br-a",
)  # fmt: skip
BRIDGE = Network(
    id="b" * 64,
    name="bridge",
    driver="bridge",
    created=0,
    subnet="172.17.0.0/16",
    gateway="172.17.0.1",
    link="labdock0",
)
KNOWN = {network.id: network for network in (NET, BRIDGE)}


class Diary:
    """A watcher that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str, tuple[str, ...]]] = []

    def joined(self, network: Network, endpoint: EndpointRecord) -> None:
        self.heard.append(("joined", network.name, endpoint.container, endpoint.dns_names))

    def left(self, network: Network, endpoint: EndpointRecord) -> None:
        self.heard.append(("left", network.name, endpoint.container, endpoint.dns_names))


class Rude(Diary):
    def joined(self, network: Network, endpoint: EndpointRecord) -> None:
        raise RuntimeError("no")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(tmp_path / "db")
    yield found
    found.close()


def opened(database: Database, clock: list[float] | None = None) -> Endpoints:
    found = Endpoints(database, KNOWN.get, (lambda: clock[0]) if clock else lambda: 0.0)
    found.load()
    return found


def test_addresses_of_both_families_and_what_goes_with_them(database: Database) -> None:
    found = opened(database).allocate(
        NET, "c1", Wanted("net", aliases=("a",), dns_names=("web", "a", "c1"), priority=3)
    )
    assert (found.ip, found.prefix, found.gateway) == ("172.30.0.2", 29, "172.30.0.1")
    assert (found.ip6, found.prefix6, found.gateway6) == ("fd12::2", 64, "fd12::1")
    assert found.mac == "02:42:ac:1e:00:02"
    assert (found.dns_names, found.priority, found.interface) == (("web", "a", "c1"), 3, "eth0")
    # Nobody is found by name in the default network.
    assert opened(database).allocate(BRIDGE, "c1", Wanted("bridge", dns_names=("web",))).dns_names == ()


def test_reserved_addresses_are_never_given_and_exhaustion_is_said(database: Database) -> None:
    endpoints = opened(database)
    given = [endpoints.allocate(NET, f"c{number}", Wanted("net")).ip for number in range(4)]
    assert given == ["172.30.0.2", "172.30.0.4", "172.30.0.5", "172.30.0.6"]
    with pytest.raises(Conflict, match="no available IPv4 addresses"):
        endpoints.allocate(NET, "late", Wanted("net"))
    for fixed in ("172.30.0.1", "172.30.0.3", "172.30.0.4"):
        with pytest.raises(Conflict, match="Address already in use"):
            endpoints.allocate(NET, "late", Wanted("net", ip=fixed))


def test_a_container_gets_its_own_address_again_at_once_and_others_only_later(database: Database) -> None:
    clock = [0.0]
    endpoints = opened(database, clock)
    first = endpoints.allocate(NET, "c1", Wanted("net"))
    endpoints.forget(first)
    assert endpoints.allocate(NET, "other", Wanted("net")).ip == "172.30.0.4"
    assert endpoints.take_stale("c1") == (first.link,)
    assert endpoints.allocate(NET, "c1", Wanted("net")).ip == first.ip


def test_twice_is_refused_in_dockers_words(database: Database) -> None:
    endpoints = opened(database)
    endpoints.allocate(NET, "c1", Wanted("net"))
    with pytest.raises(Forbidden, match="endpoint with name web already exists in network net"):
        endpoints.allocate(NET, "c1", Wanted("net", dns_names=("web",)))


def test_interfaces_are_numbered_and_may_be_named(database: Database) -> None:
    endpoints = opened(database)
    assert endpoints.allocate(NET, "c1", Wanted("net")).interface == "eth0"
    assert endpoints.allocate(BRIDGE, "c1", Wanted("bridge")).interface == "eth1"
    named = Wanted("net", driver_opts={"com.docker.network.endpoint.ifname": "lan0"})
    assert endpoints.allocate(NET, "c2", named).interface == "lan0"
    for bad in ("lo", "a b", "x" * 16):
        with pytest.raises(InvalidRequest, match="invalid interface name"):
            endpoints.allocate(NET, "c3", Wanted("net", interface=bad))


@pytest.mark.parametrize("mac", ["02:00", "zz:00:00:00:00:01", "01:00:5e:00:00:01"])
def test_a_mac_address_that_can_t_be_one_is_refused(database: Database, mac: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid MAC address"):
        opened(database).allocate(NET, "c1", Wanted("net", mac=mac))


def test_watchers_hear_of_all_that_comes_changes_and_goes(database: Database) -> None:
    endpoints, diary = opened(database), Diary()
    endpoints.watch(Rude())
    endpoints.watch(diary)
    one = endpoints.allocate(NET, "c1", Wanted("net", dns_names=("web", "alias")))
    assert diary.heard == [], "its link is not there yet"
    endpoints.announce(one)
    endpoints.rename("c1", "web", "www")
    late = Diary()
    endpoints.watch(late)
    endpoints.forget(endpoints.of("c1")[0])
    endpoints.forget(one)
    assert diary.heard == [
        ("joined", "net", "c1", ("web", "alias")),
        ("joined", "net", "c1", ("www", "alias")),
        ("left", "net", "c1", ("www", "alias")),
    ]
    assert late.heard == diary.heard[1:]


def test_what_was_remembered_is_there_after_a_restart(database: Database) -> None:
    one = opened(database).allocate(NET, "c1", Wanted("net", links=("db:data",), link_local=("169.254.8.8",)))
    assert opened(database).of("c1") == (one,)
    assert opened(database).members(NET.id) == (one,)


def test_the_gateway_is_the_highest_priority_then_the_first_name() -> None:
    def at(network: str, priority: int = 0, gateway: str = "10.0.0.1", gateway6: str = "") -> EndpointRecord:
        return EndpointRecord(
            id=network, container="c", network=network, network_id=network, ip="10.0.0.2", prefix=8, gateway=gateway,
            mac="", interface="eth0", link="", priority=priority, gateway6=gateway6,
        )  # fmt: skip

    assert choose_gateway((at("zeta"), at("alpha"))) == at("alpha")
    assert choose_gateway((at("zeta", 1), at("alpha"))) == at("zeta", 1)
    assert choose_gateway((at("alpha", gateway=""), at("zeta"))) == at("zeta")
    assert choose_gateway((at("alpha"), at("zeta", gateway6="fd::1")), 6) == at("zeta", gateway6="fd::1")
    assert choose_gateway(()) is None
