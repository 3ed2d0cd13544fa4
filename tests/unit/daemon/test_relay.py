"""Relaying between two sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket

import pytest

from labdock.daemon.relay import Pipes, relay, reset


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def count_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_bytes_arrive_whole_both_ways_and_each_direction_ends_for_itself() -> None:
    data = os.urandom(1 << 20) * 24
    before = count_fds()

    async def main() -> None:
        client, left = tcp_pair()
        right, server = tcp_pair()
        pipes = Pipes()
        moved = asyncio.create_task(relay(left, right, pipes))

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
        pipes.close()
        client.close()
        server.close()

    asyncio.run(main())
    assert count_fds() == before


def test_a_reader_that_stalls_stops_the_sender_and_loses_nothing() -> None:
    async def main() -> None:
        client, left = tcp_pair()
        right, server = tcp_pair()
        pipes = Pipes()
        moved = asyncio.create_task(relay(left, right, pipes))
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
        pipes.close()

    asyncio.run(main())


def test_a_reset_passes_through() -> None:
    async def main() -> None:
        client, left = tcp_pair()
        right, server = tcp_pair()
        pipes = Pipes()
        moved = asyncio.create_task(relay(left, right, pipes))
        client.sendall(b"hello")
        assert await asyncio.to_thread(server.recv, 5) == b"hello"
        reset(server)
        server.close()
        await asyncio.wait_for(moved, 5)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        client.close()
        pipes.close()

    asyncio.run(main())


def test_cancelling_closes_both() -> None:
    before = count_fds()

    async def main() -> None:
        client, left = tcp_pair()
        right, server = tcp_pair()
        pipes = Pipes()
        moved = asyncio.create_task(relay(left, right, pipes))
        await asyncio.sleep(0)
        moved.cancel()
        with pytest.raises(asyncio.CancelledError):
            await moved
        assert client.recv(1) == server.recv(1) == b""
        client.close()
        server.close()
        pipes.close()

    asyncio.run(main())
    assert count_fds() == before


def test_idle_connections_hold_no_pipe() -> None:
    async def main() -> None:
        pipes = Pipes(keep=2)
        pairs = [(tcp_pair(), tcp_pair()) for _ in range(50)]
        before = count_fds()
        tasks = [asyncio.create_task(relay(a[1], b[0], pipes)) for a, b in pairs]
        for a, _ in pairs:
            a[0].sendall(b"ping")
        for _, b in pairs:
            assert await asyncio.to_thread(b[1].recv, 4) == b"ping"
        assert count_fds() <= before + 2 * 2
        for a, b in pairs:
            a[0].close()
            b[1].close()
        await asyncio.gather(*tasks)
        pipes.close()

    asyncio.run(main())
