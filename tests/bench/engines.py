"""The engines under measurement: how each is started as this user, spoken to and ended."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import requests

from tests.bench import processes


class EngineMissing(Exception):
    """An engine could not be started; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine. ``command`` is the start of its own command line; ``pid`` its tree's root."""

    name: str
    version: str
    socket: Path
    pid: int
    command: tuple[str, ...]
    environment: dict[str, str]

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=f"unix://{self.socket}", timeout=60)


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one bench run: ``home`` on disk, ``runtime`` (0700) for sockets, both empty at first."""

    home: Path
    runtime: Path

    def environment(self) -> dict[str, str]:
        """A clean environment for an engine and its command line."""
        return {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            # podman gathers what it pulls here, gigabytes at times.
            "TMPDIR": str(self.home),
        }


Starter = Callable[[Place], tuple[Engine, Callable[[], None]]]


@contextmanager
def started(start: Starter, place: Place) -> Iterator[Engine]:
    """The engine that *start* starts, ended at the end. Raises EngineMissing."""
    engine, stop = start(place)
    try:
        yield engine
    finally:
        stop()


def start_podman(place: Place) -> tuple[Engine, Callable[[], None]]:
    """Rootless ``podman system service``."""
    podman = _program("podman", "podman")
    config = place.home / ".config/containers"
    config.mkdir(parents=True, exist_ok=True)
    # quirk: its commits fail where these are not written down ("runroot must be set", "graphroot must be set").
    storage = f'[storage]\ndriver = "overlay"\nrunroot = "{place.runtime}/podman-run"\n'
    storage += f'graphroot = "{place.home}/.local/share/containers/storage"\n'
    (config / "storage.conf").write_text(storage)
    settings = '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    if Path("/usr/lib/podman/aardvark-dns").exists():
        # Without it (CNI, Debian's default) its networks have no names.
        settings += '[network]\nnetwork_backend = "netavark"\n'
    (config / "containers.conf").write_text(settings)
    socket = place.runtime / "podman.sock"
    command = [podman, "system", "service", "--time=0", f"unix://{socket}"]
    return _serve("podman", command, socket, place.environment(), (podman,))


def start_docker(place: Place) -> tuple[Engine, Callable[[], None]]:
    """Rootless ``dockerd`` under rootlesskit and slirp4netns."""
    beside = Path("/usr/share/docker.io/contrib/dockerd-rootless.sh")
    script = beside if beside.exists() else Path(_program("dockerd-rootless.sh", "docker.io"))
    _program("rootlesskit", "rootlesskit")
    socket = place.runtime / "docker-peer.sock"
    environment = place.environment() | {"DOCKERD_ROOTLESS_ROOTLESSKIT_NET": "slirp4netns"}
    # Its registries are on the host's loopback, which it sees as 10.0.2.2.
    environment["DOCKERD_ROOTLESS_ROOTLESSKIT_FLAGS"] = "--disable-host-loopback=false"
    command = ["sh", str(script), "--host", f"unix://{socket}", "--exec-opt", "native.cgroupdriver=cgroupfs"]
    command += ["--insecure-registry", "10.0.2.0/24"]
    client = (_program("docker", "docker.io"), "--host", f"unix://{socket}")
    return _serve("docker", command, socket, environment, client)


def start_labdock(place: Place, **more: str) -> tuple[Engine, Callable[[], None]]:
    """labdock itself, from the Python that runs this, in folders of its own; *more* goes into its environment."""
    environment = (
        place.environment()
        | more
        | {
            "LABDOCK_DATA": str(place.home / "labdock"),
            "LABDOCK_RUN": str(place.runtime / "labdock"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
    )
    command = Path(sys.executable).parent / "labdock"
    if not command.exists():
        raise EngineMissing(f"labdock: {command} is not there (make setup)")
    start = [sys.executable, "-m", "labdock.daemon.start"]
    done = subprocess.run(start, env=environment, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise EngineMissing(f"labdock: {done.stderr.strip() or done.stdout.strip()}")
    socket = place.runtime / "labdock/docker.sock"
    pid = processes.listener(socket)

    def stop() -> None:
        ask = [sys.executable, "-m", "labdock.daemon.stop"]
        subprocess.run(ask, env=environment, capture_output=True, timeout=60, check=False)
        processes.end(pid, patience=5)

    try:
        return _settled("labdock", socket, pid, (str(command),), environment), stop
    except BaseException:
        stop()
        raise


def _serve(
    name: str, command: list[str], socket: Path, environment: dict[str, str], client: tuple[str, ...]
) -> tuple[Engine, Callable[[], None]]:
    log = Path(environment["HOME"]) / f"{name}.log"
    with log.open("wb") as out:
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def stop() -> None:
        processes.end(child.pid)
        child.returncode = 0

    try:
        deadline = time.monotonic() + 60
        while not _answers(socket):
            if child.poll() is not None or time.monotonic() > deadline:
                lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
                # dockerd's script traces itself with "+ …".
                said = " / ".join([line for line in lines if not line.startswith("+ ")][-4:])
                raise EngineMissing(f"{name}: no answer on its socket: {said}")
            time.sleep(0.1)
        return _settled(name, socket, child.pid, client, environment), stop
    except BaseException:
        stop()
        raise


def _settled(name: str, socket: Path, pid: int, client: tuple[str, ...], environment: dict[str, str]) -> Engine:
    asking = docker.DockerClient(base_url=f"unix://{socket}", timeout=60)
    try:
        version = str(asking.version()["Version"])
    finally:
        asking.close()
    return Engine(name, version, socket, pid, client, environment)


def _answers(socket: Path) -> bool:
    if not socket.exists():
        return False
    client = docker.DockerClient(base_url=f"unix://{socket}", version="1.41", timeout=5)
    try:
        return bool(client.ping())
    except (requests.exceptions.RequestException, docker.errors.DockerException):
        return False
    finally:
        client.close()


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
    if found is None:
        raise EngineMissing(f"{package}: {name} is not installed")
    return os.path.realpath(found)
