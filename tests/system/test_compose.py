"""Compose with real stacks: health, names, volumes, secrets, exit codes; and docker-compose 1.29 beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.system.conftest import EngineUnderTest, wait_until

FILE = """
services:
  web:
    image: busybox:latest
    command: ["sh", "-c", "cat /run/secrets/word /run/secrets/file > /srv/index.html; exec httpd -f -p 80 -h /srv"]
    init: true
    stop_signal: SIGKILL
    volumes: ["data:/srv"]
    secrets: [word, file]
    healthcheck:
      test: wget -q -O /dev/null http://127.0.0.1/index.html
      interval: 200ms
      retries: 100
    networks:
      default: {aliases: [site]}
  client:
    image: busybox:latest
    command: ["sh", "-c", "wget -q -O - http://web/index.html; wget -q -O - http://site/index.html; exec sleep 1000"]
    init: true
    stop_signal: SIGKILL
    depends_on: {web: {condition: service_healthy}}
volumes: {data: }
secrets:
  word: {environment: WORD}
  file: {file: ./secret.txt}
"""
#: What docker-compose 1.29 can do too: secrets out of the environment came later.
PLAIN = """
version: "3.8"
services:
  web:
    image: busybox:latest
    command: sleep 1000
    init: true
    stop_signal: SIGKILL
    volumes: ["data:/srv"]
    environment: {A: "1", B: two}
    expose: ["80"]
  other:
    image: busybox:latest
    command: [sleep, "1000"]
    init: true
    stop_signal: SIGKILL
    depends_on: [web]
    networks: [inner, default]
    cap_drop: [net_raw]
    mem_limit: 64m
