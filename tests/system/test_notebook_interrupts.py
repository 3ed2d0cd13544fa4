"""Each magic that goes on for a while is interrupted by a real kernel's interrupt: it stops, and leaves nothing."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import os
import shutil
import termios
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import stores
from tests.registries import Deaf, Registry, Stall, digest_of, threaded
from tests.slow_line import SlowLine

from .conftest import EngineUnderTest, short_folder, wait_until
from .test_notebook import Kernel, interrupted, kernel_environment, received, text_of
from .test_notebook_cells import LENT
from .test_pull import make_tar

#: Seconds for a busy machine; on a quiet one all end within 0.02, but for `compose up` (programs get 0.4 to end).
BOUND = 5.0
#: Connections that the kernel's client keeps for its next call.
KEPT = 4
SLEEPER = "trap 'exit 0' TERM; while :; do echo tick; sleep 0.1; done"


class World:
    """One engine, a line to it that can stand still, a registry that can fall silent, and one kernel."""

    def __init__(self, ends: ExitStack) -> None:
        self.folder = short_folder()
        ends.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.engine = EngineUnderTest(self.folder / "e")
        (self.folder / "e").mkdir()
        ends.callback(stores.remove, self.engine.root)
        self.engine.start()
        ends.callback(self.engine.stop)
        self.docker = ends.enter_context(contextlib.closing(self.engine.client()))
        self.line = SlowLine(self.folder / "line.sock", self.engine.run / "docker.sock")
        ends.callback(self.line.close)
        self.registry = ends.enter_context(threaded(Registry()))
        self._fill()
        self.place = self.folder / "w"
        self.place.mkdir()
        self.kernel = self._start_kernel()
        ends.callback(self.kernel.close)
        self.shown = ""
        self.half = -1

    def _fill(self) -> None:
        layer = make_tar(file=os.urandom(300_000))
        config = {
            "os": "linux",
            "architecture": "amd64",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
        }
        self.layer = gzip.compress(layer, 1, mtime=0)
        self.registry.add_image("team/app", "latest", [self.layer], config)
        self.engine.docker("run", "-d", "-i", "--name", "talks", "busybox", "sh", "-c", SLEEPER)
        self.engine.docker("exec", "talks", "dd", "if=/dev/urandom", "of=/big", "bs=1M", "count=4")
        self.engine.docker("tag", "busybox", f"{self.registry.host}/team/mine")

    def _start_kernel(self) -> Kernel:
        for name in ("tmp", "context"):
            (self.place / name).mkdir()
        (self.place / "context" / "Dockerfile").write_text("FROM busybox\nRUN echo begun; sleep 1000\nCOPY big /\n")
        (self.place / "context" / "big").write_bytes(os.urandom(4 << 20))
        environment = kernel_environment(self.engine, self.place)
        kernel = Kernel(environment | {"LABDOCK_HOST": self.line.url, "TMPDIR": str(self.place / "tmp")}, self.place)
        assert kernel.run("%load_ext labdock")[0]["status"] == "ok"
        # What is imported at first use, and the connections of the first call.
        assert kernel.run("import labdock, threading, os, time, ipywidgets\n%container ps")[0]["status"] == "ok"
        return kernel

    def shows(self, words: str) -> bool:
        """Whether the running cell has shown *words* by now."""
        self.shown += text_of(received(self.kernel))
        return words in self.shown

    def state(self) -> dict[str, Any]:
        """All that a magic could leave behind, here and in the engine."""
        api, pid = self.docker.api, self.kernel_pid
        ingests = [path.name for path in (self.engine.data / "content" / "ingest").iterdir()]
        return {
            "containers": sorted((each["Id"], each["State"]) for each in api.containers(all=True)),
            "images": sorted((each["Id"], str(each["RepoTags"])) for each in api.images(all=True)),
            "networks": sorted(each["Id"] for each in api.networks()),
            "volumes": sorted(each["Name"] for each in api.volumes()["Volumes"] or ()),
            "in the container": sorted(each["Path"] for each in api.diff("talks")),
            "processes": sorted({row[1] for row in api.top("talks", "-o pid,args")["Processes"]} - {"sleep 0.1"}),
            # What a pull has got so far is kept on purpose: the next one goes on with it.
            "half blobs": [name for name in ingests if not name.startswith("kept-")],
            "files": sorted(str(path) for path in self.place.rglob("*") if "ipython" not in str(path)),
            "children": Path(f"/proc/{pid}/task/{pid}/children").read_text(),
            "threads": self.ask("sorted(t.name for t in threading.enumerate() if t.is_alive())"),
            "open files": max(self.open_files() - KEPT, self.descriptors),
        }

    @property
    def kernel_pid(self) -> int:
        return int(self.kernel.manager.provisioner.pid)  # type: ignore[union-attr]

    descriptors = 0

    def open_files(self) -> int:
        """How many the kernel has. quirk: ZeroMQ leaves eventfds of threads that printed, until they are collected."""
        found = 0
        for entry in Path(f"/proc/{self.kernel_pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found += os.readlink(entry) != "anon_inode:[eventfd]"
        return found

    def ask(self, expression: str) -> str:
        reply, shown = self.kernel.run(f"print({expression})")
        assert reply["status"] == "ok", reply
        return shown


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with ExitStack() as ends:
        made = World(ends)
        made.descriptors = made.open_files()
        yield made
        made.engine.docker("rm", "-f", "talks", check=False)


Look = Callable[[World], object]


def shows(words: str) -> Look:
    return lambda world: world.shows(words)


def asked(method: str, part: str) -> Look:
    return lambda world: world.registry.asked(method, part)


def stands(world: World) -> bool:
    return world.line.held.is_set()


def runs(name: str) -> Look:
    return lambda world: world.docker.api.containers(filters={"name": name})


@dataclass(frozen=True)
class Case:
    """*cell* is interrupted once it *works*; it then *ends*: "ok" for what is looked at, else "error"."""

    cell: str
    works: Look
    ends: str = "error"
    before: Callable[[World], object] = lambda world: None
    after: Callable[[World], object] = lambda world: None


def line(way: str, most: int = 1_000_000) -> Callable[[World], None]:
    return lambda world: world.line.hold(way, most)


def silent(method: str, part: str) -> Callable[[World], None]:
    fault = Deaf() if method == "PUT" else Stall(100_000)
    return lambda world: world.registry.misbehave(method, part, fault)


def half_archive(world: World) -> None:
    """A pipe in which the first part of an image's archive is."""
    whole = world.folder / "whole.tar"
    world.engine.docker("save", "-o", str(whole), "busybox")
    pipe = world.folder / "pipe"
    if not pipe.exists():
        os.mkfifo(pipe)
    # Open both ways, so that neither end waits for the other; what is in it goes with its last descriptor.
    world.half = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    os.write(world.half, whole.read_bytes()[:60_000])


