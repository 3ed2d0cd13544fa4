"""From -p to host addresses."""

from __future__ import annotations

import pytest

from labdock.errors import InvalidRequest
from labdock.network import Address
from labdock.network.ports import ANY_IPV4, Wish, parse_port, plan, show
from labdock.schema.container import PortBinding


def test_bindings_become_addresses_in_order() -> None:
    wishes = plan(
        {
            "80/tcp": (PortBinding(host_port="8080"), PortBinding(host_ip="127.0.0.1", host_port="8081-8083")),
            "53/udp": None,
            "443": (PortBinding(host_ip="[::1]"),),
        }
    )
    assert wishes == [
        Wish("80/tcp", 80, "tcp", (Address("", 8080),)),
        Wish("80/tcp", 80, "tcp", tuple(Address("127.0.0.1", port) for port in (8081, 8082, 8083))),
        Wish("53/udp", 53, "udp", (Address("", 0, "udp"),)),
        Wish("443/tcp", 443, "tcp", (Address("::1", 0),)),
    ]


def test_publish_all_adds_what_is_exposed_and_not_bound() -> None:
    wishes = plan({"80/tcp": (PortBinding(host_port="8080"),)}, ("443/tcp", "80/tcp", "22"), publish_all=True)
    assert [(wish.key, wish.hosts) for wish in wishes] == [
        ("80/tcp", (Address("", 8080),)),
        ("22/tcp", (Address("", 0),)),
        ("443/tcp", (Address("", 0),)),
    ]
    assert plan({}, ("443/tcp",), publish_all=False) == []


@pytest.mark.parametrize("key", ["", "0", "65536", "http/tcp", "80/quic", "-1/tcp", "8 0/tcp", "²/tcp"])
def test_bad_container_ports_are_refused(key: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_port(key)


@pytest.mark.parametrize("port", ["x", "1-", "-1", "9-8", "65536", "1-2-3", "٣"])
def test_bad_host_ports_are_refused(port: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid hostPort"):
        plan({"80/tcp": (PortBinding(host_port=port),)})


def test_a_bad_host_address_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="invalid IP address: localhost"):
        plan({"80/tcp": (PortBinding(host_ip="localhost"),)})


def test_all_addresses_show_as_both_families() -> None:
    assert show(Address("", 8080)) == (
        PortBinding(host_ip=ANY_IPV4, host_port="8080"),
        PortBinding(host_ip="::", host_port="8080"),
    )
    assert show(Address("127.0.0.1", 8080)) == (PortBinding(host_ip="127.0.0.1", host_port="8080"),)
