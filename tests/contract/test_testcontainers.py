"""testcontainers-python as its users run it, and its reaper (Ryuk), which works through the socket it has mounted."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import httpx
import pytest

from .clients import PATIENCE, Engine, find_docker, wait_until

#: What Ryuk does: takes filters line by line, and when its client has gone removes what they name.
DOCKERFILE = """\
FROM busybox
COPY . /
RUN chmod +x /reap /filters
CMD ["/reap"]
"""
REAP = """\
#!/bin/sh
echo "reaper: Started!"
nc -l -p 8080 -e /filters
docker ps -aq $(cat /wanted) | xargs docker rm -f
"""
FILTERS = """\
#!/bin/sh
while read -r line; do
    printf '%s' "$line" | tr -d '\\r' | tr '&' '\\n' | sed 's/^/--filter=/' >> /wanted
    echo >> /wanted
    echo ACK
done
"""


def _archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _with_libraries(program: str) -> dict[str, bytes]:
    """*program* as /bin/docker, and the libraries it is linked to."""
    shown = subprocess.run(["ldd", program], capture_output=True, text=True, check=False, timeout=PATIENCE).stdout
    libraries = {word for line in shown.splitlines() for word in line.split() if word.startswith("/")}
    return {"/bin/docker": Path(program).read_bytes(), **{name: Path(name).read_bytes() for name in libraries}}


@pytest.fixture
def reaper(http: httpx.Client, clean: None) -> str:
    """The name of an image that reaps as Ryuk does; Ryuk's own can't be pulled without a network."""
    files = {"/Dockerfile": DOCKERFILE.encode(), "/reap": REAP.encode(), "/filters": FILTERS.encode()}
    context = _archive({**files, **_with_libraries(find_docker()[0])})
    answer = http.post(
        "/build?t=reaper:1&q=1", content=context, headers={"Content-Type": "application/x-tar"}, timeout=PATIENCE
    )
    assert '"error"' not in answer.text, answer.text
    return "reaper:1"


def _run(engine: Engine, program: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={
            **engine.environment,
            "DOCKER_HOST": f"unix://{engine.socket}",
            # The tests may run in a container themselves; the engine's ports are on its loopback then, too.
            "TESTCONTAINERS_CONNECTION_MODE": "docker_host",
            "TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1",
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_point_23_the_reaper_removes_what_a_dead_test_run_left(engine: Engine, http: httpx.Client, reaper: str) -> None:
    out = _run(
        engine,
        """
        import os
        from testcontainers.core.container import DockerContainer

        box = DockerContainer("busybox").with_command("sleep 300").start()
        print(box.get_wrapped_container().id, flush=True)
        os._exit(0)  # the run is killed: nothing is cleaned up
        """,
        RYUK_CONTAINER_IMAGE=reaper,
    )
    assert http.get(f"/containers/{out.strip()}/json").status_code in (200, 404)
    # The container of the dead run, and then the reaper itself (AutoRemove).
    wait_until(lambda: http.get("/containers/json?all=1").json() == [], "the reaper removes the container and ends")


def test_containers_networks_ports_and_execs(engine: Engine, clean: None) -> None:
    out = _run(
        engine,
        """
        import urllib.request
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.network import Network
        from testcontainers.core.waiting_utils import wait_for_logs

        with Network() as network:
            box = (
                DockerContainer("busybox")
                .with_command("sh -c 'mkdir /w; echo served > /w/index.html; echo ready; httpd -f -p 80 -h /w'")
                .with_exposed_ports(80)
                .with_network(network)
                .with_network_aliases("web")
                .with_env("A", "b")
            )
            with box:
                wait_for_logs(box, "ready", timeout=60)
                print(box.exec(["sh", "-c", "echo $A"]).output.decode().strip())
                url = f"http://{box.get_container_host_ip()}:{box.get_exposed_port(80)}/"
                print(urllib.request.urlopen(url, timeout=60).read().decode().strip())
        """,
        TESTCONTAINERS_RYUK_DISABLED="true",
    )
    assert out.split() == ["b", "served"]
