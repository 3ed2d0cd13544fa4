"""TLS to an engine: the handshake, and a thread that carries bytes between the connection and a plain socket."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labdock.client.engine import Tls

BLOCK = 65_536


def wrap(connection: socket.socket, host: str, tls: Tls) -> socket.socket:
    """A plain socket whose other end is *connection* by TLS. Raises OSError (ssl.SSLError is one), closing nothing."""
    # A CA of one's own stands for all others, as in Docker's client.
    context = ssl.create_default_context(cafile=tls.ca or None)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key or None)
    pump = _Pump(context, connection, host)
    pump.shake_hands()
    ours, theirs = socket.socketpair()
    threading.Thread(target=pump.carry, args=(theirs,), name="labdock-tls", daemon=True).start()
    return ours


class _Pump:
    """TLS over two memory buffers: nothing is read from the connection behind our back.

    quirk: SSLSocket.unwrap looks for the peer's farewell in what has arrived, and fails when that is an answer; here
    the end of input is told while nothing has arrived.
    """

    def __init__(self, context: ssl.SSLContext, connection: socket.socket, host: str) -> None:
        self._connection = connection
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._leaving, server_hostname=host)
        self._to_peer = self._to_user = b""
        self._typed, self._told = True, False

    def shake_hands(self) -> None:
        """Raises OSError when the peer is not who it should be, or no TLS."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._connection.sendall(self._leaving.read())
                data = self._connection.recv(BLOCK)
                if not data:
                    raise ConnectionError("the engine hung up in the TLS handshake") from None
                self._arrived.write(data)
        self._connection.sendall(self._leaving.read())

    def carry(self, plain: socket.socket) -> None:
        """Until one side has ended or is gone; about a block each way is held."""
        with self._connection, plain, contextlib.suppress(OSError):
            self._connection.setblocking(False)
            plain.setblocking(False)
            while self._decrypt():
                self._encrypt(plain)
                self._move(plain)

    def _decrypt(self) -> bool:
        """Take what has arrived; False when the peer has ended and all was handed on."""
        if self._to_user:
            return True
        try:
            self._to_user = self._tls.read(BLOCK)
        except ssl.SSLWantReadError:
            return True
        return bool(self._to_user)

    def _encrypt(self, plain: socket.socket) -> None:
        if self._typed and not self._to_peer:
            with contextlib.suppress(BlockingIOError):
                data = plain.recv(BLOCK)
                self._typed = bool(data)
                if data:
                    self._tls.write(data)
        if not self._typed and not self._told and not self._arrived.pending:
            self._told = True
            # close_notify: the end of input, after which answers may still come.
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
        self._to_peer += self._leaving.read()

    def _move(self, plain: socket.socket) -> None:
        """Wait until something can be moved, and move it."""
        user, peer = plain.fileno(), self._connection.fileno()
        poll = select.poll()
        # An answer that is read only after the user can take it, and input that is read only after it was sent.
        poll.register(user, (select.POLLOUT if self._to_user else 0) | self._input_wanted())
        poll.register(peer, (select.POLLOUT if self._to_peer else 0) | (0 if self._to_user else select.POLLIN))
        for descriptor, mask in poll.poll():
            if descriptor == user and mask & select.POLLOUT:
                self._to_user = self._to_user[plain.send(self._to_user) :]
            elif descriptor == user and mask & (select.POLLHUP | select.POLLERR):
                raise ConnectionError("the user hung up")
            if descriptor == peer and mask & select.POLLOUT:
                self._to_peer = self._to_peer[self._connection.send(self._to_peer) :]
            if descriptor == peer and mask & ~select.POLLOUT and not self._to_user:
                data = self._connection.recv(BLOCK)
                self._arrived.write(data) if data else self._arrived.write_eof()

    def _input_wanted(self) -> int:
        return select.POLLIN if self._typed and not self._to_peer else 0
