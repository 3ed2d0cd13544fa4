"""Networks of one's own: starting on one, published ports, names; the same programs and clients for every engine."""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import docker
from docker.models.containers import Container

from tests.bench.archive import IMAGE
from tests.bench.engines import Engine
from tests.bench.measures import Series, interleave

NETWORK = "bench-names"
MIB = 256
CLIENTS, REQUESTS = 8, 400
LOOK_UPS = 1000
#: A container that is told from all other processes of the machine by its arguments.
_ASLEEP = 86_399
#: Serves MIB of zeros to each connection; answers a request with one line.
_BUSYBOX = "/bin/busybox"
_STREAM = [_BUSYBOX, "nc", "-ll", "-p", "8000", "-e", _BUSYBOX, "dd", "if=/dev/zero", "bs=1048576", f"count={MIB}"]
_HTTP = [_BUSYBOX, "sh", "-c", f"echo hello >/index.html; exec {_BUSYBOX} httpd -f -p 8001 -h /"]


class Town:
    """The containers of one engine."""

    def __init__(self, engine: Engine, number: int) -> None:
        self.engine = engine
        self.asleep = str(_ASLEEP - number)
        self.client = engine.client()
        self._made: list[Container] = []

    def settle(self) -> None:
        """Make the network, two servers with published ports, one that is looked up and one that asks."""
        self.network = self.client.networks.create(NETWORK)
        self.stream = self._run("stream", _STREAM, {"8000/tcp": ("127.0.0.1", None)})
        self.http = self._run("http", _HTTP, {"8001/tcp": ("127.0.0.1", None)})
        self._run("asker", [_BUSYBOX, "sleep", self.asleep], {})

    def _run(self, name: str, command: list[str], ports: dict[str, tuple[str, None]]) -> int:
        container = self.client.containers.create(
            IMAGE, command, name=f"bench-{name}", network=NETWORK, ports=ports, stop_signal="SIGKILL"
        )
        self._made.append(container)
        container.start()
        container.reload()
        found = [b for bindings in container.ports.values() for b in bindings or ()]
        return int(found[0]["HostPort"]) if found else 0

    def leave(self) -> None:
        for container in self._made:
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True)
        with contextlib.suppress(docker.errors.APIError):
            self.network.remove()
        self.client.close()

    def inside(self, script: str, *arguments: str) -> str:
        """What *script* (Python) prints in the asker's network namespace, without being one of its processes."""
        pid = self._find()
        command = ["nsenter", "-t", str(pid), "-U", "-n", "--preserve-credentials", sys.executable, "-c", script]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, check=True)
        return done.stdout

    def nameserver(self) -> str:
        _, said = self._made[-1].exec_run([_BUSYBOX, "cat", "/etc/resolv.conf"])
        words: list[str] = said.decode().split()
        return words[words.index("nameserver") + 1]

    def _find(self) -> int:
        words = f"{_BUSYBOX}\0sleep\0{self.asleep}\0".encode()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if path.read_bytes() == words:
                    return int(path.parent.name)
        raise LookupError(f"no process sleeps for {self.asleep}")


@contextlib.contextmanager
def settled(engines: Sequence[Engine]) -> Iterator[dict[str, Town]]:
    """A town for each engine; they are all taken down in the end."""
    with contextlib.ExitStack() as stack:
        towns = {}
        for number, engine in enumerate(engines):
            town = Town(engine, number)
            stack.callback(town.leave)
            town.settle()
            towns[engine.name] = town
        yield towns


def measure_start(towns: dict[str, Town], *, rounds: int, warmup: int) -> dict[str, Series]:
    """create + start + wait + remove of ``true`` on a network of one's own."""

    def action(client: docker.DockerClient) -> Callable[[], None]:
        def run() -> None:
            container = client.containers.create(IMAGE, ["true"], network=NETWORK)
            container.start()
            status = container.wait()["StatusCode"]
            container.remove()
            if status != 0:
                raise RuntimeError(f"the container ended with {status}")

        return run

    return interleave({name: action(town.client) for name, town in towns.items()}, rounds=rounds, warmup=warmup)


def measure_download(towns: dict[str, Town], *, rounds: int) -> dict[str, Series]:
    """MIB from a container by its published port."""

    def action(port: int) -> Callable[[], None]:
        def run() -> None:
            buffer = bytearray(1 << 20)
            total = 0
            with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
                while count := sock.recv_into(buffer):
                    total += count
            if total != MIB << 20:
                raise RuntimeError(f"{total} bytes came of {MIB << 20}")

        return run

    return interleave({name: action(town.stream) for name, town in towns.items()}, rounds=rounds, warmup=1)


