"""docker-compose: an application of several services comes up, is looked at, and goes down whole."""

from __future__ import annotations

import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .clients import PATIENCE, Engine

COMPOSE = """\
version: "3.7"
services:
  web:
    build: .
    ports: ["127.0.0.1::80"]
    volumes: ["data:/data"]
    environment: {GREETING: hello}
    networks:
      back: {aliases: [site]}
    healthcheck: {test: ["CMD", "true"], interval: 1s}
  caller:
    image: busybox
    command: ["sh", "-c", "until wget -q -O- http://site/; do sleep 0.2; done; echo called"]
    depends_on: [web]
    networks: [back]
networks:
  back: {}
volumes:
  data: {}
"""
DOCKERFILE = """\
FROM busybox
RUN mkdir /www && echo composed > /www/index.html
CMD ["httpd", "-f", "-p", "80", "-h", "/www"]
"""


class Compose:
    def __init__(self, engine: Engine, folder: Path) -> None:
        self._environment = {
            **engine.environment,
            "DOCKER_HOST": f"unix://{engine.socket}",
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
            "COMPOSE_PROJECT_NAME": "app",
            "DOCKER_CONFIG": str(folder),
        }
        self._folder = folder

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            ["docker-compose", *arguments],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def compose(engine: Engine, clean: None) -> Iterator[Compose]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "docker-compose.yml").write_text(COMPOSE)
        (folder / "Dockerfile").write_text(DOCKERFILE)
        found = Compose(engine, folder)
        yield found
        found("down", "-v", "-t", "0")


def test_an_application_comes_up_and_goes_down_whole(compose: Compose, http: httpx.Client) -> None:
    compose("up", "-d")
    assert http.post("/containers/app_caller_1/wait", timeout=PATIENCE).json() == {"StatusCode": 0}
    assert "composed" in compose("logs", "--no-color", "caller")
    address = compose("port", "web", "80").strip()
    with urllib.request.urlopen(f"http://{address}/", timeout=PATIENCE) as page:
        assert page.read() == b"composed\n"
    assert compose("exec", "-T", "web", "sh", "-c", "echo $GREETING > /data/it; cat /data/it") == "hello\n"
    # A second `up` changes nothing, a new configuration makes new containers and keeps the volume.
    before = compose("ps", "-q", "web")
    compose("up", "-d")
    assert compose("ps", "-q", "web") == before
    compose("up", "-d", "--force-recreate", "-t", "0", "web")
    assert compose("ps", "-q", "web") != before
    assert compose("exec", "-T", "web", "cat", "/data/it") == "hello\n"
    assert len(compose("ps", "-q").split()) == 2
    compose("down", "-v", "-t", "0")
    assert http.get("/containers/json?all=1").json() == []
    assert [n for n in http.get("/networks").json() if n["Name"] == "app_back"] == []
    assert http.get("/volumes/app_data").status_code == 404


def test_services_are_scaled_stopped_and_run_once(compose: Compose) -> None:
    compose("up", "-d", "--scale", "web=2", "web")
    assert len(compose("ps", "-q", "web").split()) == 2
    assert compose("run", "--rm", "-T", "caller", "echo", "once") == "once\n"
    compose("stop", "-t", "0")
    compose("rm", "-f")
    assert compose("ps", "-q").split() == []
