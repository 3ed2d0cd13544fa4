"""Subordinate ids and the id maps made of them. man 5 subuid, man 7 user_namespaces."""

from __future__ import annotations

import pwd
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class IdRange:
    """*count* ids from *start*, in the host's numbering."""

    start: int
    count: int


@dataclass(frozen=True, slots=True)
class IdExtent:
    """*count* ids: *inside* the sandbox onward are *outside* onward on the host."""

    inside: int
    outside: int
    count: int


@dataclass(frozen=True, slots=True)
class IdMaps:
    """The two maps of a sandbox. ``single`` is true when only one id is mapped (rung R1 and below)."""

    uids: tuple[IdExtent, ...]
    gids: tuple[IdExtent, ...]

    @property
    def single(self) -> bool:
        return sum(e.count for e in self.uids) == 1


def read_ranges(path: Path, uid: int) -> tuple[IdRange, ...]:
    """The ranges that /etc/subuid or /etc/subgid (*path*) grants to *uid*, by its name or number.

    Lines that do not parse are passed over, as newuidmap(1) does. A missing file grants nothing.
    """
    try:
        owner = pwd.getpwuid(uid).pw_name
    except KeyError:
        owner = str(uid)
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ()
    ranges = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) != 3 or fields[0] not in (owner, str(uid)):
            continue
        if fields[1].isdecimal() and fields[2].isdecimal() and int(fields[2]) > 0:
            ranges.append(IdRange(int(fields[1]), int(fields[2])))
    return tuple(ranges)


def map_ids(own: int, ranges: tuple[IdRange, ...]) -> tuple[IdExtent, ...]:
    """Inside 0 is *own*; inside 1 onward are the granted ranges, in order."""
    extents = [IdExtent(0, own, 1)]
    inside = 1
    for granted in ranges:
        extents.append(IdExtent(inside, granted.start, granted.count))
        inside += granted.count
    return tuple(extents)
