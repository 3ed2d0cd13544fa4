"""Who the containers' root is on the host: the user, an unused id (when root runs labdock), or root itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labdock.errors import HostUnfit, SystemFailure
from labdock.host.ids import IdExtent, IdMaps, IdRange, map_ids, read_ranges
from labdock.host.plan import Probe

SUBUID = Path("/etc/subuid")
SUBGID = Path("/etc/subgid")

#: As many ids as an image may use (0..65535, of which 65534 is nobody).
IDS = 65536

#: Root's range when /etc/subuid grants it none: 1879048192 onward, which systemd's table of ids marks unused by
#: distributions, login managers, systemd and its containers alike (systemd, docs/UIDS-GIDS.md).
UNUSED = IdRange(0x7000_0000, IDS)


#: What outer itself puts into the data folder, before it is decided whose the store is.
_NOT_STORE = frozenset({"lock", "engine.log", "engine.log.1", "tmp"})


@dataclass(frozen=True, slots=True)
class Identity:
    """``kind`` and ``maps`` as in Plan; ``uid``, ``gid``: the sandbox's root, in the host's numbering."""

    kind: str
    maps: IdMaps
    notices: tuple[str, ...] = ()

    @property
    def uid(self) -> int:
        return self.maps.uids[0].outside

    @property
    def gid(self) -> int:
        return self.maps.gids[0].outside


def decide_identity(uid: int, gid: int, data: Path, programs: Iterable[str]) -> Identity:
    """The identity for a caller *uid*:*gid* whose store is *data* and who needs *programs* (absolute paths).

    A user's store and root's own need not be there yet. Raises HostUnfit: no subordinate ids, or a store of
    somebody else's.
    """
    owner = _store_owner(data)
    if uid != 0:
        if owner not in (None, uid):
            raise HostUnfit(
                f"the store {data} belongs to uid {owner}, not to you (uid {uid})",
                hint="choose another one with LABDOCK_DATA, or give it back to its owner",
            )
        return Identity("user", user_maps(uid, gid, SUBUID, SUBGID))
    uids, gids = _root_ranges(read_ranges(SUBUID, 0), read_ranges(SUBGID, 0), Path("/proc/self/uid_map"))
    return _decide_for_root(uids, gids, owner, data, programs)


def user_maps(uid: int, gid: int, subuid: Path, subgid: Path) -> IdMaps:
    """The maps of a user's sandbox: 0 is the user, 1 onward the subordinate ids. Raises HostUnfit without those."""
    uids, gids = read_ranges(subuid, uid), read_ranges(subgid, uid)
    lacking = [str(path) for path, ranges in ((subuid, uids), (subgid, gids)) if not ranges]
    if lacking:
        raise HostUnfit(
            f"uid {uid} has no subordinate ids in {' and '.join(lacking)}; images have files of many owners",
            hint="an administrator can grant them: sudo usermod --add-subuids 100000-165535 "
            f"--add-subgids 100000-165535 {_name_of(uid)}",
        )
    return IdMaps(map_ids(uid, uids), map_ids(gid, gids))


def is_roots(uid: int) -> bool:
    """Whether *uid* can be the one that stands in for containers' root when root runs labdock."""
    return any(r.start <= uid < r.start + r.count for r in (*read_ranges(SUBUID, 0), UNUSED))


def probe_ids(uid: int, subuid: Path = SUBUID, subgid: Path = SUBGID) -> Probe:
    """Whether enough subordinate ids are granted to *uid* (root needs no grant)."""
    if uid == 0:
        return Probe("subordinate ids", True, detail="root maps ids itself")
    counts = [sum(granted.count for granted in read_ranges(path, uid)) for path in (subuid, subgid)]
    enough = min(counts) >= IDS - 1
    return Probe(
        "subordinate ids",
        enough,
        detail=f"{counts[0]} user ids in {subuid}, {counts[1]} group ids in {subgid}",
        cost="" if enough else "files and users of images with higher ids can't be kept",
        lift="" if enough else f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {_name_of(uid)}",
        who="" if enough else "an administrator",
    )


