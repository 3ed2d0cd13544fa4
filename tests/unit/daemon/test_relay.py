"""Relaying between two sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket

import pytest

from labdock.daemon.relay import Relay, Relays, reset


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def begin(left: socket.socket, right: socket.socket, relays: Relays) -> tuple[Relay, asyncio.Future[tuple[int, int]]]:
    """A relay that moves, and (when it has ended) what it moved."""
    moved: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
    for sock in (left, right):
        sock.setblocking(False)
    relay = Relay(left, right, relays, lambda ended: moved.set_result(ended.moved))
    relay.begin()
    return relay, moved


def count_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_bytes_arrive_whole_both_ways_and_each_direction_ends_for_itself() -> None:
    data = os.urandom(1 << 20) * 24
    before = count_fds()

    async def main() -> None:
        client, left = tcp_pair()
        right, server = tcp_pair()
        relays = Relays()
        moved = begin(left, right, relays)[1]

        def send(sock: socket.socket) -> None:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        def receive(sock: socket.socket) -> str:
            digest = hashlib.sha256()
            while block := sock.recv(1 << 16):
                digest.update(block)
            return digest.hexdigest()

        sending = asyncio.create_task(asyncio.to_thread(send, client))
        assert await asyncio.to_thread(receive, server) == hashlib.sha256(data).hexdigest()
        await sending
        # The client has ended its side; the way back is open still.
        assert not moved.done()
        answering = asyncio.create_task(asyncio.to_thread(send, server))
        assert await asyncio.to_thread(receive, client) == hashlib.sha256(data).hexdigest()
        await answering
        assert await asyncio.wait_for(moved, 5) == (len(data), len(data))
        relays.close()
        client.close()
        server.close()

    asyncio.run(main())
    assert count_fds() == before


def test_a_reader_that_stalls_stops_the_sender_and_loses_nothing() -> None:
    async def main() -> None:
        client, left = tcp_pair()
        right, server = tcp_pair()
        relays = Relays()
        moved = begin(left, right, relays)[1]
        client.settimeout(0.3)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while True:
                sent += await asyncio.to_thread(client.send, bytes(1 << 16))
                assert sent < 1 << 28, "nothing stops the sender"
        client.shutdown(socket.SHUT_WR)
        got = 0
        while block := await asyncio.to_thread(server.recv, 1 << 20):
            got += len(block)
        assert got == sent
        server.close()
        await asyncio.wait_for(moved, 5)
        client.close()
        relays.close()

    asyncio.run(main())


def test_a_reset_passes_through() -> None:
    async def main() -> None:
        client, left = tcp_pair()
        right, server = tcp_pair()
        relays = Relays()
        moved = begin(left, right, relays)[1]
        client.sendall(b"hello")
        assert await asyncio.to_thread(server.recv, 5) == b"hello"
        reset(server)
        server.close()
        await asyncio.wait_for(moved, 5)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        client.close()
        relays.close()

    asyncio.run(main())


def test_cutting_closes_both() -> None:
    before = count_fds()

    async def main() -> None:
        client, left = tcp_pair()
        right, server = tcp_pair()
        relays = Relays()
        relay, moved = begin(left, right, relays)
        await asyncio.sleep(0)
        relay.cut()
        relay.cut()
        assert await moved == (0, 0)
        assert client.recv(1) == server.recv(1) == b""
        client.close()
        server.close()
        relays.close()

    asyncio.run(main())
    assert count_fds() == before


def test_idle_connections_hold_no_pipe() -> None:
    async def main() -> None:
        relays = Relays(keep=2)
        pairs = [(tcp_pair(), tcp_pair()) for _ in range(50)]
        before = count_fds()
        all_moved = [begin(a[1], b[0], relays)[1] for a, b in pairs]
        for a, _ in pairs:
            a[0].sendall(b"ping")
        for _, b in pairs:
            assert await asyncio.to_thread(b[1].recv, 4) == b"ping"
        assert count_fds() <= before + 2 * 2
        for a, b in pairs:
            a[0].close()
            b[1].close()
        await asyncio.gather(*all_moved)
        relays.close()

    asyncio.run(main())
