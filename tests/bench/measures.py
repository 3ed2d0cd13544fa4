"""What is measured. Every measure is taken from all engines in turn, round by round, so that they share the weather."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import docker

from tests.bench import processes
from tests.bench.archive import IMAGE
from tests.bench.engines import Engine


@dataclass(frozen=True, slots=True)
class Series:
    """The times of one measure on one engine, in seconds."""

    times: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def interleave(
    actions: dict[str, Callable[[], None]],
    *,
    rounds: int,
    warmup: int,
    before: Callable[[str], None] | None = None,
    after: Callable[[str], None] | None = None,
) -> dict[str, Series]:
    """Time each action *rounds* times after *warmup* untimed rounds; who goes first changes from round to round.

    *before* and *after* are called around each action with its name, untimed.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for round_ in range(-warmup, rounds):
        turn = round_ % len(names)
        for name in names[turn:] + names[:turn]:
            if before is not None:
                before(name)
            begun = time.perf_counter()
            actions[name]()
            taken = time.perf_counter() - begun
            if after is not None:
                after(name)
            if round_ >= 0:
                times[name].append(taken)
    return {name: Series(tuple(all_)) for name, all_ in times.items()}


def measure_run(engines: Sequence[Engine], *, rounds: int, warmup: int) -> dict[str, Series]:
    """create + start + wait + remove of ``true`` on the default network, through docker-py."""
    clients = {engine.name: engine.client() for engine in engines}

    def action(client: docker.DockerClient) -> Callable[[], None]:
        def run() -> None:
            container = client.containers.create(IMAGE, ["true"])
            container.start()
            status = container.wait()["StatusCode"]
            container.remove()
            _expect(status)

        return run

    try:
        return interleave({n: action(c) for n, c in clients.items()}, rounds=rounds, warmup=warmup)
    finally:
        for client in clients.values():
            client.close()


def measure_exec(engines: Sequence[Engine], *, rounds: int, warmup: int) -> dict[str, Series]:
    """An exec of ``true`` in a running container, its exit code read, through docker-py."""
    clients = {engine.name: engine.client() for engine in engines}
    containers = []

    def action(client: docker.DockerClient) -> Callable[[], None]:
        container = client.containers.run(IMAGE, ["sleep", "3600"], detach=True)
        containers.append(container)
        return lambda: _expect(container.exec_run(["true"]).exit_code)

    try:
        return interleave({n: action(c) for n, c in clients.items()}, rounds=rounds, warmup=warmup)
    finally:
        for container in containers:
            container.remove(force=True)
        for client in clients.values():
            client.close()


def measure_command(engines: Sequence[Engine], *, rounds: int, warmup: int) -> dict[str, Series]:
    """``run --rm IMAGE true`` by each engine's own command line, from a shell's view: process start to exit."""

    def action(engine: Engine) -> Callable[[], None]:
        command = [*engine.command, "run", "--rm", IMAGE, "true"]

        def run() -> None:
            done = subprocess.run(command, env=engine.environment, capture_output=True, timeout=60, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")

        return run

    return interleave({e.name: action(e) for e in engines}, rounds=rounds, warmup=warmup)


def measure_memory(engines: Sequence[Engine]) -> dict[str, list[processes.Usage]]:
    """The PSS of each engine's processes, nothing running in it."""
    return {engine.name: processes.usage(engine.pid) for engine in engines}


def _expect(status: int | None) -> None:
    if status != 0:
        raise RuntimeError(f"`true` ended with {status}")
