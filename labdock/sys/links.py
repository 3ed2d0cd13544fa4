"""The one thing to do with a link before netlink libraries are worth their memory: bring it up. man 7 netdevice."""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1


def bring_up(name: str) -> None:
    """Set the link *name* of the caller's network namespace up. Raises OSError (ENODEV)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as anything:
        request = struct.pack("16sH22x", name.encode(), 0)
        (flags,) = struct.unpack_from("16xH", fcntl.ioctl(anything, _SIOCGIFFLAGS, request))
        fcntl.ioctl(anything, _SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags | _IFF_UP))
