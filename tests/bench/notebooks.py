"""What a notebook adds: a magic beside the bare call of the client, a cell beside ``docker`` in a shell, loading.

In the table ``labdock`` is the notebook's way and ``bare`` what it is compared with: the same call of the client in the
same kernel, or Python and IPython without labdock. ``shell`` is the ``docker`` command line speaking to labdock.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.bench.archive import IMAGE
from tests.bench.engines import Engine
from tests.bench.measures import Series, interleave
from tests.bench.report import OURS, Row
from tests.processor import cost

BARE, SHELL = "bare", "shell"
WEB = "bench-notebook"
BUSYBOX = "/bin/busybox"
TRUE = f"{BUSYBOX} true"
DEADLINE = 60
#: (title, what is good enough, the magic's line, the same by the client). A magic adds under a millisecond, which is
#: more than the calls that take less.
CALLS = (
    ("%container ps", 5.0, "ps", "client.containers.list()"),
    ("%container images", 5.0, "images", "client.images.list()"),
    ("%container inspect", 5.0, f"inspect {WEB}", f"client.containers.inspect({WEB!r}).raw"),
    ("%container logs", 3.0, f"logs {WEB}", f"b''.join(data for _, data in client.containers.logs({WEB!r}))"),
    ("%container top", 3.0, f"top {WEB}", f"client.containers.top({WEB!r})"),
    ("%container exec", 1.2, f"exec {WEB} {TRUE}", f"web.exec({TRUE.split()})"),
    ("%container run --rm", 2.0, f"run --rm {IMAGE} {TRUE}", f"client.containers.run({IMAGE!r}, {TRUE.split()})"),
)
#: Runs in the kernel. Each call goes on until its result is there; showing it is not part of it.
PROGRAM = """
import contextlib, io, json, time
import labdock
client = labdock.connect()
web = client.containers.get(WEB)
shell = get_ipython()

def timed(act):
    begun = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        act()
    return time.perf_counter() - begun

def measure(line, code, rounds, warmup):
    bare = eval("lambda: " + code)
    magic = lambda: shell.run_line_magic("container", line)
    ways, times = {"labdock": magic, "bare": bare}, {"labdock": [], "bare": []}
    for round in range(-warmup, rounds):
        for name in sorted(ways, reverse=bool(round % 2)):
            taken = timed(ways[name])
            if round >= 0:
                times[name].append(taken)
    return times
"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel with labdock loaded, whose engine is the one of its environment."""

    client: BlockingKernelClient

    def run(self, code: str) -> str:
        """The text that the cell shows. Raises RuntimeError when it fails."""
        shown: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            shown.append(content.get("text", ""))
            if message["msg_type"] == "error":
                raise RuntimeError(f"{code}: {content['evalue']}")

        self.client.execute_interactive(code, timeout=DEADLINE, output_hook=hear)
        return "".join(shown)


@contextmanager
def opened_kernel(engine: Engine) -> Iterator[Kernel]:
    """A kernel over unix sockets, ended at the end."""
    folder = Path(engine.environment["XDG_RUNTIME_DIR"]) / "kernel"
    folder.mkdir(mode=0o700, exist_ok=True)
    manager = KernelManager(transport="ipc", ip=str(folder / "k"))
    manager.connection_file = str(folder / "kernel.json")
    environment = engine.environment | {"IPYTHONDIR": str(folder), "LABDOCK_HOST": f"unix://{engine.socket}"}
    manager.start_kernel(env=environment, cwd=str(folder))
    client: BlockingKernelClient = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=DEADLINE)
        kernel = Kernel(client)
        kernel.run("%load_ext labdock")
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        shutil.rmtree(folder, ignore_errors=True)


