"""Many at once: forty containers by eight clients, two hundred in a list, two hundred thousand lines in a log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import docker

from tests.bench import processes
from tests.bench.archive import IMAGE
from tests.bench.engines import Engine
from tests.bench.measures import Series, interleave

CLIENTS, EACH = 8, 5
LISTED = 200
LINES, LINE = 200_000, "the quick brown fox jumps over the lazy dog 0123456789"
IDLE = 20
#: What a container itself takes, its program and its monitor: not the engine's memory.
_OF_CONTAINERS = frozenset(
    {"sleep", "conmon", "containerd-shim", "containerd-shim-runc-v2", "docker-init", "catatonit"}
)


@contextlib.contextmanager
def _clients(engines: Sequence[Engine]) -> Iterator[dict[str, docker.DockerClient]]:
    with contextlib.ExitStack() as stack:
        found = {}
        for engine in engines:
            found[engine.name] = engine.client()
            stack.callback(found[engine.name].close)
        yield found


def measure_crowd(engines: Sequence[Engine], *, rounds: int) -> dict[str, Series]:
    """Eight clients, each with its own connection, run five containers to their removal one after the other."""

    def action(engine: Engine) -> Callable[[], None]:
        def client_work(client: docker.DockerClient) -> None:
            for _ in range(EACH):
                container = client.containers.create(IMAGE, ["true"])
                container.start()
                status = container.wait()["StatusCode"]
                container.remove()
                if status != 0:
                    raise RuntimeError(f"`true` ended with {status}")

        def run() -> None:
            for _ in pool.map(client_work, clients[engine.name]):
                pass

        return run

    with ThreadPoolExecutor(CLIENTS) as pool, contextlib.ExitStack() as stack:
        clients: dict[str, list[docker.DockerClient]] = {}
        for engine in engines:
            clients[engine.name] = [engine.client() for _ in range(CLIENTS)]
            for client in clients[engine.name]:
                stack.callback(client.close)
                client.ping()
        return interleave({engine.name: action(engine) for engine in engines}, rounds=rounds, warmup=0)


def measure_listing(engines: Sequence[Engine], *, rounds: int) -> dict[str, Series]:
    """``GET /containers/json?all=1`` of two hundred containers."""

    def action(client: docker.DockerClient) -> Callable[[], None]:
        def run() -> None:
            found = len(client.api.containers(all=True))
            if found < LISTED:
                raise RuntimeError(f"{found} containers are listed, not {LISTED}")

        return run

    made = []
    with _clients(engines) as clients:
        try:
            for client in clients.values():
                made += [client.containers.create(IMAGE, ["true"], labels={"bench": "list"}) for _ in range(LISTED)]
            return interleave({name: action(client) for name, client in clients.items()}, rounds=rounds, warmup=2)
        finally:
            for container in made:
                container.remove()


def measure_log(engines: Sequence[Engine], *, rounds: int) -> tuple[dict[str, Series], dict[str, Series]]:
    """A program writes 200,000 lines (from its start to its end), then a client reads them all."""
    command = ["sh", "-c", f"yes '{LINE}' | head -n {LINES}"]
    containers: dict[str, object] = {}

    def write(name: str, client: docker.DockerClient) -> Callable[[], None]:
        def run() -> None:
            container = containers[name] = client.containers.create(IMAGE, command)
            container.start()
            container.wait()

        return run

    def read(name: str) -> Callable[[], None]:
        def run() -> None:
            lines = containers[name].logs().count(b"\n")  # type: ignore[attr-defined]
            if lines != LINES:
                raise RuntimeError(f"{name}: the log has {lines} lines, not {LINES}")

        return run

    def forget(name: str) -> None:
        if (container := containers.pop(name, None)) is not None:
            container.remove()  # type: ignore[attr-defined]

    with _clients(engines) as clients:
        try:
            writes = {name: write(name, client) for name, client in clients.items()}
            written = interleave(writes, rounds=rounds, warmup=1, before=forget)
            reads = {name: read(name) for name in clients}
            return written, interleave(reads, rounds=rounds, warmup=1)
        finally:
            for name in list(containers):
                forget(name)


def measure_idle(engines: Sequence[Engine], settle: float) -> dict[str, float]:
    """MiB of PSS by which an engine itself grows for each container that sleeps in it."""
    grown = {}
    with _clients(engines) as clients:
        for engine in engines:
            client = clients[engine.name]
            before = _engine_memory(engine)
            containers = [client.containers.run(IMAGE, ["sleep", "3600"], detach=True) for _ in range(IDLE)]
            try:
                time.sleep(settle)
                grown[engine.name] = (_engine_memory(engine) - before) / IDLE / 1024
            finally:
                for container in containers:
                    container.remove(force=True)
    return grown


def _engine_memory(engine: Engine) -> int:
    return sum(usage.pss for usage in processes.usage(engine.pid) if usage.name not in _OF_CONTAINERS)