volumes: {data: }
networks: {inner: {internal: true}}
"""


#: Tests that run in the background of a shell have SIGINT ignored, and so would what they start.
INTERRUPTIBLE = ["env", "--default-signal=INT"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "shop"
    place.mkdir()
    (place / "secret.txt").write_text("from the file\n")
    return place


def labdock(engine: EngineUnderTest, folder: Path, *words: str, code: int = 0) -> str:
    """What ``labdock compose`` prints; its notes come after."""
    return called(engine, folder, [str(Path(sys.executable).with_name("labdock")), "compose", *words], code)


def called(engine: EngineUnderTest, folder: Path, command: Sequence[str], code: int = 0) -> str:
    environment = {**engine.environment, "WORD": "from the environment\n"}
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_stack_from_up_to_down(engine: EngineUnderTest, folder: Path) -> None:
    engine.docker("pull", "busybox:latest")
    (folder / "compose.yaml").write_text(FILE)
    said = labdock(engine, folder, "up", "-d", "--wait")
    assert "Network shop_default Created" in said and "Volume shop_data Created" in said
    page = "from the environment\nfrom the file\n"
    assert labdock(engine, folder, "exec", "client", "wget", "-q", "-O-", "http://web/index.html") == page
    # The client spoke to it by its name and its alias as soon as it ran.
    labdock(engine, folder, "exec", "-T", "client", "true")
    wait_until(
        lambda: labdock(engine, folder, "logs", "client").count("client-1  | from the environment") == 2, "both pages"
    )
    ids = labdock(engine, folder, "ps", "-q")
    assert "Container shop-web-1 Running" in labdock(engine, folder, "up", "-d"), "what is as it should be is kept"
    assert labdock(engine, folder, "ps", "-q") == ids
    labdock(engine, folder, "up", "-d", "--scale", "client=2")
    assert labdock(engine, folder, "ps", "--format", "{{.Name}}").split() == [
        "shop-client-1",
        "shop-client-2",
        "shop-web-1",
    ]
    # One more variable, one more container: the other stays.
    (folder / "compose.yaml").write_text(FILE.replace("  client:\n", "  client:\n    environment: {NEW: '1'}\n"))
    said = labdock(engine, folder, "up", "-d")
    assert "shop-client-1 Recreated" in said and "shop-client-2 Removed" in said and "shop-web-1 Running" in said
    assert labdock(engine, folder, "exec", "client", "sh", "-c", "echo $NEW") == "1\n"
    assert labdock(engine, folder, "run", "--rm", "client", "echo", "once").startswith("once\n")
    labdock(engine, folder, "down")
    assert engine.docker("ps", "-aq") == ""
    assert engine.docker("volume", "ls", "-q") == "shop_data"
    labdock(engine, folder, "down", "-v")
    assert engine.docker("volume", "ls", "-q") == ""
    assert "shop" not in engine.docker("network", "ls")


def test_the_output_of_all_and_the_exit_code_of_one(engine: EngineUnderTest, folder: Path) -> None:
    engine.docker("pull", "busybox:latest")
    (folder / "compose.yaml").write_text(
        "services:\n"
        "  long: {image: 'busybox:latest', command: sleep 1000, init: true, stop_signal: SIGKILL}\n"
        "  job: {image: 'busybox:latest', command: sh -c 'echo working; exit 7', depends_on: [long]}\n"
        "  after: {image: 'busybox:latest', command: 'true', profiles: [more],\n"
        "          depends_on: {job: {condition: service_completed_successfully}}}\n"
    )
    said = labdock(engine, folder, "up", "--exit-code-from", "job", code=7)
    assert "job-1   | working" in said and "shop-long-1 Stopped" in said
    said = labdock(engine, folder, "up", "-d", "after", code=1)
    assert 'service "job" didn\'t complete successfully: exit 7' in said
    labdock(engine, folder, "--profile", "*", "down")
    assert engine.docker("ps", "-aq") == ""


def test_images_are_built_where_the_files_say_how(engine: EngineUnderTest, folder: Path) -> None:
    (folder / "app").mkdir()
    (folder / "app" / "Dockerfile").write_text("FROM busybox\nARG WORD\nRUN echo $WORD > /word\nCMD cat /word\n")
    (folder / "compose.yaml").write_text(
        "services:\n"
        "  folder: {build: {context: app, args: {WORD: one}}}\n"
        '  inline: {image: "mine:1", build: {dockerfile_inline: "FROM busybox\\nCMD echo two"}}\n'
    )
    said = labdock(engine, folder, "up", "--no-color")
    assert "folder-1  | one" in said and "inline-1  | two" in said
    labels = engine.docker("image", "inspect", "-f", "{{json .Config.Labels}}", "shop-folder")
    assert '"com.docker.compose.service":"folder"' in labels
    (folder / "app" / "Dockerfile").write_text("FROM busybox\nCMD echo three\n")
    labdock(engine, folder, "build", "-q", "folder")
    assert "folder-1  | three" in labdock(engine, folder, "up"), "another image, another container"
    labdock(engine, folder, "down", "--rmi", "all")
    assert engine.docker("image", "ls", "-q", "shop-folder") == ""
    assert engine.docker("image", "ls", "-q", "mine:1") == ""


def seen(engine: EngineUnderTest) -> dict[str, object]:
    """Containers, networks and volumes by what a program in them would see; names of either style."""
    found: dict[str, object] = {}
    for id in engine.docker("ps", "-aq").split():
        data = json.loads(engine.docker("inspect", id))[0]
        labels = data["Config"]["Labels"]
        kept = ("project", "service", "oneoff", "container-number", "project.working_dir", "project.config_files")
        found[data["Name"].replace("_", "-")] = {
            # docker-compose writes the file's name as it was given, Compose v2 all of its path.
            "labels": {name: Path(labels[f"com.docker.compose.{name}"]).name for name in kept},
            "env": sorted(data["Config"]["Env"]),
            "cmd": data["Config"]["Cmd"],
            "exposed": data["Config"].get("ExposedPorts"),
            "volumes": sorted((m["Name"], m["Destination"], m["RW"]) for m in data["Mounts"]),
            "networks": sorted(data["NetworkSettings"]["Networks"]),
            "aliases": {
                name: labels["com.docker.compose.service"] in (place["Aliases"] or ())
                for name, place in data["NetworkSettings"]["Networks"].items()
            },
            "memory": data["HostConfig"]["Memory"],
            "dropped": data["HostConfig"]["CapDrop"],
        }
    for name in engine.docker("network", "ls", "-q", "--filter", "label=com.docker.compose.project").split():
        data = json.loads(engine.docker("network", "inspect", name))[0]
        found["network " + data["Name"]] = (data["Internal"], data["Labels"]["com.docker.compose.network"])
    for name in engine.docker("volume", "ls", "-q").split():
        data = json.loads(engine.docker("volume", "inspect", name))[0]
        found["volume " + name] = data["Labels"]["com.docker.compose.volume"]
    return found


def test_docker_compose_makes_the_same_and_each_sees_the_other(engine: EngineUnderTest, folder: Path) -> None:
    engine.docker("pull", "busybox:latest")
    (folder / "docker-compose.yml").write_text(PLAIN)
    old = ["/usr/bin/docker-compose", "--no-ansi"]
    labdock(engine, folder, "up", "-d")
    ours = seen(engine)
    assert "shop-web-1" in called(engine, folder, [*old, "ps"]), "docker-compose sees our project"
    assert "shop-other-1" in called(engine, folder, [*old, "ps"])
    called(engine, folder, [*old, "down", "-v"])
    assert seen(engine) == {}, "and can take all of it away"
    called(engine, folder, [*old, "up", "-d"])
    theirs = seen(engine)
    for value in theirs.values():
        if isinstance(value, dict) and value["dropped"]:
            value["dropped"] = [f"CAP_{name.upper()}" for name in value["dropped"] if not name.startswith("CAP_")]
    assert ours == theirs
    assert "shop" in labdock(engine, folder, "ls")
    assert labdock(engine, folder, "ps", "--services").split() == ["other", "web"]
    labdock(engine, folder, "down", "-v")
    assert seen(engine) == {}