def measure_connections(towns: dict[str, Town], *, rounds: int) -> dict[str, Series]:
    """REQUESTS requests of CLIENTS clients, each with a connection of its own."""

    def action(port: int) -> Callable[[], None]:
        def client(failures: list[str]) -> None:
            for _ in range(REQUESTS // CLIENTS):
                with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
                    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    answer = b""
                    while piece := sock.recv(4096):
                        answer += piece
                if not answer.endswith(b"hello\n"):
                    failures.append(repr(answer[-100:]))

        def run() -> None:
            failures: list[str] = []
            threads = [threading.Thread(target=client, args=(failures,)) for _ in range(CLIENTS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if failures:
                raise RuntimeError(f"{len(failures)} wrong answers: {failures[0]}")

        return run

    return interleave({name: action(town.http) for name, town in towns.items()}, rounds=rounds, warmup=1)


#: Prints the seconds of one look-up after the other. Arguments: server, name, how many.
_LOOK_UP = """
import socket, sys, time
server, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
question = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\\0\\0\\1\\0\\1"
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(5)
sock.connect((server, 53))
for number in range(count):
    query = number.to_bytes(2, "big") + b"\\1\\0\\0\\1" + bytes(6) + question
    begun = time.perf_counter()
    sock.send(query)
    answer = sock.recv(4096)
    taken = time.perf_counter() - begun
    assert answer[:2] == query[:2] and answer[3] & 15 == 0 and answer[6:8] != bytes(2), answer
    print(taken)
"""


def measure_names(towns: dict[str, Town], *, rounds: int) -> dict[str, Series]:
    """One look-up of a container's name from another: the medians of *rounds* times LOOK_UPS."""
    times: dict[str, list[float]] = {name: [] for name in towns}
    servers = {name: town.nameserver() for name, town in towns.items()}
    for _ in range(rounds):
        for name, town in towns.items():
            said = town.inside(_LOOK_UP, servers[name], "bench-http", str(LOOK_UPS))
            times[name].append(statistics.median(map(float, said.split())))
    return {name: Series(tuple(all_)) for name, all_ in times.items()}


#: Asks with *window* questions under way until *seconds* are over; prints questions, answers, seconds.
_FLOOD = """
import select, socket, sys, time
server, seconds, window = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
question = b"\\x0abench-http\\0\\0\\1\\0\\1"
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(5)
sock.connect((server, 53))
sent = answered = 0
begun = time.perf_counter()
open_ = set()
while time.perf_counter() - begun < seconds:
    while len(open_) < window:
        number = sent & 65535
        sock.send(number.to_bytes(2, "big") + b"\\1\\0\\0\\1" + bytes(6) + question)
        open_.add(number)
        sent += 1
    open_.discard(int.from_bytes(sock.recv(4096)[:2], "big"))
    answered += 1
try:
    while open_:
        open_.discard(int.from_bytes(sock.recv(4096)[:2], "big"))
        answered += 1
except TimeoutError:
    pass
print(sent, answered, time.perf_counter() - begun)
"""


def flood(town: Town, *, seconds: float = 3.0, window: int = 64) -> tuple[float, int]:
    """Look-ups per second with *window* of them under way at a time, and how many were lost."""
    sent, answered, taken = town.inside(_FLOOD, town.nameserver(), str(seconds), str(window)).split()
    return int(answered) / float(taken), int(sent) - int(answered)


#: How many containers have names while one is looked up.
CROWD = int(os.environ.get("LABDOCK_BENCH_CROWD", "0"))


def measure_crowd(town: Town, count: int = CROWD) -> str:
    """What names cost with *count* more containers on the network, in words."""
    begun = time.perf_counter()
    found = [town.client.containers.create(IMAGE, [_BUSYBOX, "sleep", "600"], network=NETWORK) for _ in range(count)]
    for container in found:
        container.start()
    started = time.perf_counter() - begun
    said = town.inside(_LOOK_UP, town.nameserver(), "bench-http", str(LOOK_UPS))
    middle = statistics.median(map(float, said.split()))
    for container in found:
        container.remove(force=True)
    return f"with {count} more containers (started in {started:.1f} s) a look-up takes {middle * 1e6:.0f} µs"
