"""Bytes from one descriptor to a connection, and back from it to another: the far end of an ``ssh://`` engine."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

BLOCK = 65_536


def carry(source: int, sink: int, connection: socket.socket) -> None:
    """Until the connection ends; the end of *source* is told to it. Blocks.

    The thread that reads *source* is left alone at the end: the process is over then.
    """

    def up() -> None:
        with contextlib.suppress(OSError):
            while data := os.read(source, BLOCK):
                connection.sendall(data)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)

    threading.Thread(target=up, name="labdock-dial", daemon=True).start()
    with contextlib.suppress(OSError):
        while data := connection.recv(BLOCK):
            view = memoryview(data)
            while view:
                view = view[os.write(sink, view) :]
