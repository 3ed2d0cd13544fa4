"""/etc/hosts and /etc/resolv.conf."""

from __future__ import annotations

import pytest

from labdock.errors import InvalidRequest
from labdock.network import names


def test_hosts_file() -> None:
    text = names.hosts_file(
        "web",
        ("172.17.0.2", ""),
        domainname="lab.example",
        extra=("db:172.17.0.9", "six=[fd00::1]", "seven:fd00::2", "host.docker.internal:host-gateway"),
        gateway="172.17.0.1",
    )
    assert text == (
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::\tip6-localnet\n"
        "ff00::\tip6-mcastprefix\n"
        "ff02::1\tip6-allnodes\n"
        "ff02::2\tip6-allrouters\n"
        "172.17.0.9\tdb\n"
        "fd00::1\tsix\n"
        "fd00::2\tseven\n"
        "10.0.2.2\thost.docker.internal\n"
        "172.17.0.2\tweb.lab.example web\n"
    )


@pytest.mark.parametrize("entry", ["name", "name:", ":1.2.3.4", "name:1.2.3", "name:host", "", "name=a=b"])
def test_bad_extra_hosts_are_refused(entry: str) -> None:
    with pytest.raises(InvalidRequest):
        names.hosts_file("web", extra=(entry,))


def test_host_gateway_needs_a_way_out() -> None:
    with pytest.raises(InvalidRequest, match="host-gateway"):
        names.hosts_file("web", ("172.17.0.2",), extra=("up:host-gateway",), gateway="")
    assert "10.0.2.2\tup\n" in names.hosts_file("web", (), extra=("up:host-gateway",))


def test_resolv_conf_of_the_engine_and_of_the_container() -> None:
    assert names.resolv_conf(("10.0.2.3",), ("lab.example",)) == "search lab.example\nnameserver 10.0.2.3\n"
    own = names.resolv_conf(
        ("10.0.2.3",),
        ("lab.example",),
        servers=("1.1.1.1", "fd00::53", "9.9.9.9", "8.8.8.8"),
        search_domains=("a.example", "b.example"),
        options=("ndots:2", "edns0"),
    )
    assert own == (
        "search a.example b.example\nnameserver 1.1.1.1\nnameserver fd00::53\nnameserver 9.9.9.9\n"
        "options ndots:2 edns0\n"
    )
    assert names.resolv_conf(("10.0.2.3",), ("lab.example",), search_domains=(".",)) == "nameserver 10.0.2.3\n"


def test_a_dns_server_that_is_no_address_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"dns\.example"):
        names.resolv_conf((), servers=("dns.example",))


def test_search_domains_of_the_host() -> None:
    assert names.search_of("nameserver 127.0.0.53\nsearch a.example b.example # no\n")[:2] == ("a.example", "b.example")
    assert names.search_of("domain one.example\n") == ("one.example",)
    assert names.search_of("search a\nsearch b c\n") == ("b", "c")
    assert names.search_of("") == ()
