"""The processes of a container, found through /proc: for pausing and killing where no cgroup is writable.

A process belongs to a container when it is in the pid namespace of its first process, or in its mount namespace
(a container that shares the sandbox's pid namespace). One that has left both is not found; a container needs
CAP_SYS_ADMIN for that, which none has unless asked.
"""

from __future__ import annotations

import os
import signal

#: A fork bomb may make processes faster than they are stopped; after this many rounds we say so.
_ROUNDS = 64


def send_all(first: int, number: int) -> bool:
    """Send SIGSTOP, SIGCONT or SIGKILL to all processes of the container whose first one is *first*.

    Repeats until a round finds nobody new, so a process that was forked meanwhile is found too. False when
    that state was not reached.
    """
    space = _spaces(first)
    seen: set[int] = set()
    for _ in range(_ROUNDS):
        new = [pid for pid in _members(space) if pid not in seen]
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


def members(first: int) -> list[int]:
    """The pids of the container whose first process is *first*, ascending."""
    return sorted(_members(_spaces(first)))


def _spaces(first: int) -> frozenset[tuple[str, str]]:
    """The namespaces that only this container has."""
    own = {(kind, _namespace(os.getpid(), kind)) for kind in ("pid", "mnt")}
    theirs = {(kind, _namespace(first, kind)) for kind in ("pid", "mnt")}
    return frozenset((kind, name) for kind, name in theirs - own if name)


def _members(spaces: frozenset[tuple[str, str]]) -> list[int]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            pid = int(entry.name)
            if any(_namespace(pid, kind) == name for kind, name in spaces):
                found.append(pid)
    return found


def _namespace(pid: int, kind: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return ""