def measure(engines: Sequence[Engine], *, rounds: int, warmup: int, home: Path) -> list[Row]:
    """All rows; those of a kernel only with labdock among *engines*."""
    rows = _loading(rounds=max(3, rounds // 4))
    ours = next((engine for engine in engines if engine.name == OURS), None)
    if ours is None:
        return rows
    peer = next((engine for engine in engines if engine.name == "docker"), None)
    api = ours.client()
    web = api.containers.run(IMAGE, [BUSYBOX, "sleep", "86000"], name=WEB, detach=True)
    try:
        with opened_kernel(ours) as kernel:
            rows += _calls(kernel, rounds=rounds, warmup=warmup)
            rows += _beside_a_shell(kernel, ours, peer, home, rounds=rounds, warmup=warmup)
    finally:
        web.remove(force=True)
        api.close()
    return rows


def _loading(*, rounds: int) -> list[Row]:
    """Processor time of interpreters, the least of *rounds*."""
    shell = "from IPython.core.interactiveshell import InteractiveShell as S\ns = S.instance()\n"
    load = shell + "import labdock; labdock.load_ipython_extension(s)"
    python, plain, loaded, imported = cost("pass", shell, load, "import labdock", runs=rounds)

    def row(title: str, goal: float, ours: float, bare: float) -> Row:
        return Row(title, goal, {OURS: Series((ours,)), BARE: Series((bare,))}, (BARE,))

    return [
        row("import labdock, beside Python's start", 3.0, imported, python),
        row("%load_ext, beside IPython's", 1.3, loaded, plain),
    ]


def _calls(kernel: Kernel, *, rounds: int, warmup: int) -> list[Row]:
    kernel.run(f"WEB = {WEB!r}\n{PROGRAM}")
    rows = []
    for title, goal, line, code in CALLS:
        said = kernel.run(f"print(json.dumps(measure({line!r}, {code!r}, {rounds}, {warmup})))")
        times = json.loads(said)
        rows.append(Row(f"{title}, call to result", goal, {n: Series(tuple(t)) for n, t in times.items()}, (BARE,)))
    return rows


def _beside_a_shell(
    kernel: Kernel, ours: Engine, peer: Engine | None, home: Path, *, rounds: int, warmup: int
) -> list[Row]:
    """From the cell's message to its end, beside the whole life of a ``docker`` process."""
    docker = shutil.which("docker", path=ours.environment["PATH"])
    commands: dict[str, tuple[str, ...]] = {SHELL: (docker, "--host", f"unix://{ours.socket}")} if docker else {}
    if peer is not None:
        commands["docker"] = peer.command
    environment = ours.environment | {"DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": str(home / "docker-config")}

    def cli(command: tuple[str, ...], *arguments: str, stdin: Callable[[], str] = str) -> Callable[[], None]:
        def run() -> None:
            subprocess.run(
                [*command, *arguments],
                input=stdin(),
                env=environment,
                capture_output=True,
                text=True,
                timeout=DEADLINE,
                check=True,
            )

        return run

    number = iter(range(1_000_000))

    def fresh() -> str:
        """A Dockerfile whose steps no cache knows."""
        return f"FROM {IMAGE}\nRUN {BUSYBOX} echo {next(number)} > /one\nRUN {BUSYBOX} echo two > /two\n"

    def build_cell() -> None:
        kernel.run(f"%%dockerfile -t bench-cell\n{fresh()}")

    def run_cell() -> None:
        kernel.run(f"%container run --rm {IMAGE} {BUSYBOX} true")

    against = tuple(commands)
    runs = {OURS: run_cell} | {n: cli(c, "run", "--rm", IMAGE, BUSYBOX, "true") for n, c in commands.items()}
    builds = {OURS: build_cell} | {
        n: cli(c, "build", "-q", "-t", "bench-cell", "-", stdin=fresh) for n, c in commands.items()
    }
    return [
        Row("run --rm in a cell, beside a shell", 1.0, interleave(runs, rounds=rounds, warmup=warmup), against),
        Row("build of two steps in a cell", 1.0, interleave(builds, rounds=rounds, warmup=warmup), against),
    ]
