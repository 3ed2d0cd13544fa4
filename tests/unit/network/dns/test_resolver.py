"""Names come and go in tables, and what a container is told about them."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from labdock.network.dns import messages
from labdock.network.dns.messages import encode_name
from labdock.network.dns.resolver import Ask, resolve
from labdock.network.dns.table import Member, Table
from tests.unit.network.dns import wire


def member(
    container: str,
    *names: str,
    network: str = "shop",
    ip: str = "172.18.0.2",
    ip6: str = "",
    links: tuple[tuple[str, str], ...] = (),
    outward: bool = True,
) -> Member:
    return Member(
        endpoint=f"{container}@{network}",
        container=container,
        network=f"id-of-{network}",
        network_name=network,
        names=names,
        addresses=(ip, ip6) if ip6 else (ip,),
        links=links,
        subnets=("172.18.0.0/16", "fd00:18::/64"),
        outward=outward,
    )


def filled(*members: Member) -> Table:
    table = Table()
    for one in members:
        table.join(one)
    return table


def say(table: Table, asker: str, name: str, type: int = wire.A, **how: int) -> wire.Said | Ask:
    view = table.view(asker)
    assert view is not None
    verdict = resolve(wire.ask(name, type, **how), view)
    assert verdict is not None
    return verdict if isinstance(verdict, Ask) else wire.read(verdict)


def told(table: Table, asker: str, name: str, type: int = wire.A) -> list[str]:
    said = say(table, asker, name, type)
    assert isinstance(said, wire.Said) and said.code == 0, said
    return said.data


def test_a_container_is_found_by_each_of_its_names_alone_and_with_the_networks() -> None:
    table = filled(member("a"), member("b", "web", "www", "0123456789ab", ip="172.18.0.3"))
    for name in ("web", "www", "0123456789ab", "web.shop", "www.shop", "WEB", "web."):
        assert told(table, "a", name) == ["172.18.0.3"], name
    assert isinstance(say(table, "a", "web.other"), Ask)
    assert isinstance(say(table, "a", "webb"), Ask)


def test_a_name_without_an_address_of_the_kind_exists_and_an_unknown_one_is_asked_on() -> None:
    table = filled(member("a", "web"))
    for type in (wire.AAAA, wire.MX, 16, 33, 65):
        said = say(table, "a", "web", type)
        assert isinstance(said, wire.Said) and (said.code, said.records) == (messages.NOERROR, []), type
    assert isinstance(say(table, "a", "debian.org", wire.MX), Ask)
    assert isinstance(say(table, "a", "web", cls=3), Ask)


def test_ipv6_addresses_have_their_own_records() -> None:
    table = filled(member("a", "web", ip6="fd00:18::2"))
    assert told(table, "a", "web") == ["172.18.0.2"]
    assert told(table, "a", "web", wire.AAAA) == ["fd00:18::2"]
    assert told(table, "a", "web", 255) == ["172.18.0.2", "fd00:18::2"]


def test_several_behind_one_alias_take_turns_at_being_first() -> None:
    table = filled(*(member(f"c{n}", f"web-{n}", "web", ip=f"172.18.0.{n}") for n in (2, 3, 4)))
    answers = [told(table, "c2", "web") for _ in range(9)]
    assert Counter(answer[0] for answer in answers) == {"172.18.0.2": 3, "172.18.0.3": 3, "172.18.0.4": 3}
    assert all(sorted(answer) == ["172.18.0.2", "172.18.0.3", "172.18.0.4"] for answer in answers)
    table.leave("c3@shop")
    assert {ip for _ in range(4) for ip in told(table, "c2", "web")} == {"172.18.0.2", "172.18.0.4"}


def test_networks_with_the_same_names_do_not_see_each_other() -> None:
    table = filled(
        member("app1", "app", network="one"),
        member("db1", "db", network="one", ip="172.18.0.9"),
        member("app2", "app", network="two"),
        member("db2", "db", network="two", ip="172.19.0.9"),
        member("both", network="one", ip="172.18.0.7"),
        member("both", network="two", ip="172.19.0.7"),
    )
    assert told(table, "app1", "db") == ["172.18.0.9"]
    assert told(table, "app2", "db") == ["172.19.0.9"]
    assert isinstance(say(table, "app1", "db.two"), Ask)
    # Who is in both networks is told by the one that it joined first, and of either by its name.
    assert told(table, "both", "db") == ["172.18.0.9"]
    assert told(table, "both", "db.two") == ["172.19.0.9"]


def test_an_address_has_the_name_of_its_container_in_the_network() -> None:
    table = filled(member("a"), member("b", "web", "www", ip="172.18.0.3", ip6="fd00:18::3"))
    for ip in ("172.18.0.3", "fd00:18::3"):
        assert told(table, "a", messages.decode_name(messages.reverse_name(ip)), wire.PTR) == ["web.shop"]
    near = say(table, "a", "200.0.18.172.in-addr.arpa", wire.PTR)
    assert isinstance(near, wire.Said) and near.code == messages.NXDOMAIN
    assert isinstance(say(table, "a", "8.8.8.8.in-addr.arpa", wire.PTR), Ask)


def test_a_link_is_a_name_for_one_container_only() -> None:
    table = filled(member("a", "app", links=(("mysql", "db"),)), member("b", "db", ip="172.18.0.3"), member("c", "c"))
    assert told(table, "a", "mysql") == told(table, "a", "mysql.shop") == ["172.18.0.3"]
    assert isinstance(say(table, "c", "mysql"), Ask)
    table.leave("b@shop")
    assert isinstance(say(table, "a", "mysql"), Ask)


def test_a_renamed_container_answers_to_its_new_name_at_once() -> None:
    table = filled(member("a"), member("b", "old", "www", ip="172.18.0.3"))
    table.join(member("b", "new", "www", ip="172.18.0.3"))
    assert told(table, "a", "new") == told(table, "a", "www") == ["172.18.0.3"]
    assert isinstance(say(table, "a", "old"), Ask)
    assert told(table, "a", "3.0.18.172.in-addr.arpa", wire.PTR) == ["new.shop"]


def test_nothing_is_asked_on_for_a_container_without_a_way_out() -> None:
    table = filled(member("a", "web", outward=False), member("b", "db", ip="172.18.0.3", outward=False))
    assert told(table, "a", "db") == ["172.18.0.3"]
    said = say(table, "a", "secret.evil.example")
    assert isinstance(said, wire.Said) and said.code == messages.SERVFAIL
    table.join(member("a", "web", network="open"))
    assert isinstance(say(table, "a", "debian.org"), Ask)


def test_fixed_names_mean_the_same_everywhere_and_containers_names_go_first() -> None:
    table = filled(member("a", "web"))
    view = table.view("a")
    assert view is not None
    fixed = {encode_name("host.docker.internal"): bytes((10, 0, 2, 2)), encode_name("web"): bytes(4)}
    for name, ip in (("host.docker.internal", "10.0.2.2"), ("web", "172.18.0.2")):
        verdict = resolve(wire.ask(name), view, fixed)
        assert isinstance(verdict, bytes) and wire.read(verdict).data == [ip]


def test_what_is_no_question_gets_an_error_or_silence() -> None:
    view = filled(member("a", "web")).view("a")
    assert view is not None
    assert resolve(b"x", view) is None
    assert resolve(wire.ask("web", flags=0x8100), view) is None
    for data, code in ((wire.ask("web")[:-1], 1), (wire.ask("web", flags=0x2000), 4)):
        verdict = resolve(data, view)
        assert isinstance(verdict, bytes) and wire.read(verdict).code == code
    future = bytearray(wire.ask("web", room=1232))
    future[-5] = 1  # the OPT record's version
    verdict = resolve(bytes(future), view)
    assert isinstance(verdict, bytes) and verdict[-6] == 1, "BADVERS has its high bits in the OPT record"


@given(st.binary(max_size=300))
def test_no_bytes_break_the_resolver(data: bytes) -> None:
    view = filled(member("a", "web")).view("a")
    assert view is not None
    verdict = resolve(data, view)
    assert not isinstance(verdict, bytes) or verdict[:2] == data[:2]


def test_five_hundred_containers_come_and_go_without_a_trace() -> None:
    table = Table()
    everyone = [member(f"c{n}", f"web-{n}", "web", f"{n:012x}", ip=f"172.18.{n >> 8}.{n & 255}") for n in range(2, 502)]
    for one in everyone:
        table.join(one)
    assert len(table) == 500
    assert told(table, "c2", "web-501.shop") == ["172.18.1.245"]
    said = say(table, "c2", "web")
    assert isinstance(said, wire.Said) and said.cut
    view = table.view("c2")
    assert view is not None
    whole = resolve(wire.ask("web"), view, stream=True)
    assert isinstance(whole, bytes) and len(set(wire.read(whole).data)) == 500
    for one in everyone[::-1]:
        table.leave(one.endpoint)
    table.leave("nobody")
    assert len(table) == 0 and table.view("c2") is None
    assert not table._zones and not table._views


def test_what_can_not_be_asked_for_in_dns_is_left_out() -> None:
    table = filled(member("a", "x" * 64, "web", ip="172.18.0.3"))
    assert told(table, "a", "web.shop") == ["172.18.0.3"]
    table.leave("a@shop")
    assert len(table) == 0
