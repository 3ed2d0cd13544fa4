# ruff: noqa: E501 (a table reads better with a line for each case)
"""A service as the request that makes its container, and what makes it another container."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from labdock.compose import labels, requests
from labdock.compose.files import tar_of
from labdock.compose.loading import Project, Request, load


def project(text: str, folder: Path, **environ: str) -> Project:
    return load(Request(text=text, folder=folder, name="shop"), environ)


def wire(text: str, folder: Path, more: str = "") -> Any:
    made = project(f"services:\n  web:\n    image: busybox\n    {text}\n  db: {{image: x}}\n{more}", folder)
    request = requests.request_for("web", made.services["web"], made, labels={"l": "1"}, find=lambda name: f"id-{name}")
    return msgspec.to_builtins(request)


TABLE: list[tuple[str, str, tuple[str, ...], Any]] = [
    ("ports: ['127.0.0.1:80:8080/udp']", "", ("HostConfig", "PortBindings"), {"8080/udp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]}),
    ("ports: ['80']", "", ("ExposedPorts",), {"80/tcp": {}}),
    ("volumes: ['data:/d:ro']", "volumes: {data: }", ("HostConfig", "Binds"), ["shop_data:/d:ro"]),
    ("volumes: ['data:/d']", "volumes: {data: {external: true}}", ("HostConfig", "Binds"), ["data:/d:rw"]),
    ("volumes: ['data:/d']", "volumes: {data: {name: mine}}", ("HostConfig", "Binds"), ["mine:/d:rw"]),
    ("volumes: [/anon]", "", ("Volumes",), {"/anon": {}}),
    ("volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1k}}]", "", ("HostConfig", "Mounts"), [{"Target": "/t", "Type": "tmpfs", "TmpfsOptions": {"SizeBytes": 1024}}]),
    ("secrets: [s]", "secrets: {s: {file: /f}}", ("HostConfig", "Mounts"), [{"Target": "/run/secrets/s", "Source": "/f", "Type": "bind", "ReadOnly": True}]),
    ("configs: [{source: c, target: /etc/c}]", "configs: {c: {file: /f}}", ("HostConfig", "Mounts"), [{"Target": "/etc/c", "Source": "/f", "Type": "bind", "ReadOnly": True}]),
    ("init: true", "", ("HostConfig", "NetworkMode"), "shop_default"),
    ("init: true", "", ("NetworkingConfig", "EndpointsConfig"), {"shop_default": {"Aliases": ["web"]}}),
    ("networks: {n: {aliases: [a], ipv4_address: 10.0.0.9}}", "networks: {n: {external: true}}", ("NetworkingConfig", "EndpointsConfig"), {"n": {"Aliases": ["a", "web"], "IPAMConfig": {"IPv4Address": "10.0.0.9"}}}),
    ("networks: {a: , b: {priority: 5}}", "networks: {a: , b: }", ("HostConfig", "NetworkMode"), "shop_b"),
    ("network_mode: host", "", ("HostConfig", "NetworkMode"), "host"),
    ("network_mode: service:db", "", ("HostConfig", "NetworkMode"), "container:id-db"),
    ("pid: service:db", "", ("HostConfig", "PidMode"), "container:id-db"),
    ("volumes_from: ['db:ro']", "", ("HostConfig", "VolumesFrom"), ["id-db:ro"]),
    ("links: ['db:base']", "", ("HostConfig", "Links"), ["id-db:base"]),
    ("restart: on-failure:3", "", ("HostConfig", "RestartPolicy"), {"Name": "on-failure", "MaximumRetryCount": 3}),
    ("deploy: {restart_policy: {condition: any}}", "", ("HostConfig", "RestartPolicy"), {"Name": "always"}),
    ("deploy: {resources: {limits: {cpus: '0.5', memory: 64m, pids: 9}}}", "", ("HostConfig", "NanoCpus"), 500_000_000),
    ("deploy: {resources: {limits: {cpus: '0.5', memory: 64m, pids: 9}}}", "", ("HostConfig", "Memory"), 64 << 20),
    ("stop_grace_period: 1m30s", "", ("StopTimeout",), 90),
    ("healthcheck: {disable: true}", "", ("Healthcheck",), {"Test": ["NONE"]}),
    ("healthcheck: {test: x, interval: 2s, retries: 4}", "", ("Healthcheck",), {"Test": ["CMD-SHELL", "x"], "Interval": 2 * 10**9, "Retries": 4}),
    ("logging: {driver: json-file, options: {max-size: 1m}}", "", ("HostConfig", "LogConfig"), {"Type": "json-file", "Config": {"max-size": "1m"}}),
    ("environment: [A=1, NOBODY]", "", ("Env",), ["A=1"]),
    ("labels: [mine=2]", "", ("Labels",), {"mine": "2", "l": "1"}),
    ("extra_hosts: [a=1.2.3.4]", "", ("HostConfig", "ExtraHosts"), ["a:1.2.3.4"]),
    ("ulimits: {nofile: 9}", "", ("HostConfig", "Ulimits"), [{"Name": "nofile", "Soft": 9, "Hard": 9}]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "more", "path", "expected"), TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE])
def test_keys_become(tmp_path: Path, text: str, more: str, path: tuple[str, ...], expected: Any) -> None:
    found = wire(text, tmp_path, more)
    for key in path:
        found = found[key]
    assert msgspec.json.decode(msgspec.json.encode(found)) == expected


def test_secrets_out_of_the_environment_and_configs_with_content(tmp_path: Path) -> None:
    made = project(
        "services:\n  web:\n    image: x\n    secrets: [{source: s, mode: 0400, uid: '5'}]\n    configs: [c]\n"
        "secrets: {s: {environment: WORD}}\nconfigs: {c: {content: 'a ${WORD}'}}\n",
        tmp_path,
        WORD="word",
    )
    with tarfile.open(fileobj=io.BytesIO(tar_of(requests.contents(made.services["web"], made)))) as archive:
        found = {entry.name: (archive.extractfile(entry).read(), entry.mode, entry.uid) for entry in archive}  # type: ignore[union-attr]
    assert found == {"run/secrets/s": (b"word", 0o400, 5), "c": (b"a word", 0o444, 0)}


BASE = "services:\n  web:\n    image: x\n    secrets: [s]\n    {}\n  db: {{image: y}}\nsecrets: {{s: {{environment: W}}}}\n"


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        ("command: a", "command: [a]", True),
        ("scale: 1", "scale: 3", True),
        ("depends_on: [db]", "init: false", False),
        ("depends_on: [db]", "profiles: []", True),
        ("environment: [A=1]", "environment: {A: 1}", True),
        ("environment: [A=1]", "environment: [A=2]", False),
    ],
)
def test_what_makes_another_container(tmp_path: Path, text: str, other: str, same: bool) -> None:
    one, two = (project(BASE.format(line), tmp_path, W="1") for line in (text, other))
    digests = {labels.config_hash(made.services["web"], made) for made in (one, two)}
    assert (len(digests) == 1) is same


def test_another_secret_makes_another_container(tmp_path: Path) -> None:
    made = [project(BASE.format("init: true"), tmp_path, W=word) for word in ("1", "2")]
    assert len({labels.config_hash(each.services["web"], each) for each in made}) == 2