def close_pipe(world: World) -> None:
    os.close(world.half)


def is_read(world: World) -> bool:
    left = bytearray(4)
    fcntl.ioctl(world.half, termios.FIONREAD, left)
    return not int.from_bytes(left, "little")


def up(world: World) -> None:
    world.kernel.run("%%compose -p never up -d\n" + COMPOSE)


def down(world: World) -> None:
    assert world.kernel.run("%compose -p never down -t 0")[0]["status"] == "ok"


def is_down(world: World) -> None:
    """As Compose does: what was stopped is kept, with its network."""
    assert [each["State"] for each in world.docker.api.containers(all=True, filters={"name": "never"})] == ["exited"]
    down(world)


COMPOSE = "services:\n  one:\n    image: busybox\n    command: sh -c 'echo up; exec sleep 1000'\n"
SICK = COMPOSE + "    healthcheck: {test: 'exit 1', interval: 1s, retries: 1000, start_period: 1000s}\n"
CASES = {
    "run": Case("%container run --rm --name new busybox sleep 1000", runs("new")),
    "run with a body": Case("%%container run --rm busybox sh\necho begun\nsleep 1000", shows("begun")),
    "run that pulls": Case(
        "%container run --rm {registry}/team/app x", asked("GET", "blobs"), before=silent("GET", "/blobs/")
    ),
    "exec": Case("%container exec talks sh -c 'echo begun; sleep 999'", shows("begun")),
    "logs": Case("%container logs -f talks", shows("tick"), "ok"),
    "attach": Case("%container attach --no-stdin talks", shows("tick"), "ok"),
    "events": Case("%container events --since 0", shows("container start"), "ok"),
    "stats": Case("%container stats", shows("talks"), "ok"),
    "wait": Case("%container wait talks", stands, before=line("there", 0)),
    "build": Case("%container build -t never context", shows("begun")),
    "build that sends": Case("%container build -t never context", stands, before=line("there")),
    "dockerfile": Case("%%dockerfile -t never\nFROM busybox\nRUN echo begun; sleep 1000", shows("begun")),
    "pull": Case("%container pull {registry}/team/app", asked("GET", "blobs"), before=silent("GET", "/blobs/")),
    "pull -q": Case("%container pull -q {registry}/team/app", asked("GET", "blobs"), before=silent("GET", "/blobs/")),
    "push": Case("%container push {registry}/team/mine", asked("PUT", "uploads"), before=silent("PUT", "uploads")),
    "load": Case("%container load -i {folder}/pipe", is_read, before=half_archive, after=close_pipe),
    "save": Case("%container save -o saved.tar busybox", stands, before=line("back", 100_000)),
    "export": Case("%container export -o talks.tar talks", stands, before=line("back", 100_000)),
    "cp out": Case("%container cp talks:/big big", stands, before=line("back")),
    "cp in": Case("%container cp context/big talks:/new", stands, before=line("there")),
    "in": Case(f"%%in {LENT}\nimport time\nprint('begun', flush=True)\ntime.sleep(1000)", shows("begun")),
    "compose up": Case("%%compose -p never up\n" + COMPOSE, shows("mup"), after=is_down),
    "compose up --wait": Case("%%compose -p never up -d --wait\n" + SICK, runs("never-one-1"), after=down),
    "compose logs": Case("%compose -p never logs -f", shows("mup"), "ok", before=up, after=down),
    "dashboard": Case("labdock.dashboard()", stands, before=line("there", 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_an_interrupt_stops(world: World, name: str) -> None:
    case = CASES[name]
    before = world.state()
    world.registry.seen.clear()
    case.before(world)
    world.shown = ""
    cell = case.cell.replace("{registry}", world.registry.host).replace("{folder}", str(world.folder))
    message = world.kernel.begin(cell)
    wait_until(lambda: case.works(world), f"{name} works: {world.shown}")
    reply, shown, seconds = interrupted(world.kernel, message)
    print(f"{name}: {seconds * 1000:.0f} ms")
    assert reply["status"] == case.ends, (reply, world.shown + shown)
    assert "Traceback" not in world.shown + shown + "".join(reply.get("traceback", ()))
    assert seconds < BOUND
    case.after(world)
    left = dict[str, Any]()

    def nothing_is_left() -> bool:
        left.clear()
        left.update({what: found for what, found in world.state().items() if found != before[what]})
        return not left

    try:
        wait_until(nothing_is_left, "nothing is left")
    except AssertionError:
        pytest.fail(f"left behind: { {what: (before[what], found) for what, found in left.items()} }")
    assert world.kernel.run("print(6 * 7)")[1] == "42\n"
