"""A transport that another thread can hang up: how a task or a widget ends what it waits for."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from labdock.client.transport import UnixTransport


class Breakable(UnixTransport):
    """A transport whose open connections can be hung up on from another thread."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._opened: list[socket.socket] = []

    def _connect(self) -> socket.socket:
        made = super()._connect()
        self._opened = [*(known for known in self._opened if known.fileno() >= 0), made]
        return made

    def break_off(self) -> None:
        """End every exchange: whoever reads or writes is told that the engine has hung up."""
        for connection in self._opened:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __del__(self) -> None:
        self.close()
