"""Compose: eight services up, up again when nothing has changed, and down.

In the table ``labdock`` is ``labdock compose``; ``1.29`` is docker-compose 1.29 on the same engine, and ``1.29 docker``
docker-compose 1.29 on rootless docker, where that runs.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.archive import IMAGE
from tests.bench.engines import Engine
from tests.bench.measures import Series
from tests.bench.report import OURS, Row

SERVICES = 8
OLD, OLD_ELSEWHERE = "1.29", "1.29 docker"
#: (title, the highest ratio to docker-compose on the same engine that is good enough, the command's words)
STEPS = (
    (f"compose up, {SERVICES} services", 0.6, ("up", "-d")),
    (f"compose up again, {SERVICES} services", 0.8, ("up", "-d")),
    (f"compose down, {SERVICES} services", 0.6, ("down",)),
)
DEADLINE = 120


def measure(engines: Sequence[Engine], *, rounds: int, warmup: int, home: Path, notes: list[str]) -> list[Row]:
    """The rows; nothing without labdock. What can't be measured is among *notes*."""
    ours = next((engine for engine in engines if engine.name == OURS), None)
    if ours is None:
        return []
    contenders = {OURS: ([*ours.command, "compose"], ours)}
    if old := shutil.which("docker-compose"):
        contenders[OLD] = ([old], ours)
        elsewhere = [engine for engine in engines if engine.name == "docker"]
        contenders.update((OLD_ELSEWHERE, ([old], engine)) for engine in elsewhere)
    else:
        notes.append("compose: there is no docker-compose to measure beside")
    folder = home / "bench-compose"
    folder.mkdir(exist_ok=True)
    (folder / "docker-compose.yml").write_text(_file())
    times: dict[str, list[list[float]]] = {name: [[] for _ in STEPS] for name in contenders}
    for round_ in range(-warmup, rounds):
        names = list(contenders)
        turn = round_ % len(names)
        for name in names[turn:] + names[:turn]:
            try:
                taken = _round(*contenders[name], folder)
            except (subprocess.SubprocessError, OSError) as error:
                said = getattr(error, "stderr", b"") or b""
                notes.append(f"compose, {name}: {said.decode(errors='replace').strip()[-200:] or error}")
                del contenders[name], times[name]
                continue
            for all_, one in zip(times[name], taken if round_ >= 0 else (), strict=False):
                all_.append(one)
    series = [{name: Series(tuple(all_[step])) for name, all_ in times.items()} for step in range(len(STEPS))]
    return [Row(title, goal, found, (OLD,)) for (title, goal, _), found in zip(STEPS, series, strict=True)]


def _round(command: list[str], engine: Engine, folder: Path) -> list[float]:
    """The seconds of each step, in which the project comes and goes. Raises SubprocessError."""
    environment = engine.environment | {"DOCKER_HOST": f"unix://{engine.socket}", "COMPOSE_PROJECT_NAME": "bench"}
    taken = []
    for _, _, words in STEPS:
        begun = time.perf_counter()
        subprocess.run(
            [*command, *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
            check=True,
        )
        taken.append(time.perf_counter() - begun)
    return taken


def _file() -> str:
    """Half of the services wait for one of the other half."""
    lines = ['version: "3.7"', "services:"]
    for number in range(SERVICES):
        lines += [f"  s{number}:", f"    image: {IMAGE}", "    command: [/bin/busybox, sleep, '600']"]
        lines += ["    stop_signal: SIGKILL"]
        lines += [f"    depends_on: [s{number - SERVICES // 2}]"] if number >= SERVICES // 2 else []
    return "\n".join(lines) + "\n"
