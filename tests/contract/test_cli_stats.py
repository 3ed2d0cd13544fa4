"""``stats``: the same columns as docker's, and a live table that asks once for each container."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .clients import Docker, Terminal

LABDOCK = [sys.executable, "-c", "from labdock.cli import main; main()"]


class Counter:
    """A socket before the engine's: ``seen`` has the first line of every request."""

    def __init__(self, path: Path, engine: Path) -> None:
        self.seen: list[str] = []
        self._engine = engine
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(str(self._engine))
            self._open += [client, engine]
            for source, target in ((client, engine), (engine, client)):
                threading.Thread(target=self._carry, args=(source, target, source is client), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        try:
            while data := source.recv(65536):
                if counts:
                    self.seen += re.findall(r"(?:GET|POST|DELETE) (\S+) HTTP", data.decode("latin-1"))
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        self._listener.close()
        for connection in self._open:
            connection.close()


@pytest.fixture
def counter(docker: Docker) -> Iterator[Counter]:
    folder = Path(tempfile.mkdtemp(prefix="ldc", dir="/tmp"))
    engine = Path(docker.environment["DOCKER_HOST"].removeprefix("unix://"))
    docker.environment["DOCKER_HOST"] = f"unix://{folder}/s"
    found = Counter(folder / "s", engine)
    yield found
    found.close()
    (folder / "s").unlink()
    folder.rmdir()


def test_the_live_table_follows_containers_and_asks_once_for_each(docker: Docker, counter: Counter) -> None:
    ids = {name: docker.ok("run", "-d", "--name", name, "busybox", "sleep", "1000").strip() for name in ("one", "two")}
    columns = docker.ok("stats", "--no-stream").splitlines()[0].split()
    counter.seen.clear()
    with Terminal([*LABDOCK, "stats"], docker.environment, 24, 140) as live:
        live.expect(r"\s+".join(map(re.escape, columns)))
        live.expect(r"one .*\d\.\d\d% .*iB / ")
        ids["three"] = docker.ok("run", "-d", "--name", "three", "busybox", "sleep", "1000").strip()
        live.expect(r"three .*iB / ")
        docker.ok("rm", "-f", "two")
        live.expect(r"\x1b\[H(?:(?!\x1b\[H)(?!two)[\s\S])*three(?:(?!two)[\s\S])*\x1b\[J")
        # Three tables more: nothing is asked for them.
        for _ in range(3):
            live.expect(r"\x1b\[H")
        live.send("\x03")
        assert live.wait() == 130
    asked = [each for each in counter.seen if "/stats" in each and "/v1." not in each]
    assert sorted(asked) == sorted(f"/containers/{id}/stats" for id in ids.values())
    assert sum(each.startswith("/events") for each in counter.seen) == 1
    assert sum(each.startswith("/containers/json") for each in counter.seen) == 1


def test_all_and_names_and_formats_as_docker_has_them(docker: Docker) -> None:
    docker.ok("run", "-d", "--name", "one", "busybox", "sleep", "1000")
    docker.ok("create", "--name", "idle", "busybox")
    for words in (
        ("-a", "--format", "{{.Name}} {{.ID}} {{.PIDs}}"),
        ("--format", "{{.Container}} {{.Name}}", "one"),
        ("--no-trunc", "--format", "table {{.ID}}\t{{.MemUsage}}", "idle"),
    ):
        theirs = docker.ok("stats", "--no-stream", *words)
        command = [*LABDOCK, "stats", *words]
        ours = subprocess.run([*command, "--no-stream"], env=docker.environment, capture_output=True, text=True)
        assert (ours.returncode, sorted(ours.stdout.splitlines())) == (0, sorted(theirs.splitlines()))
        with Terminal(command, docker.environment, 24, 200) as live:
            live.expect(r"\x1b\[H(?:" + "|".join(re.escape(line) for line in theirs.splitlines()) + r")\x1b\[K")
            live.send("\x03")
            assert live.wait() == 130
