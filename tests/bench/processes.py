"""Process trees seen through /proc: who belongs to an engine, and how much memory they share out (PSS)."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """One process: its name and its proportional set size in KiB."""

    pid: int
    name: str
    pss: int


def listener(path: Path) -> int:
    """The pid that listens on the unix socket *path* (SO_PEERCRED, man 7 unix)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(str(path))
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, _, _ = struct.unpack("3i", raw)
    return int(pid)


def tree(root: int) -> list[int]:
    """*root* and all that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name in brackets may hold spaces: what follows it is "state ppid …".
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [root]
    while queue:
        pid = queue.pop(0)
        found.append(pid)
        queue.extend(children.get(pid, ()))
    return found


def usage(root: int) -> list[Usage]:
    """What each process of *root*'s tree holds now."""
    seen = []
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        pss = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
        seen.append(Usage(pid, name, pss))
    return seen


def end(root: int, patience: float = 10.0) -> None:
    """End *root*'s tree by pid: asked first, then killed after *patience* seconds. Reaps *root* when it is a child."""
    members = tree(root)
    with contextlib.suppress(ProcessLookupError):
        os.kill(root, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and any(map(_alive, members)):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(root, os.WNOHANG)
        time.sleep(0.05)
    for pid in filter(_alive, members):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(root, 0)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
