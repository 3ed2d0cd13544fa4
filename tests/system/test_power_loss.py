"""Power that goes away: the data folder as it was at any instant of busy work, started by another engine."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import docker
import docker.errors
import pytest

from tests import stores
from tests.system.conftest import EngineUnderTest, short_folder

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

#: How many instants; more of them when somebody has the time.
INSTANTS = int(os.environ.get("LABDOCK_TEST_INSTANTS", "4"))


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect docker-py's sockets where their warnings are expected."""
    yield
    gc.collect()


@dataclass(slots=True)
class Known:
    """What an engine has answered: these containers are there (name → exit code, None: not started), those are gone.

    *kept* and *dropped*: the same of networks and of images that commits made ("network NAME", "image NAME:TAG").
    """

    there: dict[str, int | None] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)

    def copy(self) -> Known:
        return Known(dict(self.there), set(self.gone), set(self.kept), set(self.dropped))


class Work:
    """Makes, runs, commits and removes containers, volumes, networks and tags until told to stop; knows the answers."""

    def __init__(self, client: docker.DockerClient, name: str) -> None:
        self._client = client
        self._name = name
        self._over = threading.Event()
        self.known = Known()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            number = 0
            while not self._over.is_set():
                number += 1
                self._turn(f"{self._name}-{number}", number)
        except BaseException as error:
            self.failure = error

    def _turn(self, name: str, number: int) -> None:
        client, known = self._client, self.known
        volumes = {f"v-{name}": {"bind": "/data"}}
        script = f"echo {name} > /data/name; echo {name} > /name; echo {name}; exit {number % 5}"
        client.networks.create(f"n-{name}")
        known.kept.add(f"network n-{name}")
        container = client.containers.create(
            "busybox", ["sh", "-c", script], name=name, volumes=volumes, network=f"n-{name}"
        )
        known.there[name] = None
        client.images.get("busybox").tag("work", name)
        container.start()
        known.there[name] = container.wait()["StatusCode"]
        container.commit("kept", name)
        known.kept.add(f"image kept:{name}")
        if number % 6:
            del known.there[name]
            container.remove(v=True)
            known.gone.add(name)
            client.volumes.get(f"v-{name}").remove()
            client.images.remove(f"work:{name}")
            known.kept -= {f"image kept:{name}", f"network n-{name}"}
            client.images.remove(f"kept:{name}")
            client.networks.get(f"n-{name}").remove()
            known.dropped |= {f"image kept:{name}", f"network n-{name}"}


def take_copy(engine: EngineUnderTest, works: list[Work]) -> tuple[EngineUnderTest, Known]:
    """The store as it is now, in a folder of its own, and what was answered until now."""
    pid = engine.pid("engine")
    target = EngineUnderTest(short_folder())
    os.kill(pid, signal.SIGSTOP)
    try:
        known = Known()
        for work in works:
            now = work.known.copy()
            known.there |= now.there
            known.gone |= now.gone
            known.kept |= now.kept
            known.dropped |= now.dropped
        stores.copy(engine.data, target.data)
    finally:
        os.kill(pid, signal.SIGCONT)
    return target, known


def check(copied: EngineUnderTest, known: Known | None) -> None:
    """The copy starts, knows what was answered (*known*; None: its last moments may be lost), and can be used up."""
    client = copied.client()
    client.ping()
    found = {container.name: container for container in client.containers.list(all=True)}
    assert {container.status for container in found.values()} <= {"created", "exited", *(() if known else ("dead",))}
    if known is not None:
        assert known.there.keys() <= found.keys()
        assert not known.gone & found.keys()
        for name, code in known.there.items():
            if code is not None:
                assert found[name].attrs["State"]["ExitCode"] == code
                assert found[name].logs() == f"{name}\n".encode()
        check_kept(client, known)
    for name, container in found.items():
        started = container.attrs["State"]["StartedAt"]
        try:
            container.start()
        except docker.errors.APIError as error:
            # A layer that a power cut took is told as what it is.
            assert known is None, error
            assert "power" in str(error), error
        else:
            assert container.wait()["StatusCode"] == int(name.rpartition("-")[2]) % 5, started
        container.remove(v=True)
    for volume in client.volumes.list():
        volume.remove()
    client.networks.prune()
    assert {network.name for network in client.networks.list()} == {"bridge", "host", "none"}
    for image in client.images.list():
        client.images.remove(image.id, force=True)
    assert client.df()["LayersSize"] == 0
    client.close()


def check_kept(client: docker.DockerClient, known: Known) -> None:
    """Networks and the images of commits are there as answered, and an image is whole."""
    present = {f"network {network.name}" for network in client.networks.list()}
    present |= {f"image {tag}" for image in client.images.list() for tag in image.tags}
    assert known.kept <= present
    assert not known.dropped & present
    for image in sorted(present):
        if image.startswith("image kept:"):
            name = image.rpartition(":")[2]
            said = client.containers.run(f"kept:{name}", ["cat", "/name"], remove=True)
            assert said == f"{name}\n".encode()


def check_empty(data: Path) -> None:
    """Nothing is left in a store whose engine has removed everything and was stopped."""
    assert os.listdir(data / "containers") == []
    assert [name for name in os.listdir(data / "volumes") if not name.startswith(".")] == []
    with contextlib.closing(sqlite3.connect(f"file:{data}/snapshots/overlay/ledger.db?mode=ro", uri=True)) as ledger:
        assert ledger.execute("SELECT key FROM snapshots").fetchall() == []


@pytest.mark.limit(60 + 60 * INSTANTS)
def test_the_store_of_any_instant_starts_and_knows_all_that_was_answered(engine: EngineUnderTest) -> None:
    numbers = random.Random(2)
    client = engine.client()
    client.images.pull("busybox")
    workers = [engine.client(), engine.client()]
    works = [Work(worker, name) for worker, name in zip(workers, ("a", "b"), strict=True)]
    copies = []
    for _ in range(INSTANTS):
        time.sleep(numbers.uniform(0.05, 0.5))
        copies.append(take_copy(engine, works))
    for work in works:
        work.stop()
    for opened in (client, *workers):
        opened.close()
    for number, (copied, known) in enumerate(copies):
        lossy = number % 2 == 1
        if lossy:
            cut_logs(copied.data, numbers)
        copied.start()
        copied.stop()
        copied.start()
        check(copied, None if lossy else known)
        copied.stop()
        check_empty(copied.data)
        stores.remove(copied.root)


def cut_logs(data: Path, numbers: random.Random) -> None:
    """What a power cut does to databases that are not synced at every commit: the ends of their logs are not there."""
    for log in sorted(data.rglob("*-wal")):
        os.truncate(log, int(log.stat().st_size * numbers.random()))
