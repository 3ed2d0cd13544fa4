"""One connection to conmon's attach socket, shared by every client that attaches to the container.

conmon writes to each of its attach clients with blocking writes, so a client that stops reading would stop
the container. Only the engine attaches; it always reads on, and each client has a bounded queue. A queue that
is full makes the engine wait for its reader, but for no longer than PATIENCE seconds: then the reader is cut.
So a reader that keeps up with some megabytes a second loses nothing, and a stalled one costs a container one
second once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path

from labdock.errors import SystemFailure
from labdock.runtime import Stream, children
from labdock.runtime.monitor import queue

PATIENCE = 1.0
#: conmon sends at most 8192 bytes of output and one byte that names the stream.
_PACKET = 8193
_PACKETS_AT_ONCE = 32
#: conmon receives into 32 KiB less one; a longer packet would lose its end.
_WRITE = 16 * 1024

log = logging.getLogger("labdock.runtime")

_STREAMS: dict[int, Stream] = {2: "stdout", 3: "stderr"}


class AttachHub:
    """The engine's side of a container's attach socket. Connects when the first client comes."""

    def __init__(self, socket_path: Path, *, tty: bool, stdin_once: bool) -> None:
        self._path = socket_path
        self._tty = tty
        self._stdin_once = stdin_once
        self._socket: socket.socket | None = None
        self._clients: list[AttachedClient] = []
        self._reading = False
        self._ended = False
        self._stdin_closed = False
        self._patience: asyncio.TimerHandle | None = None
        self._blocked: asyncio.Future[None] | None = None
        self._turn = asyncio.Lock()

    def join(self, *, stdin: bool, stdout: bool, stderr: bool) -> AttachedClient:
        """A new client: it gets what the container writes from now on. After the container's end: nothing."""
        client = AttachedClient(self, stdin=stdin, stdout=stdout, stderr=stderr)
        if not self._ended and self._socket is None:
            self._connect()
        if self._ended:
            client.queue.end()
        else:
            self._clients.append(client)
        return client

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            # sun_path holds 108 bytes; this way the folder's length does not count.
            connection.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            self._ended = True
            return
        except OSError as error:
            connection.close()
            raise SystemFailure(f"connecting to {self._path}: {error.strerror}") from error
        finally:
            os.close(folder)
        self._socket = connection
        self._resume()

    def _resume(self) -> None:
        if self._socket is not None and not self._reading:
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)
            self._reading = True

    def _pause(self) -> None:
        if self._socket is not None and self._reading:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._reading = False

    def _readable(self) -> None:
        assert self._socket is not None
        for _ in range(_PACKETS_AT_ONCE):
            try:
                packet = self._socket.recv(_PACKET)
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionResetError:
                packet = b""
            if not packet:
                self.end()
                return
            if self._hand_out(packet):
                self._wait_for_readers()
                return

    def _hand_out(self, packet: bytes) -> bool:
        """Give *packet* to the clients; True when one of them can't take more."""
        stream = _STREAMS.get(packet[0], "stdout")
        data = packet[1:]
        full = False
        for client in self._clients:
            if client.wants(stream):
                client.queue.put(stream, data)
                full = full or client.queue.full
        return full

    def _wait_for_readers(self) -> None:
        self._pause()
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(PATIENCE, self._lose_patience)

    def _lose_patience(self) -> None:
        self._patience = None
        for client in [client for client in self._clients if not client.queue.roomy]:
            log.warning("cut a reader of %s: it is %d bytes behind", self._path.parent.name, client.queue.size)
            client.queue.cut(f"attach: the reader stopped reading; it was cut off after {PATIENCE:g} s")
            self._clients.remove(client)
        self._resume()
        self._leave_if_alone()

    def room(self) -> None:
        """A client's queue has emptied enough; go on when all have."""
        if self._reading or any(not client.queue.roomy for client in self._clients):
            return
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._resume()

    async def write(self, data: bytes) -> None:
        """Write to the container's stdin; BrokenPipeError when there is nobody to read it."""
        view = memoryview(data)
        async with self._turn:
            while view:
                if self._socket is None or self._stdin_closed:
                    raise BrokenPipeError("the process's stdin is closed")
                try:
                    sent = self._socket.send(view[:_WRITE])
                except BlockingIOError:
                    await self._writable(self._socket)
                    continue
                except ConnectionError as error:
                    raise BrokenPipeError("the process's stdin is closed") from error
                view = view[sent:]

    async def _writable(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(connection.fileno(), children.settle, ready)
        self._blocked = ready
        try:
            await ready
        finally:
            self._blocked = None
            if connection.fileno() >= 0:
                loop.remove_writer(connection.fileno())

    async def close_stdin(self) -> None:
        """End the container's stdin, where it ends with its first writer and is no terminal (as Docker)."""
        if not self._stdin_once or self._tty:
            return
        async with self._turn:
            if self._socket is not None and not self._stdin_closed:
                self._stdin_closed = True
                try:
                    self._socket.shutdown(socket.SHUT_WR)
                except OSError:
                    # The container has ended.
                    return

    def leave(self, client: AttachedClient) -> None:
        client.queue.discard()
        if client in self._clients:
            self._clients.remove(client)
            self.room()
            self._leave_if_alone()

    def _leave_if_alone(self) -> None:
        """Without clients there is nothing to drain. Where stdin ends with its first writer, leaving would end it."""
        if not self._clients and not self._stdin_once:
            self._disconnect()

    def end(self) -> None:
        """The container has ended, or we let go of it: all clients read to the end of what is queued."""
        self._disconnect()
        self._ended = True
        for client in self._clients:
            client.queue.end()
        self._clients.clear()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._pause()
            asyncio.get_running_loop().remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._blocked is not None:
            children.settle(self._blocked)
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class AttachedClient:
    """One reader, and perhaps writer, of a container's streams: a :class:`labdock.runtime.Attachment`."""

    def __init__(self, hub: AttachHub, *, stdin: bool, stdout: bool, stderr: bool) -> None:
        self._hub = hub
        self._stdin = stdin
        self._wanted: dict[Stream, bool] = {"stdout": stdout, "stderr": stderr}
        self.queue = queue.OutputQueue(hub.room)

    def wants(self, stream: Stream) -> bool:
        return self._wanted[stream]

    async def read(self) -> tuple[Stream, bytes] | None:
        return await self.queue.get()

    async def write(self, data: bytes) -> None:
        if not self._stdin:
            raise BrokenPipeError("not attached to the process's stdin")
        await self._hub.write(data)

    async def close_stdin(self) -> None:
        if self._stdin:
            await self._hub.close_stdin()

    async def close(self) -> None:
        self._hub.leave(self)
        await self.close_stdin()
