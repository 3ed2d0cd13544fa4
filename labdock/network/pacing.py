"""TCP without pacing inside the sandbox. In the namespace of the calling thread; man 7 tcp.

A host that uses BBR sends at a measured rate, woken by timers. Between containers, and between them and the ports
that outer publishes, nothing is ever lost and the rate is the memory's: there pacing costs two thirds of the speed
and most of the CPU time. What leaves the sandbox goes on in slirp4netns's own connections, by the host's choice.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Final

_CHOICE: Final = Path("/proc/sys/net/ipv4/tcp_congestion_control")
#: The one that every kernel has and lets everybody use.
PLAIN: Final = "reno"


def is_paced() -> bool:
    """Whether the namespace's connections are paced, unless somebody chooses otherwise."""
    try:
        return _CHOICE.read_text(encoding="ascii").startswith("bbr")
    except OSError:
        return False


def stop() -> None:
    """New connections of the namespace are not paced."""
    with contextlib.suppress(OSError):
        _CHOICE.write_text(PLAIN, encoding="ascii")


def stop_on(connection: socket.socket) -> None:
    """The same for one connection, whose peer is on this machine."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, PLAIN.encode())
