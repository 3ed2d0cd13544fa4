"""Carrying streams: neither side can block the other."""

from __future__ import annotations

import os
import socket
import threading

from labdock.client.conversation import Input, converse
from labdock.client.http1 import Head
from labdock.client.streams import Attached
from labdock.client.transport import RawStream


def attach() -> tuple[Attached, socket.socket]:
    ours, theirs = socket.socketpair()
    return Attached(RawStream(ours, Head(101, "", {})), tty=True), theirs


def test_an_echo_of_more_than_any_buffer() -> None:
    attached, theirs = attach()
    data = os.urandom(5_000_000)

    def echo() -> None:
        with theirs:
            while part := theirs.recv(65536):
                theirs.sendall(part)

    thread = threading.Thread(target=echo)
    thread.start()
    found: list[bytes] = []
    with attached:
        converse(attached, lambda stream, part: found.append(part), Input(data))
    thread.join()
    assert b"".join(found) == data


def test_a_program_that_never_reads_ends_all_the_same() -> None:
    attached, theirs = attach()
    theirs.sendall(b"bye")
    threading.Timer(0.05, theirs.close).start()
    found: list[bytes] = []
    with attached:
        converse(attached, lambda stream, part: found.append(part), Input(bytes(5_000_000)))
    assert found == [b"bye"]


def test_a_descriptor_is_read_to_its_end_and_the_end_passed_on() -> None:
    attached, theirs = attach()
    read, write = os.pipe()
    os.write(write, b"typed")
    os.close(write)

    def answer() -> None:
        with theirs:
            got = b""
            while part := theirs.recv(100):
                got += part
            theirs.sendall(got.upper())

    thread = threading.Thread(target=answer)
    thread.start()
    found: list[bytes] = []
    with attached:
        converse(attached, lambda stream, part: found.append(part), Input(descriptor=read))
    thread.join()
    os.close(read)
    assert b"".join(found) == b"TYPED"


def test_what_came_with_the_head_is_not_lost_and_wakes_are_heard() -> None:
    ours, theirs = socket.socketpair()
    attached = Attached(RawStream(ours, Head(101, "", {}), b"early "), tty=True)
    read, write = os.pipe()
    os.write(write, b"\x02")
    heard: list[bytes] = []

    def wake(arrived: bytes) -> None:
        heard.append(arrived)
        theirs.sendall(b"late")
        theirs.close()

    found: list[bytes] = []
    with attached:
        converse(attached, lambda stream, part: found.append(part), None, (read, wake))
    os.close(read)
    os.close(write)
    assert b"".join(found) == b"early late"
    assert heard == [b"\x02"]
