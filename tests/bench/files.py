"""Files in and out of a container: 100 MiB in one file, and 10,000 small ones; through docker-py on all engines."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import docker
from docker.models.containers import Container

from tests.bench.archive import IMAGE
from tests.bench.engines import Engine
from tests.bench.measures import Series, interleave

SIZE = 100 << 20
COUNT = 10_000
Actions = dict[str, Callable[[], None]]


def make_archives() -> tuple[bytes, bytes]:
    """One tar with a file of 100 MiB, one with 10,000 files of 1 KB in 100 folders."""
    return _tar({"big": os.urandom(SIZE)}), _tar({f"many/{i % 100}/{i}": b"x" * 1000 for i in range(COUNT)})


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@contextmanager
def _containers(engines: Sequence[Engine]) -> Iterator[dict[str, Container]]:
    """On each engine one container that runs, with its client."""
    with ExitStack() as stack:
        found = {}
        for engine in engines:
            client: docker.DockerClient = engine.client()
            stack.callback(client.close)
            container = client.containers.run(IMAGE, ["sleep", "3600"], detach=True)
            stack.callback(container.remove, force=True)
            found[engine.name] = container
        yield found


def measure(engines: Sequence[Engine], *, rounds: int) -> dict[str, dict[str, Series]]:
    """What is measured → engine → its times."""
    big, many = make_archives()

    def time(actions: Actions) -> dict[str, Series]:
        return interleave(actions, rounds=rounds, warmup=1)

    with _containers(engines) as containers:
        rows = {
            "put of a file of 100 MiB": time(_puts(containers, big)),
            "put of 10,000 files": time(_puts(containers, many)),
            "get of a file of 100 MiB": time(_gets(containers, "/tmp/big")),
            "get of 10,000 files": time(_gets(containers, "/tmp/many")),
            "export of both": time(_exports(containers)),
            "diff of both": time(_diffs(containers)),
            "commit of both": time(_commits(containers)),
        }
        for container in containers.values():
            for image in container.client.images.list("benched"):
                container.client.images.remove(image.id, force=True)
        return rows


def _puts(containers: dict[str, Container], tar: bytes) -> Actions:
    def action(container: Container) -> Callable[[], None]:
        def run() -> None:
            if not container.put_archive("/tmp", tar):
                raise RuntimeError("the archive was not taken")

        return run

    return {name: action(container) for name, container in containers.items()}


def _drain(pieces: Iterator[bytes], least: int) -> None:
    size = sum(map(len, pieces))
    if size < least:
        raise RuntimeError(f"{size} bytes came, not {least}")


def _gets(containers: dict[str, Container], path: str) -> Actions:
    def action(container: Container) -> Callable[[], None]:
        return lambda: _drain(container.get_archive(path, chunk_size=None)[0], COUNT * 1000)

    return {name: action(container) for name, container in containers.items()}


def _exports(containers: dict[str, Container]) -> Actions:
    def action(container: Container) -> Callable[[], None]:
        return lambda: _drain(container.export(chunk_size=None), SIZE)

    return {name: action(container) for name, container in containers.items()}


def _diffs(containers: dict[str, Container]) -> Actions:
    def action(container: Container) -> Callable[[], None]:
        def run() -> None:
            if len(container.diff()) < COUNT:
                raise RuntimeError("the diff is too short")

        return run

    return {name: action(container) for name, container in containers.items()}


def _commits(containers: dict[str, Container]) -> Actions:
    def action(container: Container) -> Callable[[], None]:
        def run() -> None:
            container.commit("benched", "latest", pause=False)

        return run

    return {name: action(container) for name, container in containers.items()}
