"""Where containers ask: 127.0.0.11, port 53, in their own network namespace, without taking port 53 from them.

A door is a UDP and a TCP socket on one free port of 127.0.0.11 inside the namespace, and a packet rule there that
leads port 53 of that address to it: a container may run a name server of its own on all addresses (a Pi-hole,
CoreDNS), and it is the address that Docker's users write into their configurations (``resolver 127.0.0.11;``). A
socket belongs to the namespace it was made in, whoever reads it: the engine's event loop serves them all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import Final

from labdock.network import netlink

ADDRESS: Final = "127.0.0.11"
PORT: Final = 53
#: The table in the container's namespace (``nft list table ip labdock_names``).
TABLE: Final = "labdock_names"
_BACKLOG: Final = 64
#: As much as a user may ask for (net.core.rmem_max): some hundred questions wait while the engine is busy.
_RECEIVE: Final = 1 << 20

# linux/netfilter/nfnetlink.h, nf_tables.h
_NETLINK_NETFILTER: Final = 12
_BATCH_BEGIN, _BATCH_END, _TABLES = 0x10, 0x11, 10
_NEW_TABLE, _DEL_TABLE, _NEW_CHAIN, _NEW_RULE = 0, 2, 3, 6
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_OUTPUT, _BEFORE = 3, -100
_META_L4PROTO: Final = 16
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_REGISTER, _REGISTER_2 = 8, 9
_DNAT: Final = 1


@dataclass(frozen=True, slots=True)
class Door:
    """The two sockets, both non-blocking."""

    datagrams: socket.socket
    streams: socket.socket

    def close(self) -> None:
        self.datagrams.close()
        self.streams.close()


def open_door() -> Door:
    """A door in the network namespace that the calling thread is in. Blocks for some 100 µs. Raises OSError."""
    door = _listen()
    try:
        lead(door.datagrams.getsockname()[1])
    except BaseException:
        door.close()
        raise
    return door


def _listen() -> Door:
    for attempt in range(8):
        with contextlib.ExitStack() as stack:
            datagrams = stack.enter_context(_socket(socket.SOCK_DGRAM))
            datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE)
            datagrams.bind((ADDRESS, 0))
            streams = stack.enter_context(_socket(socket.SOCK_STREAM))
            try:
                streams.bind((ADDRESS, datagrams.getsockname()[1]))
                streams.listen(_BACKLOG)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or attempt == 7:
                    raise
                continue
            stack.pop_all()
            return Door(datagrams, streams)
    raise AssertionError("unreachable")


def _socket(kind: int) -> socket.socket:
    return socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def lead(port: int) -> None:
    """Have port 53 of :data:`ADDRESS` lead to *port*, in the calling thread's namespace, in place of what was there.

    Written as bytes of nfnetlink: nft(8) would take 5 ms of each start.
    """
    table = netlink.text(1, TABLE)
    hook = _number(1, _OUTPUT) + _number(2, _BEFORE)
    chain = table + netlink.text(3, "ask") + _nest(4, hook) + netlink.text(7, "nat")
    rules = [
        table + netlink.text(2, "ask") + _nest(4, _lead(proto, port))
        for proto in (socket.IPPROTO_UDP, socket.IPPROTO_TCP)
    ]
    messages = [
        (_BATCH_BEGIN, _REQUEST, b""),
        # Made, so that it can be removed, whatever was there; then made anew. The kernel does it in one step.
        (_TABLES << 8 | _NEW_TABLE, _REQUEST | _CREATE, table),
        (_TABLES << 8 | _DEL_TABLE, _REQUEST, table),
        (_TABLES << 8 | _NEW_TABLE, _REQUEST | _CREATE, table),
        (_TABLES << 8 | _NEW_CHAIN, _REQUEST | _CREATE, chain),
        *((_TABLES << 8 | _NEW_RULE, _REQUEST | _CREATE | _APPEND | _ACK, rule) for rule in rules),
        (_BATCH_END, _REQUEST, b""),
    ]
    _run(messages, last=len(messages) - 2)


def _run(messages: list[tuple[int, int, bytes]], last: int) -> None:
    """Send them as one transaction; return when message number *last* is acknowledged. Raises OSError."""
    data = []
    for number, (kind, flags, body) in enumerate(messages):
        batch = kind in (_BATCH_BEGIN, _BATCH_END)
        # nfgenmsg: family, version, resource (the subsystem of a batch), the latter in network order.
        general = struct.pack("!BBH", 0 if batch else socket.AF_INET, 0, _TABLES if batch else 0)
        data.append(struct.pack("=IHHII", 20 + len(body), kind, flags, number, 0) + general + body)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 5, 0))
        sock.send(b"".join(data))
        while True:
            for number, code in netlink.acknowledgements(sock.recv(65536)):
                if code:
                    raise OSError(code, f"packet rule for {ADDRESS}, step {number}: {os.strerror(code)}")
                if number == last:
                    return


def _lead(proto: int, port: int) -> bytes:
    """``ip daddr 127.0.0.11 meta l4proto PROTO th dport 53 dnat to 127.0.0.11:PORT``"""
    here = socket.inet_aton(ADDRESS)
    return b"".join(
        (
            _expression("meta", _number(1, _REGISTER) + _number(2, _META_L4PROTO)),
            _equals(bytes((proto,))),
            _load(_NETWORK_HEADER, 16, 4),
            _equals(here),
            _load(_TRANSPORT_HEADER, 2, 2),
            _equals(struct.pack("!H", PORT)),
            _set(_REGISTER, here),
            _set(_REGISTER_2, struct.pack("!H", port)),
            _expression(
                "nat",
                _number(1, _DNAT) + _number(2, socket.AF_INET) + _number(3, _REGISTER) + _number(5, _REGISTER_2),
            ),
        )
    )


def _load(base: int, offset: int, length: int) -> bytes:
    return _expression("payload", _number(1, _REGISTER) + _number(2, base) + _number(3, offset) + _number(4, length))


def _equals(value: bytes) -> bytes:
    return _expression("cmp", _number(1, _REGISTER) + _number(2, 0) + _nest(3, netlink.attribute(1, value)))


def _set(register: int, value: bytes) -> bytes:
    return _expression("immediate", _number(1, register) + _nest(2, netlink.attribute(1, value)))


def _expression(name: str, data: bytes) -> bytes:
    return _nest(1, netlink.text(1, name) + _nest(2, data))


def _nest(kind: int, data: bytes) -> bytes:
    return netlink.attribute(kind | 0x8000, data)


def _number(kind: int, value: int) -> bytes:
    """In network order, as nf_tables wants it."""
    return netlink.attribute(kind, struct.pack("!i", value))
