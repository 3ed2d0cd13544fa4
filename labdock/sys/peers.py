"""Who is at the other end of a unix socket. man 7 unix, SO_PEERCRED."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_UCRED = struct.Struct("=iII")


@dataclass(frozen=True, slots=True)
class Peer:
    """The ids of the process that connected (or made the pair), in the reader's own namespaces.

    ``pid`` 0: in a pid namespace that the reader can't see. An id that the reader's user namespace has no
    number for shows as the overflow id (65534).
    """

    pid: int
    uid: int
    gid: int


def read_peer(connection: socket.socket) -> Peer:
    """The peer of the connected unix socket *connection*."""
    return Peer(*_UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))
