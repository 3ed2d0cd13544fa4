"""A line to an engine that can stand still: a unix socket before another one, for work to be met half-way."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from pathlib import Path

BLOCK = 65_536


class SlowLine:
    """Carries bytes between clients of ``path`` and the engine at *engine*, both ways, until :meth:`close`.

    After :meth:`hold` the next connection that has carried so many bytes one way and gets more stands still there, and
    ``held`` is set; it ends when its client hangs up. Other connections go on.
    """

    def __init__(self, path: Path, engine: Path) -> None:
        self.path = path
        self._engine = engine
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._lock = threading.Lock()
        self._way, self._most = "", 0
        self.held = threading.Event()
        self.let_go = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def hold(self, way: str, most: int) -> None:
        """*way*: "there" (what clients send) or "back" (what the engine answers)."""
        with self._lock:
            self._way, self._most = way, most
            self.held.clear()
            self.let_go.clear()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            try:
                engine.connect(str(self._engine))
            except OSError:
                client.close()
                continue
            both = _Pair(client, engine)
            for way, source, target in (("there", client, engine), ("back", engine, client)):
                threading.Thread(target=self._carry, args=(both, way, source, target), daemon=True).start()

    def _carry(self, both: _Pair, way: str, source: socket.socket, target: socket.socket) -> None:
        carried = 0
        try:
            while data := source.recv(BLOCK):
                carried += len(data)
                if (beyond := self._beyond(way, carried)) > 0:
                    target.sendall(data[: max(len(data) - beyond, 0)])
                    both.wait_for_client()
                    both.break_off()
                    self.let_go.set()
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            both.break_off()
        finally:
            both.done()

    def _beyond(self, way: str, carried: int) -> int:
        """How many of the *carried* bytes stay here, because this connection stands still from now on."""
        with self._lock:
            if way != self._way or carried <= self._most:
                return 0
            self._way = ""
            self.held.set()
            return carried - self._most


class _Pair:
    """A connection's two ends; closed when both ways are done."""

    def __init__(self, client: socket.socket, engine: socket.socket) -> None:
        self._ends = client, engine
        self._left = 2
        self._lock = threading.Lock()

    def wait_for_client(self) -> None:
        """Until it has hung up; what it still sends is not read."""
        poll = select.poll()
        poll.register(self._ends[0], select.POLLHUP)
        poll.poll()

    def break_off(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def done(self) -> None:
        with self._lock:
            self._left -= 1
            if not self._left:
                for end in self._ends:
                    end.close()
