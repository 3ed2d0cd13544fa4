"""Subnets and addresses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labdock.errors import Conflict, Forbidden, InvalidRequest
from labdock.network import ipam

SUBNET = IPv4Network("172.17.0.0/16")


def at(last: int) -> IPv4Address:
    return SUBNET[last]


@pytest.mark.parametrize(
    ("taken", "chosen"),
    [
        ([], "172.17.0.0/16"),
        (["172.17.0.0/16"], "172.18.0.0/16"),
        # A host route inside, and one around.
        (["172.17.42.0/24"], "172.18.0.0/16"),
        (["172.16.0.0/12"], "192.168.0.0/20"),
        (["172.16.0.0/12", "192.168.16.0/24", "192.168.0.0/28"], "192.168.32.0/20"),
        (["10.0.0.0/8"], "172.17.0.0/16"),
    ],
)
def test_the_first_free_subnet_is_chosen(taken: list[str], chosen: str) -> None:
    assert ipam.choose_subnet(IPv4Network(t) for t in taken) == IPv4Network(chosen)


def test_no_subnet_left_is_a_clear_error() -> None:
    with pytest.raises(Conflict, match="non-overlapping IPv4 address pool") as caught:
        ipam.choose_subnet([IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16")])
    assert caught.value.hint


def test_addresses_are_given_from_below_and_never_the_gateway() -> None:
    assert ipam.choose_address(SUBNET, [at(1)], []) == at(2)
    assert ipam.choose_address(SUBNET, [at(1), at(2), at(4)], []) == at(3)
    assert ipam.choose_address(SUBNET, [at(1), at(2)], [at(3)]) == at(4)
    assert ipam.choose_address(IPv6Network("fd12::/64"), [IPv6Address("fd12::1")], []) == IPv6Address("fd12::2")


def test_addresses_come_from_the_range_and_the_gateway_may_be_in_it() -> None:
    subnet = IPv4Network("172.28.0.0/16")
    assert ipam.choose_address(subnet, [], [], "172.28.5.0/24") == IPv4Address("172.28.5.0")
    assert ipam.choose_address(subnet, [IPv4Address("172.28.5.0")], [], "172.28.5.0/24") == IPv4Address("172.28.5.1")
    assert ipam.choose_address(subnet, [], [], "172.28.0.0/24") == IPv4Address("172.28.0.1")
    last = [IPv4Address("172.28.255.252"), IPv4Address("172.28.255.253"), IPv4Address("172.28.255.254")]
    with pytest.raises(Conflict, match="all 3 are in use"):
        ipam.choose_address(subnet, last, [], "172.28.255.252/30")


def test_a_rested_address_is_taken_only_when_nothing_else_is_left() -> None:
    small = IPv4Network("192.168.0.0/29")  # .1 to .6 are for containers
    used = [small[1], small[2], small[3], small[4]]
    assert ipam.choose_address(small, used, [small[6]]) == small[5]
    assert ipam.choose_address(small, used, [small[6], small[5]]) == small[6]


def test_exhaustion_is_a_clear_error() -> None:
    small = IPv4Network("192.168.0.0/29")
    with pytest.raises(Conflict, match=r"no available IPv4 addresses .* all 6 are in use"):
        ipam.choose_address(small, [small[n] for n in range(1, 7)], [])


@given(st.sets(st.integers(1, 14)), st.lists(st.integers(1, 14), unique=True))
def test_an_address_is_always_free_and_of_the_subnet(used: set[int], rested: list[int]) -> None:
    small = IPv4Network("192.168.0.0/28")
    taken = {small[n] for n in used}
    if len(used) == 14:
        with pytest.raises(Conflict):
            ipam.choose_address(small, taken, [small[n] for n in rested])
        return
    found = ipam.choose_address(small, taken, [small[n] for n in rested])
    assert found in small and found not in taken and found not in (small[0], small[15])


def test_fixed_addresses() -> None:
    assert ipam.check_address(SUBNET, "172.17.9.9", [at(1), at(2)]) == IPv4Address("172.17.9.9")
    for taken in ("172.17.0.1", "172.17.0.2"):
        with pytest.raises(Conflict, match="Address already in use"):
            ipam.check_address(SUBNET, taken, [at(1), at(2)])
    for outside in ("172.18.0.2", "172.17.255.255", "nonsense", "fd00::2"):
        with pytest.raises(InvalidRequest):
            ipam.check_address(SUBNET, outside, [])
    assert ipam.check_address(IPv6Network("fd12::/64"), "fd12::9", []) == IPv6Address("fd12::9")


@pytest.mark.parametrize(
    "text", ["172.30.0.1/16", "172.30.0.0", "nonsense", "10.0.0.0/33", "10.0.0.0/32", "fd00::1/64"]
)
def test_a_subnet_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid subnet"):
        ipam.parse_subnet(text)


def test_an_overlap_is_said_in_dockers_words() -> None:
    with pytest.raises(Forbidden, match="Pool overlaps with other one on this address space"):
        ipam.check_free(IPv4Network("172.17.4.0/24"), [IPv6Network("fd12::/64"), SUBNET])
    ipam.check_free(IPv4Network("172.18.0.0/24"), [SUBNET])


def test_ipv6_networks_have_unique_local_addresses_of_their_own() -> None:
    id = "0123456789abcdef" * 4
    first = ipam.choose_subnet6(id, [])
    assert first == IPv6Network("fd01:2345:6789:abcd::/64")
    assert ipam.choose_subnet6(id, [first]) != first


def test_a_mac_address_goes_with_its_address() -> None:
    assert ipam.mac_of(IPv4Address("172.17.0.2")) == "02:42:ac:11:00:02"


def test_routes_of_proc_net_route() -> None:
    table = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
        "short line\n"
    )
    assert ipam.parse_routes(table) == ("192.0.2.0/24", "172.17.0.0/16")
    assert ipam.parse_routes("") == ()
