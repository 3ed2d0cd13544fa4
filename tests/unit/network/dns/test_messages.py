"""Bytes that are DNS, and bytes that only look like it."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labdock.network.dns import messages
from labdock.network.dns.messages import Malformed, encode_name, parse_query
from tests.unit.network.dns import wire


def test_a_query_is_read_and_its_question_given_back_letter_by_letter() -> None:
    query = parse_query(wire.ask("Web.Shop", id=0xABCD))
    assert (query.id, query.name, query.type, query.cls) == (0xABCD, b"\x03web\x04shop", 1, 1)
    said = wire.read(messages.answer_addresses(query, [bytes((172, 18, 0, 2))]))
    assert (said.id, said.question, said.data) == (0xABCD, "Web.Shop", ["172.18.0.2"])
    assert not said.extended and not said.cut


def test_an_answer_of_ours_must_not_be_kept() -> None:
    said = wire.read(messages.answer_addresses(parse_query(wire.ask("web")), [bytes(4)]))
    assert [ttl for _, ttl, _ in said.records] == [0]


def test_a_query_with_edns_gets_room_for_more_and_an_answer_with_edns() -> None:
    query = parse_query(wire.ask("web", room=1232))
    assert (query.room, query.extended) == (1232, True)
    assert wire.read(messages.answer_code(query, messages.NXDOMAIN)).extended
    assert parse_query(wire.ask("web", room=16)).room == 512
    assert parse_query(wire.ask("web")).room == 512


def test_what_does_not_fit_a_datagram_is_cut_and_says_so() -> None:
    query = parse_query(wire.ask("web"))
    everyone = [bytes((10, 0, number >> 8, number & 255)) for number in range(500)]
    short = messages.answer_addresses(query, everyone, query.room)
    assert len(short) <= 512
    said = wire.read(short)
    assert said.cut and said.data == [f"10.0.0.{number}" for number in range(len(said.data))]
    whole = wire.read(messages.answer_addresses(query, everyone))
    assert not whole.cut and len(whole.data) == 500


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "header"),
        (bytes(11), "header"),
        (wire.ask("web")[:-1], "cut short"),
        (wire.ask("web")[:14], "without an end"),
        (wire.ask("web", flags=0x8000), "one question"),
        (struct.pack("!6H", 1, 0, 0, 0, 0, 0), "one question"),
        (struct.pack("!6H", 1, 0, 2, 0, 0, 0) + wire.ask("a")[12:] * 2, "one question"),
        (struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\x01\0\x01", "pointer"),
        (wire.ask(".".join(["a" * 60] * 5)), "too long"),
        (wire.ask("web", room=4096)[:-3], "cut short"),
    ],
)
def test_what_is_no_query_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse_query(data)


def test_names_go_there_and_back() -> None:
    assert messages.decode_name(encode_name("Web.Shop.")) == "web.shop"
    for text in ("", "a..b", "a" * 64, ".".join(["a" * 60] * 5)):
        with pytest.raises(Malformed):
            encode_name(text)


def test_an_address_and_its_reverse_name() -> None:
    for ip in ("172.18.0.2", "fd00::1:2"):
        assert str(messages.address_of(messages.reverse_name(ip))) == ip
    for text in ("web.shop", "300.1.1.1.in-addr.arpa", "1.1.1.in-addr.arpa", "x.1.1.1.in-addr.arpa"):
        assert messages.address_of(encode_name(text)) is None


def test_an_answer_to_somebody_else_is_not_ours() -> None:
    query = parse_query(wire.ask("web.example", id=1))
    good = wire.reply(wire.ask("web.example", id=99), "1.2.3.4")
    assert messages.check_reply(good, 99, query) == messages.Reply(0, False)
    assert messages.check_reply(good, 98, query) is None
    assert messages.check_reply(wire.ask("web.example", id=99), 99, query) is None
    for other in (wire.ask("bank.example", id=99), wire.ask("web.example", wire.AAAA, id=99)):
        assert messages.check_reply(wire.reply(other, "6.6.6.6"), 99, query) is None
    assert messages.check_reply(wire.reply(wire.ask("WEB.example", id=99), "1.2.3.4"), 99, query) is not None
    assert messages.check_reply(b"", 99, query) is None


def test_a_server_that_refuses_with_a_bare_header_is_understood() -> None:
    query = parse_query(wire.ask("web.example"))
    bare = struct.pack("!6H", 5, 0x8185, 0, 0, 0, 0)
    assert messages.check_reply(bare, 5, query) == messages.Reply(messages.REFUSED, False)


@pytest.mark.parametrize(
    ("tail", "why"),
    [
        (b"\xc0\x1d" + struct.pack("!HHIH", 1, 1, 0, 4) + bytes(4), "lead back"),  # points to itself
        (b"\xc0\xff" + struct.pack("!HHIH", 1, 1, 0, 4) + bytes(4), "lead back"),  # points ahead
        (b"\xc0\x02" + struct.pack("!HHIH", 1, 1, 0, 4) + bytes(4), "lead back"),  # points into the header
        (b"\xc0", "pointer"),
        (b"\x80x\0" + struct.pack("!HHIH", 1, 1, 0, 4) + bytes(4), "unknown kind"),
        (b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 400) + bytes(4), "over the end"),
        (b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4)[:-1], "cut short"),
        (b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + bytes(4) + b"more", "after the last"),
    ],
)
def test_an_answer_that_is_ours_and_broken_is_hostile(tail: bytes, why: str) -> None:
    query = parse_query(wire.ask("web.example"))
    head = struct.pack("!6H", 9, 0x8180, 1, 1, 0, 0) + query.question
    assert len(head) == 0x1D
    with pytest.raises(Malformed, match=why):
        messages.check_reply(head + tail, 9, query)


@given(st.binary(max_size=600))
def test_no_bytes_break_the_reader_of_queries(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        query = parse_query(data)
        assert wire.read(messages.answer_code(query, messages.NXDOMAIN)).code == messages.NXDOMAIN


@given(st.binary(max_size=400), st.integers(0, 5), st.integers(0, 5))
def test_no_bytes_break_the_reader_of_answers(tail: bytes, answers: int, additions: int) -> None:
    query = parse_query(wire.ask("web.example"))
    head = struct.pack("!6H", 9, 0x8180, 1, answers, 0, additions) + query.question
    with contextlib.suppress(Malformed):
        assert messages.check_reply(head + tail, 9, query) == messages.Reply(0, False)


@given(st.binary(min_size=1, max_size=2000), st.integers(0, 1999))
def test_following_pointers_always_ends(data: bytes, at: int) -> None:
    with contextlib.suppress(Malformed):
        assert at < messages.skip_name(data, at) <= len(data)
