"""The Plan: what was found out about this machine, once, for every other room. Frozen, and plain JSON on the wire."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from labdock.host.ids import IdExtent, IdMaps


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that was tried.

    ``errno`` is the symbolic name when a syscall refused ("" else), ``detail`` what was seen, ``cost`` what the
    user loses without it, ``lift`` the one setting that would give it back and ``who`` can set it ("" when ok).
    """

    name: str
    ok: bool
    errno: str = ""
    detail: str = ""
    cost: str = ""
    lift: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """How labdock runs on this machine.

    ``rung`` "R0" (the ladder's lower rungs come later). ``identity``: "user", "root-mapped" (containers' root is an
    unused host id) or "root-identity" (it is host root). ``snapshotter``: "overlay", "fuse-overlayfs", "copy",
    "flat". ``proc``: "fresh" or "bind". ``egress``: "slirp4netns" or "none". ``cgroups``: "own" (a part of the
    tree is the sandbox's, with those ``controllers`` for containers), "v2" (to be seen only) or "none". ``tools``:
    name → absolute path, of those that were found.
    ``notices``: sentences that the user is to see at start, in ``status`` and in ``doctor``.
    """

    rung: str
    identity: str
    maps: IdMaps
    snapshotter: str
    proc: str
    egress: str
    cgroups: str
    controllers: tuple[str, ...]
    seccomp: bool
    tools: dict[str, str]
    notices: tuple[str, ...]
    probes: tuple[Probe, ...]

    def to_json(self) -> str:
        """The Plan as one JSON object; :meth:`from_json` makes an equal Plan of it."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The Plan that :meth:`to_json` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        fields: dict[str, Any] = json.loads(text)
        maps = fields.pop("maps")
        return cls(
            maps=IdMaps(_extents(maps["uids"]), _extents(maps["gids"])),
            controllers=tuple(fields.pop("controllers")),
            notices=tuple(fields.pop("notices")),
            probes=tuple(Probe(**probe) for probe in fields.pop("probes")),
            **fields,
        )


def _extents(values: list[dict[str, int]]) -> tuple[IdExtent, ...]:
    return tuple(IdExtent(**value) for value in values)
