"""A real engine, started as a user's first command would, for the tests with real clients."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests import stores

from .clients import Docker, Engine, find_docker


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """An engine with a store of its own. Its folder's name is short: sockets' paths have little room (man 7 unix).

    LABDOCK_CONTRACT_SOCKET names another engine's socket instead: the tables can be held against Docker itself.
    """
    if other := os.environ.get("LABDOCK_CONTRACT_SOCKET"):
        yield Engine(Path(other), dict(os.environ))
        return
    if os.getuid() == 0:
        pytest.skip("the contract is tested as an unprivileged user")
    folder = Path(tempfile.mkdtemp(prefix="ldc", dir="/tmp"))
    environment = {**os.environ, "LABDOCK_DATA": str(folder / "d"), "LABDOCK_RUN": str(folder / "r")}
    started = _daemon("start", environment)
    if started.returncode != 0:
        log = folder / "d" / "engine.log"
        detail = log.read_text(errors="replace")[-4000:] if log.exists() else ""
        pytest.fail(f"the engine did not start:\n{started.stderr}\n{detail}", pytrace=False)
    socket = Path(started.stdout.strip())
    try:
        with _connect(socket) as client:
            # The bundled image is made when it is first asked for.
            assert client.post("/images/create?fromImage=busybox&tag=latest").status_code == 200
        yield Engine(socket, environment)
    finally:
        stopped = _daemon("stop", environment)
        assert stopped.returncode == 0, stopped.stderr
        assert not socket.exists()
        stores.remove(folder)


def _daemon(action: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"labdock.daemon.{action}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def http(engine: Engine) -> Iterator[httpx.Client]:
    """Plain HTTP to the engine's socket."""
    with _connect(engine.socket) as client:
        yield client


def _connect(socket: Path) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://docker", timeout=30)


@pytest.fixture
def clean(http: httpx.Client) -> Iterator[None]:
    """No container and no image of a test outlives it."""
    yield
    for container in http.get("/containers/json?all=1").json():
        http.delete(f"/containers/{container['Id']}?force=1&v=1")
    for image in http.get("/images/json").json():
        for name in image["RepoTags"] or [image["Id"]]:
            if name != "busybox:latest":
                http.delete(f"/images/{name}?force=1")


@pytest.fixture(params=find_docker(), ids=lambda path: "docker-" + path.strip("/").replace("/", "-"))
def docker(request: pytest.FixtureRequest, engine: Engine, clean: None) -> Docker:
    """Each docker CLI of the machine in turn, pointed at the engine."""
    return Docker(request.param, engine)
