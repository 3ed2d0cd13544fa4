"""Compose files that say much: includes, extends, merges, builds with all they take, and what containers get of it."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import EngineUnderTest
from .test_compose import folder, labdock

__all__ = ["folder"]

FILE = """
include: [inc/compose.yaml]
x-common: &c {init: true, stop_signal: SIGKILL, command: sleep 1000, image: "busybox:latest"}
services:
  built:
    image: wide-built:1
    build: {context: app, target: dev, args: {WORD: hello}, additional_contexts: {lib: ./lib}, secrets: [token]}
  ext: {extends: {file: base.yaml, service: basis}, environment: {MORE: "1"}}
  wide:
    <<: *c
    sysctls: {net.ipv4.ip_forward: 1}
    ulimits: {nofile: {soft: 100, hard: 200}}
    tmpfs: [/scratch, "/t2:size=1m"]
    devices: [/dev/null:/dev/mynull]
    extra_hosts: ["db.local:10.9.8.7"]
    stop_grace_period: 2s
    logging: {driver: json-file, options: {max-size: 10k, max-file: "2"}}
    deploy: {replicas: 2, resources: {limits: {memory: 64m}}}
    healthcheck: {disable: true}
    hostname: widehost
    shm_size: 16m
    group_add: ["5"]
    user: "1000:1000"
    working_dir: /tmp
    configs: [{source: written, target: /etc/written, mode: 0440, uid: "1000"}, filed]
  fixed:
    <<: *c
    networks: {fixed: {ipv4_address: 10.77.5.9, aliases: [other-name]}, default: }
    links: ["ext:linked"]
    secrets: [{source: token, target: mine}]
  side: {<<: *c, network_mode: "service:fixed"}
  extra: {<<: *c, profiles: [more]}
  never: {<<: *c, scale: 0, image: "not-there:1", pull_policy: never, profiles: [more]}
networks: {fixed: {ipam: {config: [{subnet: 10.77.5.0/24, gateway: 10.77.5.1}]}}}
secrets: {token: {file: token.txt}}
configs: {written: {content: "made of ${WHO:-nobody}\\n"}, filed: {file: ./filed.txt}}
"""
FILES = {
    "compose.yaml": FILE,
    "app/Dockerfile": """
FROM busybox AS base
ARG WORD=none
RUN --mount=type=secret,id=token cat /run/secrets/token > /token; echo $WORD > /word
COPY --from=lib lib.txt /lib.txt
FROM base AS dev
CMD ["cat", "/word", "/token", "/lib.txt"]
FROM base AS prod
CMD ["echo", "the wrong target"]
""",
    "lib/lib.txt": "a library\n",
    "token.txt": "a token\n",
    "filed.txt": "a file\n",
    "a.env": "A=from the file\n",
    "inc/compose.yaml": """
services:
  included:
    {image: "busybox:latest", command: sleep 1000, init: true, stop_signal: SIGKILL,
     env_file: [{path: ../a.env}, {path: none.env, required: false}]}
""",
    "base.yaml": """
services:
  basis: {image: "busybox:latest", command: sleep 1000, init: true, stop_signal: SIGKILL, environment: {FROM: base},
          ports: ["127.0.0.1::80"]}
""",
    "over.yaml": """
services:
  ext: {ports: !reset [], environment: {FROM: over}}
  wide: {tmpfs: !override [/only], labels: {a: b}}
""",
}


def test_what_files_say_is_what_containers_get(engine: EngineUnderTest, folder: Path) -> None:
    engine.docker("pull", "busybox:latest")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    labdock(engine, folder, "up", "-d")

    def inside(name: str, line: str) -> str:
        return engine.docker("exec", f"shop-{name}", "sh", "-c", line)

    assert engine.docker("wait", "shop-built-1") == "0"
    assert engine.docker("logs", "shop-built-1") == "hello\na token\na library"
    assert inside("wide-1", "cat /etc/written /filed; hostname; pwd") == "made of nobody\na file\nwidehost\n/tmp"
    assert inside("wide-2", "stat -c '%a %u' /etc/written; id -u; id -G") == "440 1000\n1000\n1000 5"
    assert inside("wide-1", "cat /proc/sys/net/ipv4/ip_forward; test -c /dev/mynull && echo device") == "1\ndevice"
    assert "10.9.8.7\tdb.local" in inside("wide-1", "cat /etc/hosts")
    assert inside("wide-1", "grep 'open files' /proc/1/limits").split()[3:5] == ["100", "200"]
    mounts = inside("wide-1", "cat /proc/mounts")
    assert "tmpfs /scratch " in mounts and "size=1024k" in mounts
    seen = json.loads(engine.docker("inspect", "shop-wide-1"))[0]
    assert seen["HostConfig"]["Memory"] == 64 << 20 and seen["Config"]["StopTimeout"] == 2
    assert seen["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10k", "max-file": "2"}}
    assert "Health" not in seen["State"]
    assert "10.77.5.9/24" in inside("fixed-1", "ip a") and "10.77.5.9/24" in inside("side-1", "ip a")
    assert inside("fixed-1", "cat /run/secrets/mine; ping -c1 -W5 linked >/dev/null; echo $?") == "a token\n0"
    assert inside("included-1", "echo $A") == "from the file"
    assert inside("ext-1", "echo $FROM $MORE") == "base 1"
    commands(engine, folder)
    labdock(engine, folder, "--profile", "*", "down", "-v")
    assert engine.docker("ps", "-aq") == ""


def commands(engine: EngineUnderTest, folder: Path) -> None:
    """The rest of the commands on what runs there."""
    assert labdock(engine, folder, "port", "ext", "80").startswith("127.0.0.1:")
    labdock(engine, folder, "cp", "ext:/etc/hostname", str(folder / "copied"))
    assert (folder / "copied").read_text() == engine.docker("exec", "shop-ext-1", "hostname") + "\n"
    labdock(engine, folder, "cp", str(folder / "filed.txt"), "ext:/tmp/in")
    assert labdock(engine, folder, "exec", "-T", "ext", "cat", "/tmp/in") == "a file\n"
    once = labdock(engine, folder, "run", "--rm", "--no-deps", "-e", "X=1", "-p", "127.0.0.1::99", "ext", "env")
    assert "X=1" in once and "FROM=base" in once
    labdock(engine, folder, "run", "-d", "--service-ports", "--name", "one-off", "ext", "sleep", "1000")
    assert engine.docker("port", "one-off").startswith("80/tcp -> 127.0.0.1:")
    labdock(engine, folder, "scale", "wide=1")
    assert labdock(engine, folder, "ps", "-q", "wide").count("\n") == 1
    ids = labdock(engine, folder, "ps", "-q", "ext")
    assert "shop-fixed-1 Recreated" in labdock(engine, folder, "up", "-d", "--force-recreate", "fixed")
    assert labdock(engine, folder, "ps", "-q", "ext") == ids, "what it needs was left alone"
    assert "extra" not in labdock(engine, folder, "config", "--services")
    assert "not-there:1" in labdock(engine, folder, "--profile", "more", "config", "--images")
    merged = json.loads(
        labdock(engine, folder, "-f", "compose.yaml", "-f", "over.yaml", "config", "--format", "json", "ext", "wide")
    )["services"]
    assert merged["ext"]["environment"] == {"FROM": "over", "MORE": "1"} and "ports" not in merged["ext"]
    assert merged["wide"]["tmpfs"] == ["/only"] and merged["wide"]["labels"] == {"a": "b"}
    assert "wide-built" in labdock(engine, folder, "images", "built")
    assert "is not supported" in labdock(engine, folder, "watch", code=1)
