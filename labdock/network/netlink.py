"""rtnetlink, the few messages that labdock needs, written with struct. man 7 rtnetlink; linux/rtnetlink.h, if_link.h.

Own code where a library exists (pyroute2), by measurement: its core alone costs the engine 14 MiB and 60 ms, and a
link several times what the kernel needs. Several messages travel in one send; the kernel runs and acknowledges each.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

NEWLINK: Final = 16
DELLINK: Final = 17
GETLINK: Final = 18
SETLINK: Final = 19
NEWADDR: Final = 20
GETADDR: Final = 22
NEWROUTE: Final = 24
DELROUTE: Final = 25

_REQUEST, _ACK, _REPLACE, _EXCL, _CREATE, _DUMP = 0x1, 0x4, 0x100, 0x200, 0x400, 0x300
_ERROR, _DONE = 2, 3
#: Attributes that nest others.
_NESTED: Final = 0x8000

UP: Final = 0x1

# IFLA_*
ADDRESS, IFNAME, MTU, LINK, MASTER, PROTINFO, LINKINFO, NET_NS_FD = 1, 3, 4, 5, 10, 12, 18, 28
_INFO_KIND, _INFO_DATA, _PEER = 1, 2, 1
# IFLA_MACVLAN_MODE, IFLA_IPVLAN_MODE, IFLA_VLAN_ID; IFLA_BRPORT_ISOLATED
VLAN_MODE: Final = 1
_PORT_ISOLATED = 33
_AF_BRIDGE = 7
# IFA_*, RTA_*
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_NODAD = 0x02
_RTA_OIF, _RTA_GATEWAY = 4, 5
_RT_TABLE_MAIN, _RTPROT_BOOT, _RTN_UNICAST, _RT_SCOPE_LINK = 254, 3, 1, 253

_HEADER = struct.Struct("=IHHII")
_IFINFO = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBi")
_RTMSG = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")
#: Bytes of an answer; the kernel splits dumps to fit (at most 32 KiB).
_ROOM = 65536

Attributes = dict[int, bytes]


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def short_number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=H", value))


def info(kind: str, data: bytes = b"") -> bytes:
    """The IFLA_LINKINFO attribute for a new link of *kind*."""
    nested = text(_INFO_KIND, kind)
    if data:
        nested += attribute(_INFO_DATA | _NESTED, data)
    return attribute(LINKINFO | _NESTED, nested)


def peer(attributes: bytes, flags: int = 0) -> bytes:
    """The data of a veth link: its other end (VETH_INFO_PEER)."""
    return attribute(_PEER | _NESTED, _IFINFO.pack(0, 0, 0, flags, flags) + attributes)


class Message:
    """A request, without its sequence number. ``about`` names its object in errors."""

    __slots__ = ("about", "body", "flags", "kind")

    def __init__(self, kind: int, flags: int, body: bytes, about: str) -> None:
        self.kind = kind
        self.flags = _REQUEST | _ACK | flags
        self.body = body
        self.about = about


def new_link(about: str, attributes: bytes, flags: int = 0) -> Message:
    return Message(NEWLINK, _CREATE | _EXCL, _IFINFO.pack(0, 0, 0, flags, flags) + attributes, f"making link {about}")


def set_link(index: int, about: str, attributes: bytes = b"", flags: int = 0) -> Message:
    return Message(SETLINK, 0, _IFINFO.pack(0, 0, index, flags, flags) + attributes, f"changing link {about}")


def isolate_port(index: int, about: str) -> Message:
    """Let a bridge's port reach the bridge only, and no other port that is isolated too."""
    nested = attribute(PROTINFO | _NESTED, attribute(_PORT_ISOLATED, b"\1"))
    return Message(SETLINK, 0, _IFINFO.pack(_AF_BRIDGE, 0, index, 0, 0) + nested, f"isolating link {about}")


def delete_link(name: str) -> Message:
    return Message(DELLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0) + text(IFNAME, name), f"removing link {name}")


def new_address(index: int, ip: str, prefix: int) -> Message:
    packed = ipaddress.ip_address(ip).packed
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    # Whoever gave the address knows that nobody else has it; looking for a duplicate takes the kernel seconds.
    flags = 0 if family == socket.AF_INET else _IFA_F_NODAD
    body = (
        _IFADDR.pack(family, prefix, flags, 0, index) + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    )
    return Message(NEWADDR, _CREATE | _EXCL, body, f"address {ip}/{prefix}")