def _decide_for_root(
    uids: IdRange | None, gids: IdRange | None, owner: int | None, data: Path, programs: Iterable[str]
) -> Identity:
    plain = _identity_maps(uids, gids)
    if uids is None or gids is None:
        return Identity("root-identity", plain, ("containers run as host root: no other ids exist here",))
    if owner == 0:
        why = f"the store {data} was made that way"
        return Identity("root-identity", plain, (f"containers' root is host root: {why}",))
    if owner not in (None, uids.start):
        raise HostUnfit(
            f"the store {data} belongs to uid {owner}; containers' root would be uid {uids.start}",
            hint="choose another store with LABDOCK_DATA, or give root that range again in /etc/subuid",
        )
    # The store itself is handed over; the way to it must be open already.
    blocked = find_unreachable(uids.start, gids.start, (*_own_files(), *programs), _nearest(data.parent))
    if blocked is not None:
        why = f"uid {uids.start}, which would stand in for it, can't reach {blocked}"
        return Identity("root-identity", plain, (f"containers' root is host root: {why}",))
    maps = IdMaps((IdExtent(0, uids.start, uids.count),), (IdExtent(0, gids.start, gids.count),))
    notice = f"containers' root is uid {uids.start} on the host; it reads only what everybody may read"
    return Identity("root-mapped", maps, (notice,))


def _identity_maps(uids: IdRange | None, gids: IdRange | None) -> IdMaps:
    """0 stays 0; further ids are the ranges, or (in a namespace too small for those) themselves."""
    if uids is None or gids is None:
        return IdMaps((IdExtent(0, 0, _own_count("uid")),), (IdExtent(0, 0, _own_count("gid")),))
    return IdMaps(map_ids(0, (uids,)), map_ids(0, (gids,)))


def _own_count(kind: str) -> int:
    """How many ids, from 0 on, the caller's own user namespace has (at most IDS)."""
    for extent in _read_map(Path(f"/proc/self/{kind}_map")):
        if extent.inside == 0:
            return min(extent.count, IDS)
    return 1


def _root_ranges(
    uids: tuple[IdRange, ...], gids: tuple[IdRange, ...], own_map: Path
) -> tuple[IdRange | None, IdRange | None]:
    """Root's range of IDS user ids and of group ids: its first grant that is large enough, else UNUSED, else none."""
    extents = _read_map(own_map)

    def exists(wanted: IdRange) -> bool:
        return any(e.inside <= wanted.start and wanted.start + wanted.count <= e.inside + e.count for e in extents)

    def choose(granted: tuple[IdRange, ...]) -> IdRange | None:
        candidates = (*(IdRange(g.start, IDS) for g in granted if g.count >= IDS), UNUSED)
        return next((candidate for candidate in candidates if exists(candidate)), None)

    return choose(uids), choose(gids)


def _read_map(path: Path) -> list[IdExtent]:
    return [IdExtent(*map(int, line.split())) for line in path.read_text().splitlines()]


def _store_owner(data: Path) -> int | None:
    """Whose a store is that has something in it; None for one that is empty or not there."""
    try:
        with os.scandir(data) as entries:
            filled = any(entry.name not in _NOT_STORE for entry in entries)
        return data.stat().st_uid if filled else None
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise HostUnfit(
            f"reading the store {data}: {error.strerror}", hint="choose another one with LABDOCK_DATA"
        ) from error
    except NotADirectoryError as error:
        raise HostUnfit(f"the store {data} is not a folder", hint="choose another one with LABDOCK_DATA") from error


def _own_files() -> tuple[str, ...]:
    """What the engine's Python must be able to read: the interpreter, its library, and this package."""
    return (sys.executable, os.path.realpath(sys.executable), os.__file__, sys.prefix, __file__)


def _nearest(path: Path) -> Path:
    """*path*, or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return path if path.is_dir() else path.parent


def find_unreachable(uid: int, gid: int, files: Iterable[str], folder: Path) -> str | None:
    """What a process with these ids can't use, found by trying as one; root calls it. None: nothing.

    The *files* (or folders of files) must be readable, the *folder* must be searchable. Raises SystemFailure.
    """
    needs = [(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0)) for path in files]
    needs.append((str(folder), os.X_OK))
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            for path, way in needs:
                if not os.access(path, way):
                    os.write(write, os.fsencode(path))
                    break
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        blocked = os.fsdecode(answer.read())
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise SystemFailure(f"becoming uid {uid} to try what it can read failed (status {status})")
    return blocked or None


def _name_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
