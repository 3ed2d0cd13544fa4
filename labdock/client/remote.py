"""Engines that are not behind a unix socket of this machine: ``tcp://``, with TLS where asked for, and ``ssh://``.

Every connection is a plain socket to those who use it: ssh's own input and output are one end of a pair, and a
thread carries a TLS connection's bytes to and from another.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING

from labdock.errors import InvalidRequest, Unsupported

if TYPE_CHECKING:
    from labdock.client.engine import Endpoint, Tls
    from labdock.client.transport import Dialer

#: Seconds for a connection to be made.
PATIENCE = 30.0
PLAIN_PORT, TLS_PORT = 2375, 2376
_SSH = re.compile(
    r"ssh://(?:(?P<user>[^@/:]+)(?::(?P<secret>[^@/]*))?@)?(?P<host>\[[^\]]+\]|[^/:@]+)(?::(?P<port>\d+))?(?P<path>/.*)?"
)


def dialer(endpoint: Endpoint) -> Dialer:
    """What connects to *endpoint*. Raises InvalidRequest for an address that is none, Unsupported for other schemes."""
    scheme, _, rest = endpoint.host.partition("://")
    if scheme in ("tcp", "http", "https"):
        return TcpDialer(rest, endpoint.tls)
    if scheme == "ssh":
        return SshDialer(endpoint.host)
    hint = "unix:///path/to/docker.sock, tcp://HOST:PORT or ssh://USER@HOST"
    if scheme in ("npipe", "fd"):
        raise Unsupported(f"{endpoint.host}: labdock's client does not speak {scheme}://", hint=hint)
    raise InvalidRequest(f"unable to parse docker host `{endpoint.host}`", hint=hint)


class TcpDialer:
    """To ``HOST:PORT``; by TLS when *tls* is given."""

    def __init__(self, address: str, tls: Tls | None) -> None:
        found = re.fullmatch(r"(\[[^\]]+\]|[^:/]*)(?::(\d+))?/?", address)
        if not found:
            raise InvalidRequest(f"unable to parse docker host `tcp://{address}`", hint="tcp://HOST:PORT")
        self.host = found[1].strip("[]") or "127.0.0.1"
        self.port = int(found[2] or (TLS_PORT if tls else PLAIN_PORT))
        self._tls = tls

    def __call__(self) -> socket.socket:
        connection = socket.create_connection((self.host, self.port), PATIENCE)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                connection.settimeout(None)
                return connection
            from labdock.client.tls import wrap

            return wrap(connection, self.host, self._tls)
        except BaseException:
            connection.close()
            raise

    def reason(self) -> str:
        """Docker's own guess at the commonest mistake."""
        return "" if self._tls else "are you trying to connect to a TLS-enabled daemon without TLS?"

    def close(self) -> None:
        """Nothing stands behind its connections."""


class SshDialer:
    """Over ``ssh HOST docker system dial-stdio``, as Docker's client does; ``labdock`` where there is no docker."""

    def __init__(self, address: str) -> None:
        found = _SSH.fullmatch(address)
        if not found or found["secret"] is not None:
            why = "plain-text password is not supported" if found else "it is no ssh address"
            raise InvalidRequest(f"invalid SSH URL: {address}: {why}", hint="ssh://USER@HOST[:PORT], with a key")
        host = found["host"].strip("[]")
        if host.startswith("-") or (found["user"] or "").startswith("-"):
            raise InvalidRequest(f"invalid SSH URL: {address}", hint="names don't start with a dash")
        self._words = ["ssh", "-o", "ConnectTimeout=30", "-T"]
        self._words += ["-l", found["user"]] if found["user"] else []
        self._words += ["-p", found["port"]] if found["port"] else []
        path = (found["path"] or "").rstrip("/")
        where = f" --host {shlex.quote(f'unix://{path}')}" if path else ""
        there = f"{where} system dial-stdio"
        self._words += [
            "--",
            host,
            f"if command -v docker >/dev/null 2>&1; then exec docker{there}; else exec labdock{there}; fi",
        ]
        self._errors: IO[bytes] | None = None
        self._running: list[subprocess.Popen[bytes]] = []

    def __call__(self) -> socket.socket:
        self._running = [each for each in self._running if each.poll() is None]
        self._errors = self._errors or tempfile.TemporaryFile()  # noqa: SIM115 (``close`` does)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                # A session of its own: Ctrl-C is for the command, which then hangs up.
                program = subprocess.Popen(
                    self._words,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=self._errors,
                    start_new_session=True,
                )
            except FileNotFoundError:
                ours.close()
                raise OSError(None, "there is no ssh on PATH") from None
        self._running.append(program)
        return ours

    def reason(self) -> str:
        """The last words of ssh."""
        self._reap()
        if self._errors is None:
            return ""
        size = os.fstat(self._errors.fileno()).st_size
        said = os.pread(self._errors.fileno(), 2000, max(0, size - 2000)).decode("utf-8", "replace").strip()
        return f"ssh said: {said}" if said else ""

    def _reap(self) -> None:
        for program in self._running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(1.0)
        self._running = [each for each in self._running if each.poll() is None]

    def close(self) -> None:
        """End the ssh of connections that are over: their input has ended. Those in use go on."""
        self._reap()
        if self._errors is not None and not self._running:
            self._errors.close()
            self._errors = None
