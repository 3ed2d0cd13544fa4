"""From create requests to networks."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import msgspec
import pytest

from labdock.errors import Conflict, Forbidden, InvalidRequest, LabdockError, NotFound, Unsupported
from labdock.network import ipam, planning
from labdock.network.records import Network
from labdock.schema.network import NetworkCreate

TAKEN = [IPv4Network("172.17.0.0/16")]


def plan(**sent: Any) -> Network:
    return planning.plan(msgspec.convert({"Name": "net", **sent}, NetworkCreate), TAKEN, [])


def pool(**entry: Any) -> dict[str, Any]:
    return {"IPAM": {"Config": [entry]}}


def test_a_bridge_gets_the_next_free_subnet_and_a_name_of_its_own() -> None:
    made = plan()
    assert (made.driver, made.subnet, made.gateway) == ("bridge", "172.18.0.0/16", "172.18.0.1")
    assert made.link == f"br-{made.id[:12]}"
    assert (made.icc, made.masquerade, made.internal, made.configured, made.subnet6) == (True, True, False, False, "")
    assert made.has_names


def test_host_routes_are_avoided_but_a_subnet_that_somebody_names_is_theirs() -> None:
    request = msgspec.convert({"Name": "net"}, NetworkCreate)
    assert planning.plan(request, TAKEN, [IPv4Network("172.18.4.0/24")]).subnet == "172.19.0.0/16"
    asked = msgspec.convert({"Name": "net", **pool(Subnet="172.18.4.0/24")}, NetworkCreate)
    assert planning.plan(asked, TAKEN, [IPv4Network("172.18.4.0/24")]).subnet == "172.18.4.0/24"


def test_ipv6_has_unique_local_addresses_or_those_asked_for() -> None:
    made = plan(EnableIPv6=True)
    assert made.subnet6.startswith("fd") and made.subnet6.endswith("::/64")
    assert made.gateway6 == made.subnet6.replace("::/64", "::1")
    assert plan(EnableIPv6=True, **pool(Subnet="fd77::/64")).gateway6 == "fd77::1"
    # As Docker: an IPv6 pool without IPv6 is passed over.
    assert plan(**pool(Subnet="fd77::/64")).subnet6 == ""
    alone = plan(EnableIPv4=False, EnableIPv6=True)
    assert (alone.subnet, alone.gateway) == ("", "")


def test_pools_are_taken_apart() -> None:
    made = plan(
        **pool(
            Subnet="172.28.0.0/16",
            IPRange="172.28.5.0/24",
            Gateway="172.28.5.254",
            AuxiliaryAddresses={"host": "172.28.1.5"},
        )
    )
    assert (made.subnet, made.range, made.gateway) == ("172.28.0.0/16", "172.28.5.0/24", "172.28.5.254")
    assert made.reserved == {"host": "172.28.1.5"} and made.configured
    assert made.ipam["Config"][0]["IPRange"] == "172.28.5.0/24"


@pytest.mark.parametrize(
    ("sent", "error", "words"),
    [
        ({"Name": " "}, InvalidRequest, "name is empty"),
        ({"Name": "host"}, Forbidden, "predefined host network"),
        ({"Driver": "weave"}, NotFound, "plugin not found"),
        ({"Driver": "overlay"}, Unsupported, "swarm"),
        ({"Scope": "swarm"}, Unsupported, "swarm"),
        ({"Driver": "null"}, Forbidden, 'only one instance of "null"'),
        ({"ConfigOnly": True}, Unsupported, "config-only"),
        ({"ConfigFrom": {"Network": "x"}}, Unsupported, "config-only"),
        ({"IPAM": {"Driver": "dhcp"}}, NotFound, "plugin not found"),
        ({"EnableIPv4": False}, InvalidRequest, "IPv4 or IPv6 must be enabled"),
        (pool(Subnet="172.17.4.0/24"), Forbidden, ipam.OVERLAP),
        (pool(Subnet="172.28.0.1/16"), InvalidRequest, "invalid subnet"),
        (pool(Gateway="172.28.0.1"), InvalidRequest, "must have a corresponding subnet"),
        (pool(Subnet="172.28.0.0/16", Gateway="172.29.0.1"), InvalidRequest, "invalid gateway address"),
        (pool(Subnet="172.28.0.0/16", Gateway="172.28.255.255"), InvalidRequest, "not a host's"),
        (pool(Subnet="172.28.0.0/16", IPRange="172.29.0.0/24"), InvalidRequest, "invalid ip-range"),
        (pool(Subnet="172.28.0.0/16", AuxiliaryAddresses={"a": "10.0.0.1"}), InvalidRequest, "auxiliary"),
        (pool(Subnet="172.28.0.0/16", AuxiliaryAddresses={"a": "172.28.0.1"}), Forbidden, "already in use"),
        ({"Options": {"com.docker.network.bridge.name": "a/b"}}, InvalidRequest, "invalid bridge name"),
        ({"Options": {"com.docker.network.bridge.name": "x" * 16}}, InvalidRequest, "invalid bridge name"),
        ({"Options": {"com.docker.network.bridge.enable_icc": "maybe"}}, InvalidRequest, "not a boolean"),
        ({"Options": {"com.docker.network.bridge.gateway_mode_ipv4": "routed"}}, Unsupported, "nat"),
        ({"Options": {"com.docker.network.bridge.inhibit_ipv4": "true"}}, Unsupported, "inhibit_ipv4"),
        ({"Options": {"com.docker.network.driver.mtu": "fast"}}, InvalidRequest, "mtu"),
        ({"Options": {"com.docker.network.container_iface_prefix": "a b"}}, InvalidRequest, "iface_prefix"),
        ({"Driver": "macvlan", "Options": {"macvlan_mode": "x"}}, InvalidRequest, "mode 'x' is not valid"),
        ({"Driver": "macvlan", "Options": {"parent": "a b"}}, InvalidRequest, "invalid subinterface"),
        ({"Driver": "ipvlan", "Options": {"ipvlan_flag": "vepa"}}, Unsupported, "ipvlan_flag"),
    ],
)
def test_what_can_t_be_made_is_refused_in_words(sent: dict[str, Any], error: type[LabdockError], words: str) -> None:
    with pytest.raises(error) as caught:
        plan(**sent)
    assert words in caught.value.message


def test_a_macvlan_without_a_parent_gets_one_that_leads_nowhere() -> None:
    made = plan(Driver="macvlan")
    assert (made.link, made.made_link, made.mode) == (f"dm-{made.id[:12]}", True, "bridge")
    given = plan(Driver="ipvlan", Options={"parent": "eth0.10", "ipvlan_mode": "l3"})
    assert (given.link, given.made_link, given.mode) == ("eth0.10", False, "l3")


def test_no_subnet_left_is_a_clear_error() -> None:
    request = msgspec.convert({"Name": "net"}, NetworkCreate)
    everything = [IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16")]
    with pytest.raises(Conflict, match="non-overlapping IPv4 address pool"):
        planning.plan(request, everything, [])
