"""Who has which name: one table per network, changed in place as containers come and go. Pure."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from labdock.network.dns.messages import Malformed, encode_name, reverse_name

log = logging.getLogger(__name__)

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Member:
    """A container's place in a network: ``names`` (its own first), ``addresses`` (textual), and how it sees others.

    ``links`` are names for this container alone: (alias, the other's name in this network). ``subnets`` ("ip/prefix")
    are the network's. ``outward``: the network has a way out, so questions about the rest of the world are asked on.
    """

    endpoint: str
    container: str
    network: str
    network_name: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    links: tuple[tuple[str, str], ...] = ()
    subnets: tuple[str, ...] = ()
    outward: bool = True


@dataclass(slots=True)
class _Holders:
    """The endpoints behind one name, by endpoint id, and whose turn is next."""

    addresses: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = field(default_factory=dict)
    turn: int = 0


@dataclass(slots=True)
class _Zone:
    """One network's names."""

    names: dict[bytes, _Holders] = field(default_factory=dict)
    #: Reverse name → the endpoint that has the address, and its own name.
    pointers: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Entry:
    """What a member put into its zone, so that exactly that is taken out again."""

    member: Member
    own: bytes
    names: tuple[bytes, ...]
    pointers: tuple[bytes, ...]
    links: dict[bytes, bytes]
    subnets: tuple[IpNetwork, ...]


class View:
    """What one container sees: the zones of its networks, in the order in which it joined them."""

    __slots__ = ("_entries", "_zones", "turns")

    def __init__(self, zones: dict[str, _Zone]) -> None:
        #: How often an answer depended on whose turn it was.
        self.turns = 0
        self._zones = zones
        self._entries: list[_Entry] = []

    @property
    def outward(self) -> bool:
        """Whether any of its networks has a way out."""
        return any(entry.member.outward for entry in self._entries)

    def find(self, name: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]] | None:
        """The IPv4 and IPv6 addresses behind *name*, the next one's first at every call; None: nobody has it."""
        for entry in self._entries:
            zone = self._zones.get(entry.member.network)
            if zone is None:
                continue
            holders = zone.names.get(entry.links.get(name, name))
            if holders is None:
                continue
            everyone = list(holders.addresses.values())
            if len(everyone) == 1:
                return everyone[0]
            self.turns += 1
            first = holders.turn % len(everyone)
            holders.turn = first + 1
            ordered = everyone[first:] + everyone[:first]
            return tuple(ip for four, _ in ordered for ip in four), tuple(ip for _, six in ordered for ip in six)
        return None

    def find_pointer(self, name: bytes) -> bytes | None:
        """The name of the address that *name* (…in-addr.arpa) stands for."""
        for entry in self._entries:
            zone = self._zones.get(entry.member.network)
            found = zone.pointers.get(name) if zone is not None else None
            if found is not None:
                return found[1]
        return None

    def is_near(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        """Whether *address* belongs to one of its networks: nobody elsewhere knows a name of it."""
        return any(address in subnet for entry in self._entries for subnet in entry.subnets)

    def _put(self, entry: _Entry) -> None:
        for at, before in enumerate(self._entries):
            if before.member.endpoint == entry.member.endpoint:
                self._entries[at] = entry
                return
        self._entries.append(entry)

    def _drop(self, endpoint: str) -> bool:
        """True when nothing is left."""
        self._entries = [entry for entry in self._entries if entry.member.endpoint != endpoint]
        return not self._entries


class Table:
    """All names. Joining and leaving take time by what the member has, not by how many there are."""

    def __init__(self) -> None:
        #: Grows with every change.
        self.version = 0
        self._zones: dict[str, _Zone] = {}
        self._views: dict[str, View] = {}
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        """Endpoints that are in."""
        return len(self._entries)

    def __iter__(self) -> Iterator[Member]:
        return iter([entry.member for entry in self._entries.values()])

    def view(self, container: str) -> View | None:
        """What *container* sees; None when it is in no network that has names."""
        return self._views.get(container)

    def join(self, member: Member) -> None:
        """Put *member* in; one with the same endpoint is replaced (its names have changed)."""
        self.version += 1
        before = self._entries.get(member.endpoint)
        if before is not None:
            self._take_out(before)
        entry = _prepare(member)
        zone = self._zones.setdefault(member.network, _Zone())
        packed = tuple(ipaddress.ip_address(ip).packed for ip in member.addresses)
        both = tuple(ip for ip in packed if len(ip) == 4), tuple(ip for ip in packed if len(ip) == 16)
        for name in entry.names:
            zone.names.setdefault(name, _Holders()).addresses[member.endpoint] = both
        for pointer in entry.pointers:
            zone.pointers[pointer] = member.endpoint, entry.own
        zone.members.add(member.endpoint)
        self._entries[member.endpoint] = entry
        self._views.setdefault(member.container, View(self._zones))._put(entry)

    def leave(self, endpoint: str) -> None:
        """Take it out. No error when it is not in."""
        entry = self._entries.pop(endpoint, None)
        if entry is None:
            return
        self.version += 1
        self._take_out(entry)
        view = self._views[entry.member.container]
        if view._drop(endpoint):
            del self._views[entry.member.container]

    def _take_out(self, entry: _Entry) -> None:
        zone = self._zones[entry.member.network]
        endpoint = entry.member.endpoint
        for name in entry.names:
            holders = zone.names[name]
            del holders.addresses[endpoint]
            if not holders.addresses:
                del zone.names[name]
        for pointer in entry.pointers:
            if zone.pointers.get(pointer, ("", b""))[0] == endpoint:
                del zone.pointers[pointer]
        zone.members.discard(endpoint)
        if not zone.members:
            del self._zones[entry.member.network]


def _prepare(member: Member) -> _Entry:
    """Each name twice, alone and with the network's behind it: ``web`` and ``web.shop``."""
    suffix = b"".join(_encode((member.network_name,)))
    own = list(_encode(member.names))
    qualified = [name + suffix for name in own if suffix and len(name + suffix) < 255]
    links = {}
    for alias, target in member.links:
        for key, value in zip(_encode((alias,)), _encode((target,)), strict=False):
            links[key] = value
            if suffix:
                links[key + suffix] = value
    return _Entry(
        member,
        qualified[0] if qualified else b"",
        tuple(dict.fromkeys((*own, *qualified))),
        tuple(reverse_name(ip) for ip in member.addresses) if qualified else (),
        links,
        tuple(ipaddress.ip_network(subnet, strict=False) for subnet in member.subnets),
    )


def _encode(names: Iterable[str]) -> Iterator[bytes]:
    """In wire form; what can't be asked for in DNS (an alias of 70 letters) is left out, as nobody could."""
    for name in names:
        try:
            yield encode_name(name)
        except Malformed:
            log.warning("nobody can ask for the name %r: it does not fit DNS", name)
