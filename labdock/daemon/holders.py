"""Who on this host has a port: asked of /proc, for the message of one who wanted it too. Blocking; best effort."""

from __future__ import annotations

import contextlib
import os
from typing import Final

_LISTEN: Final = "0A"
_TABLES: Final = {"tcp": ("tcp", "tcp6"), "udp": ("udp", "udp6")}
#: Descriptors looked at, at most: a machine may have very many.
_MOST: Final = 200_000


def find_holder(port: int, proto: str) -> str | None:
    """ "nginx (pid 71)"; None when nobody is seen (another user's program)."""
    inodes = {f"socket:[{inode}]" for table in _TABLES[proto] for inode in _inodes(table, port)}
    if not inodes:
        return None
    left = _MOST
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                left -= 1
                if left < 0:
                    return None
                if os.readlink(f"/proc/{pid}/fd/{fd}") in inodes:
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as source:
                        return f"{source.read().strip()} (pid {pid})"
    return None


def _inodes(table: str, port: int) -> list[str]:
    """The sockets that are bound to *port* and listen (udp's: are bound)."""
    found = []
    with contextlib.suppress(OSError), open(f"/proc/net/{table}", encoding="ascii") as source:
        next(source, None)
        for line in source:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and (table.startswith("udp") or fields[3] == _LISTEN):
                found.append(fields[9])
    return found
