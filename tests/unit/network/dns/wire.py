"""DNS messages as the tests write and read them: by the book (RFC 1035, 4.1), and not by the code under test."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

A, PTR, MX, AAAA, OPT = 1, 12, 15, 28, 41


def ask(name: str, type: int = A, *, id: int = 7, flags: int = 0x0100, room: int = 0, cls: int = 1) -> bytes:
    """A query; *room* > 0: with EDNS."""
    packed = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label) + b"\0"
    extra = b"\0" + struct.pack("!HHIH", OPT, room, 0, 0) if room else b""
    return struct.pack("!6H", id, flags, 1, 0, 0, int(bool(room))) + packed + struct.pack("!HH", type, cls) + extra


@dataclass(frozen=True)
class Said:
    """An answer, read: ``records`` are (type, ttl, data) of the answer section, addresses and names as text."""

    id: int
    code: int
    cut: bool
    question: str
    records: list[tuple[int, int, str]]
    extended: bool

    @property
    def data(self) -> list[str]:
        return [data for _, _, data in self.records]


def read(message: bytes) -> Said:
    id, flags, questions, answers, authorities, additions = struct.unpack_from("!6H", message)
    assert flags & 0x8000, "not an answer"
    at, question = 12, ""
    for _ in range(questions):
        question, at = _name(message, at)
        at += 4
    records, extended = [], False
    for number in range(answers + authorities + additions):
        _, at = _name(message, at)
        type, _, ttl, length = struct.unpack_from("!HHIH", message, at)
        at += 10
        data = message[at : at + length]
        assert len(data) == length
        if type in (A, AAAA):
            text = str(ipaddress.ip_address(data))
        else:
            text = _name(message, at)[0] if type == PTR else data.hex()
        at += length
        extended |= type == OPT
        if number < answers:
            records.append((type, ttl, text))
    assert at == len(message)
    return Said(id, flags & 15, bool(flags & 0x200), question, records, extended)


def _name(message: bytes, at: int) -> tuple[str, int]:
    labels, after = [], 0
    while length := message[at]:
        if length >= 0xC0:
            after = after or at + 2
            at = (length & 0x3F) << 8 | message[at + 1]
            continue
        labels.append(message[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels), after or at + 1


def reply(query: bytes, *addresses: str, code: int = 0, flags: int = 0x8180) -> bytes:
    """What a name server answers to *query*."""
    end = query.index(b"\0", 12) + 5
    records = b""
    for text in addresses:
        packed = ipaddress.ip_address(text).packed
        records += b"\xc0\x0c" + struct.pack("!HHIH", A if len(packed) == 4 else AAAA, 1, 60, len(packed)) + packed
    return query[:2] + struct.pack("!5H", flags | code, 1, len(addresses), 0, 0) + query[12:end] + records