def new_default_route(index: int, gateway: str, *, replace: bool = False) -> Message:
    """The default route of *gateway*'s family; "0.0.0.0" or "::" as *gateway*: by the link itself."""
    address = ipaddress.ip_address(gateway)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    scope = _RT_SCOPE_LINK if address.is_unspecified and address.version == 4 else 0
    body = _RTMSG.pack(family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, _RTN_UNICAST, 0)
    if not address.is_unspecified:
        body += attribute(_RTA_GATEWAY, address.packed)
    flags = _CREATE | (_REPLACE if replace else _EXCL)
    return Message(NEWROUTE, flags, body + number(_RTA_OIF, index), f"default route by {gateway}")


def delete_default_route(index: int, version: int) -> Message:
    """Remove the default route that goes by the link *index*. The kernel refuses when there is none (ESRCH)."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    # The scope "nowhere" (255) is any: man 8 ip-route.
    head = _RTMSG.pack(family, 0, 0, 0, _RT_TABLE_MAIN, 0, 255 if version == 4 else 0, 0, 0)
    return Message(DELROUTE, 0, head + number(_RTA_OIF, index), "removing the default route")


class Netlink:
    """A socket to the network namespace that the calling thread is in, now and for as long as it is open."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self._sock.close()

    def run(self, *messages: Message) -> None:
        """Send all and wait for every acknowledgement. Raises OSError for the first that the kernel refused.

        The kernel goes on after a refusal: what comes later may have been done.
        """
        data = []
        first = self._sequence + 1
        for message in messages:
            self._sequence += 1
            length = _HEADER.size + len(message.body)
            data.append(_HEADER.pack(length, message.kind, message.flags, self._sequence, 0) + message.body)
        self._sock.send(b"".join(data))
        failed: OSError | None = None
        left = len(messages)
        while left:
            for kind, sequence, body in _split(self._sock.recv(_ROOM)):
                if kind != _ERROR or sequence < first:
                    continue
                left -= 1
                (code,) = struct.unpack_from("=i", body)
                if code and failed is None:
                    about = messages[sequence - first].about
                    failed = OSError(-code, f"{about}: {os.strerror(-code)}")
        if failed is not None:
            raise failed

    def dump(self, kind: int, family: int = 0) -> Iterator[tuple[bytes, Attributes]]:
        """All objects of *kind* (GETLINK, GETADDR): the fixed part of each and its attributes."""
        self._sequence += 1
        fixed = _IFINFO.size if kind == GETLINK else _IFADDR.size
        body = struct.pack("=B", family) + bytes(fixed - 1)
        self._sock.send(_HEADER.pack(_HEADER.size + fixed, kind, _REQUEST | _DUMP, self._sequence, 0) + body)
        while True:
            for answer, sequence, found in _split(self._sock.recv(_ROOM)):
                if sequence != self._sequence:
                    continue
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    (code,) = struct.unpack_from("=i", found)
                    raise OSError(-code, f"listing: {os.strerror(-code)}")
                yield found[:fixed], _parse(found[fixed:])

    def links(self) -> dict[str, int]:
        """The links of the namespace: name → index."""
        found = {}
        for fixed, attributes in self.dump(GETLINK):
            index = _IFINFO.unpack(fixed)[2]
            found[attributes[IFNAME].rstrip(b"\0").decode()] = index
        return found

    def addresses(self, index: int) -> list[str]:
        """The addresses of a link, as "ip/prefix"."""
        found = []
        for fixed, attributes in self.dump(GETADDR):
            _, prefix, _, _, owner = _IFADDR.unpack(fixed)
            # quirk: an IPv6 address that is no peer's comes as IFA_ADDRESS only.
            packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
            if owner == index and packed is not None:
                found.append(f"{ipaddress.ip_address(packed)}/{prefix}")
        return found


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The messages of a datagram: type, sequence number, body."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            raise OSError(errno.EBADMSG, "a netlink message with a wrong length")
        yield kind, sequence, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def acknowledgements(data: bytes) -> Iterator[tuple[int, int]]:
    """The acknowledgements in a datagram: sequence number, errno (0: done)."""
    for kind, sequence, body in _split(data):
        if kind == _ERROR:
            (code,) = struct.unpack_from("=i", body)
            yield sequence, -code


def _parse(data: bytes) -> Attributes:
    found: Attributes = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found
