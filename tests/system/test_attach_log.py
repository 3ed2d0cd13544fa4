"""``attach?logs=1``: the log and then what comes, as one stream without a seam, however long the log is."""

from __future__ import annotations

import socket

from tests.system.conftest import EngineUnderTest, wait_until

#: Counts up, in bursts, until it is told to stop.
COUNT = "i=0; until [ -e /stop ]; do i=$((i+1)); echo $i; [ $((i%1000)) = 0 ] && sleep 0.01; done; echo end"


def test_no_line_is_lost_or_repeated_between_the_log_and_what_comes(engine: EngineUnderTest) -> None:
    client = engine.client()
    client.images.pull("busybox")
    counting = client.containers.run("busybox", ["sh", "-c", COUNT], detach=True)
    wait_until(lambda: counting.logs().count(b"\n") > 5000, "a log to begin with")
    stream = counting.attach(logs=True, stream=True)
    seen = next(stream)
    counting.exec_run(["touch", "/stop"])
    lines = (seen + b"".join(stream)).split()
    assert lines[-1] == b"end"
    assert list(map(int, lines[:-1])) == list(range(1, len(lines)))
    # After the end: the same, from the log alone.
    assert counting.attach(logs=True, stream=False).split() == lines
    client.close()


def test_the_beginning_of_a_line_is_seen_and_answered(engine: EngineUnderTest) -> None:
    client = engine.client()
    client.images.pull("busybox")
    script = "printf 'name? '; read name; echo hello $name"
    asking = client.containers.create("busybox", ["sh", "-c", script], stdin_open=True)
    asking.start()
    wait_until(lambda: asking.logs() == b"name? ", "the question is in the log")
    raw = asking.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1, "logs": 1})
    connection: socket.socket = raw._sock
    connection.settimeout(20)
    assert receive(connection, b"name? ")
    connection.sendall(b"you\n")
    assert receive(connection, b"hello you\n")
    raw._response.close()
    raw.close()
    connection.close()
    assert asking.wait()["StatusCode"] == 0
    client.close()


def receive(connection: socket.socket, wanted: bytes) -> bool:
    """Read until *wanted* has come."""
    seen = b""
    while wanted not in seen:
        piece = connection.recv(4096)
        if not piece:
            return False
        seen += piece
    return True


def test_what_an_earlier_run_wrote_comes_before_the_next_one(engine: EngineUnderTest) -> None:
    engine.docker("pull", "-q", "busybox")
    engine.docker("create", "--name", "again", "busybox", "sh", "-c", "echo run")
    engine.docker("start", "-a", "again")
    client = engine.client()
    stream = client.api.attach("again", logs=True, stream=True)
    engine.docker("start", "again")
    assert b"".join(stream) == b"run\nrun\n"
    client.close()
