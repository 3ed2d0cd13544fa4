"""The processes of a container, found through /proc: for pausing and killing where no cgroup is writable.

A process belongs to a container when it is in the pid namespace of its first process, or in its mount namespace
(a container that shares the sandbox's pid namespace). One that has left both is not found; a container needs
CAP_SYS_ADMIN for that, which none has unless asked.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping

from labdock.errors import SystemFailure
from labdock.runtime import children

#: A SIGKILLed process is gone within milliseconds, unless it hangs in the kernel.
DEATH_SECONDS = 10.0

#: A fork bomb may make processes faster than they are stopped; after this many rounds we say so.
_ROUNDS = 64


#: (kind, name) of the namespaces that only one container has.
Spaces = frozenset[tuple[str, str]]


def send_all(spaces: Spaces, number: int) -> bool:
    """Send SIGSTOP, SIGCONT or SIGKILL to all processes in *spaces*.

    Repeats until a round finds nobody new, so a process that was forked meanwhile is found too. False when
    that state was not reached.
    """
    seen: set[int] = set()
    for _ in range(_ROUNDS):
        new = [pid for pid in members(spaces) if pid not in seen]
        if not new:
            return True
        for pid in new:
            seen.add(pid)
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        if number == signal.SIGCONT:
            return True
    return False


async def end_all(find: Callable[[], list[int]]) -> None:
    """SIGKILL what *find* finds, until it finds nothing more. Raises SystemFailure for one that does not end."""
    while pids := find():
        for pid in pids:
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            try:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                await asyncio.wait_for(children.readable(fd), DEATH_SECONDS)
            except ProcessLookupError:
                continue
            except TimeoutError as error:
                raise SystemFailure(f"process {pid} did not end within {DEATH_SECONDS:g} s of SIGKILL") from error
            finally:
                os.close(fd)


def parent(pid: int) -> int:
    """The parent of *pid*, 0 when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in brackets, may hold anything.
            return int(file.read(4096).rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def own_spaces(first: int) -> Spaces:
    """The pid and mount namespaces of process *first* that are not ours too."""
    own = {(kind, _namespace(os.getpid(), kind)) for kind in ("pid", "mnt")}
    theirs = {(kind, _namespace(first, kind)) for kind in ("pid", "mnt")}
    return frozenset((kind, name) for kind, name in theirs - own if name)


def members(spaces: Spaces) -> list[int]:
    """The pids, as we see them, of all processes in one of *spaces*."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            pid = int(entry.name)
            if any(_namespace(pid, kind) == name for kind, name in spaces):
                found.append(pid)
    return found


def sort_members(wanted: Mapping[str, Spaces]) -> dict[str, list[int]]:
    """As members, for many containers in one look at /proc: name → pids."""
    owners = {space: name for name, spaces in wanted.items() for space in spaces}
    kinds = sorted({kind for kind, _ in owners}, reverse=True)
    found: dict[str, list[int]] = {name: [] for name in wanted}
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        pid = int(entry.name)
        owner = next((o for kind in kinds if (o := owners.get((kind, _namespace(pid, kind)))) is not None), None)
        if owner is not None:
            found[owner].append(pid)
    return found


def _namespace(pid: int, kind: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return ""
