# ruff: noqa: E501 (tables read better with a line for each case)
"""Compose files: what they mean, how several become one, and what is said of mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from labdock.compose.document import ComposeError, parse
from labdock.compose.environment import parse as parse_environment
from labdock.compose.loading import Project, Request, load
from labdock.compose.plan import order
from labdock.errors import InvalidRequest

Write = Callable[..., Project]


@pytest.fixture
def project(tmp_path: Path) -> Write:
    def made(*texts: str, environ: Mapping[str, str] | None = None, **more: Any) -> Project:
        files = []
        for number, text in enumerate(texts):
            path = tmp_path / f"{number}.yaml"
            path.write_text(text)
            files.append(path)
        return load(Request(files=tuple(files), name="shop", **more), environ or {})

    return made


def service(text: str) -> str:
    return f"services:\n  web:\n    image: busybox\n    {text}\n"


MISTAKES = [
    ("services:\n  web:\n    imag: busybox\n", "0.yaml:3: services.web.imag: unknown key", "did you mean 'image'?"),
    (service("prots: ['80']"), "0.yaml:4: services.web.prots: unknown key", "did you mean 'ports'?"),
    (service("ports: ['eighty']"), "0.yaml:4: services.web.ports[0]: invalid port 'eighty'", "8080:80"),
    (service("ports: ['80:90/tpc']"), "services.web.ports[0]: invalid port '80:90/tpc': 'tpc' is none of", None),
    (service("ports: ['80-81:90-92']"), "the two ranges differ in length", None),
    (service("ports: ['70000']"), "ports are 1 to 65535", None),
    (service("ports: {a: 1}"), "services.web.ports: a list is expected, not a mapping", None),
    (service("privileged: 3"), "0.yaml:4: services.web.privileged: true or false is expected, not a number 3", None),
    (service("restart: sometimes"), "'sometimes' is none of no, always", None),
    (service("mem_limit: 5x"), "services.web.mem_limit: a size is expected", "512m"),
    (service("stop_grace_period: soon"), "a duration is expected", "1m30s"),
    (service("volumes: ['data:/srv']"), "services.web.volumes[0]: there is no volume 'data'", "volumes: {data: }"),
    (service("volumes: ['a:b:c:d']"), "invalid volume 'a:b:c:d'", "NAME-OR-PATH"),
    (service("volumes: ['./a:b']"), "the path inside must be absolute", None),
    (service("volumes: ['./a:/b:rx']"), "unknown option 'rx'", None),
    (service("networks: [inner]"), "0.yaml:4: services.web.networks.inner: there is no network 'inner'", None),
    (service("secrets: [s]"), "there is no secret 's'", "secrets: {s: }"),
    (service("depends_on: [wep]"), "services.web.depends_on.wep: there is no service 'wep'", "did you mean 'web'?"),
    (service("depends_on: {web: {condition: soon}}"), "depends_on.web.condition: 'soon' is none of", None),
    (service("network_mode: host\n    networks: [default]"), "it can't go with 'networks'", None),
    (service("container_name: x\n    scale: 2"), "2 containers can't have one name", None),
    (service("scale: -1"), "a number of 0 or more is expected", None),
    (service("healthcheck: {test: [wget, x]}"), "the list begins with NONE, CMD or CMD-SHELL", None),
    (service("healthcheck: {tests: x}"), "services.web.healthcheck.tests: unknown key", "did you mean 'test'?"),
    (service("gpus: all"), "services.web.gpus: this key is not supported", "device files"),
    (service("environment: [=x]"), "services.web.environment[0]: NAME=VALUE is expected", None),
    (service("environment: 5"), "a mapping or a list of NAME=VALUE is expected", None),
    (service('command: "echo \'open"'), "the line can't be split into words", None),
    (service("image: other"), "0.yaml:4: key 'image' is already defined at line 3", None),
    (service("labels: [a"), "0.yaml:", None),
    (service("user: ${WHO:?tell me}"), "0.yaml:4: services.web.user: required variable WHO is missing", None),
    (service("user: ${WHO"), "0.yaml:4: services.web.user: invalid interpolation format", None),
    (service("env_file: none.env"), "services.web.env_file: env file", None),
    (service("extends: other"), "services.web.extends: there is no service 'other'", None),
    (service("extends: web"), "services extend each other in a circle", None),
    ("services:\n  web: {}\n", "0.yaml:2: services.web: neither 'image' nor 'build' is given", "image: NAME"),
    ("services:\n  we b: {image: x}\n", "'we b' is no service name", None),
    ("services: [web]\n", "0.yaml:1: services: a mapping is expected, not a list", None),
    ("service: {}\n", "0.yaml:1: service: unknown key", "did you mean 'services'?"),
    ("- a\n", "0.yaml:1: a Compose file is a mapping", None),
    ("name: Shop!\nservices: {}\n", "0.yaml:1: name: 'Shop!' is no project name", None),
    ("networks: {}\n", "no services defined", None),
    (
        service("init: true") + "networks: {a: {external: true, driver: x}}\n",
        "networks.a.driver: what is external",
        None,
    ),
    (service("init: true") + "secrets: {s: {}}\n", "0.yaml:5: secrets.s: one of 'file', 'environment' says", None),
    (service("init: true") + "secrets: {s: {external: true}}\n", "external ones need a swarm", None),
    ("a: &a\n  b: *a\n", "an anchor holds an alias of itself", None),
]


@pytest.mark.parametrize(("text", "says", "hint"), MISTAKES, ids=[says[:60] for _, says, _ in MISTAKES])
def test_mistakes_are_named_with_their_place(project: Write, text: str, says: str, hint: str | None) -> None:
    with pytest.raises(ComposeError) as caught:
        project(text)
    assert says in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


MEANINGS: list[tuple[str, str, Any]] = [
    ("command: echo 'a b' c", "command", ["echo", "a b", "c"]),
    ("command: ", "command", None),
    ("command: [sleep, 5]", "command", ["sleep", "5"]),
    ("environment: [A=1, B, C=]", "environment", {"A": "1", "B": None, "C": ""}),
    ("environment: {A: 1, B: , C: true, D: 1.5}", "environment", {"A": "1", "B": None, "C": "true", "D": "1.5"}),
    ("labels: [a, b=c]", "labels", {"a": "", "b": "c"}),
    ("expose: [80, 90-91/udp]", "expose", ["80/tcp", "90/udp", "91/udp"]),
    ("mem_limit: 64m", "mem_limit", 64 << 20),
    ("restart: no", "restart", "no"),
    ("restart: on-failure:3", "restart", "on-failure:3"),
    ("init: ${YES}", "init", True),
    ("cap_add: [net_admin, ALL]", "cap_add", ["CAP_NET_ADMIN", "ALL"]),
    ("extra_hosts: {a: 1.2.3.4}", "extra_hosts", ["a=1.2.3.4"]),
    ("extra_hosts: ['a:1.2.3.4', 'b=::1']", "extra_hosts", ["a=1.2.3.4", "b=::1"]),
    ("ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}}", "ulimits", {"nofile": {"soft": 5, "hard": 5}, "nproc": {"soft": 1, "hard": 2}}),
    ("tmpfs: /run", "tmpfs", ["/run"]),
    ("dns: 1.1.1.1", "dns", ["1.1.1.1"]),
    ("healthcheck: {test: true}", "healthcheck", {"test": ["CMD-SHELL", "true"]}),
    ("healthcheck: {test: [CMD, x], interval: 1m30s}", "healthcheck", {"test": ["CMD", "x"], "interval": "1m30s"}),
    ("ports: ['80']", "ports", [{"mode": "ingress", "target": 80, "protocol": "tcp"}]),
    (
        "ports: ['127.0.0.1:8000-8001:80-81/udp']",
        "ports",
        [
            {"mode": "ingress", "host_ip": "127.0.0.1", "target": 80, "published": "8000", "protocol": "udp"},
            {"mode": "ingress", "host_ip": "127.0.0.1", "target": 81, "published": "8001", "protocol": "udp"},
        ],
    ),
    ("ports: ['8000-8010:80']", "ports", [{"mode": "ingress", "target": 80, "published": "8000-8010", "protocol": "tcp"}]),
    ("ports: ['[::1]:80:80']", "ports", [{"mode": "ingress", "host_ip": "::1", "target": 80, "published": "80", "protocol": "tcp"}]),
    ("ports: [{target: 80, published: 8080}]", "ports", [{"mode": "ingress", "protocol": "tcp", "target": 80, "published": "8080"}]),
    ("volumes: [/data]", "volumes", [{"type": "volume", "target": "/data"}]),
    ("volumes: ['/a:/b:ro']", "volumes", [{"type": "bind", "source": "/a", "target": "/b", "read_only": True, "bind": {"create_host_path": True}}]),
    ("volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 01777}}]", "volumes", [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": 1 << 20, "mode": 0o1777}}]),
    ("depends_on: {web2: {condition: service_healthy, required: false}}", "depends_on", {}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key", "meaning"), MEANINGS, ids=[text for text, _, _ in MEANINGS])
def test_forms_mean(project: Write, text: str, key: str, meaning: Any) -> None:
    found = project(service(text), environ={"YES": "true"}).services["web"]
    assert found[key] == meaning


MERGES: list[tuple[str, str, str, Any]] = [
    ("command: a b", "command: c", "command", ["c"]),
    ("entrypoint: [a]", "entrypoint: [b]", "entrypoint", ["b"]),
    ("environment: [A=1, B=1]", "environment: {B: 2, C: 3}", "environment", {"A": "1", "B": "2", "C": "3"}),
    ("labels: {a: x}", "labels: [b=y]", "labels", {"a": "x", "b": "y"}),
    ("expose: [80]", "expose: [80, 81]", "expose", ["80/tcp", "81/tcp"]),
    ("dns: [1.1.1.1]", "dns: 2.2.2.2", "dns", ["1.1.1.1", "2.2.2.2"]),
    ("healthcheck: {test: a, retries: 2}", "healthcheck: {test: b}", "healthcheck", {"test": ["CMD-SHELL", "b"], "retries": 2}),
    ("volumes: ['/a:/x', '/b:/y']", "volumes: ['/c:/x:ro']", "volumes", [("/c", "/x"), ("/b", "/y")]),
    ("ports: ['80:80']", "ports: ['80:80', '81:80']", "ports", ["80", "81"]),
    ("ports: ['80:80']", "ports: !reset []", "ports", None),
    ("ports: ['80:80']", "ports: !override ['90:90']", "ports", ["90"]),
    ("environment: {A: 1}", "environment: {A: !reset null}", "environment", None),
    ("logging: {driver: a, options: {x: '1'}}", "logging: {driver: b}", "logging", {"driver": "b"}),
    ("logging: {driver: a, options: {x: '1'}}", "logging: {options: {y: '2'}}", "logging", {"driver": "a", "options": {"x": "1", "y": "2"}}),
    ("restart: always", "init: true", "restart", "always"),
]  # fmt: skip


@pytest.mark.parametrize(("base", "over", "key", "meaning"), MERGES, ids=[f"{a} + {b}" for a, b, _, _ in MERGES])
def test_a_later_file_over_an_earlier_one(project: Write, base: str, over: str, key: str, meaning: Any) -> None:
    found: Any = project(service(base), f"services:\n  web:\n    {over}\n").services["web"].get(key)
    if key == "volumes":
        found = [(item["source"], item["target"]) for item in found]
    elif key == "ports" and found is not None:
        found = [item["published"] for item in found]
    assert found == meaning


def test_anchors_merge_keys_and_extensions(project: Write) -> None:
    found = project(
        "x-base: &base\n  image: busybox\n  init: true\n  environment: &env {A: '1'}\n"
        "services:\n  one:\n    <<: *base\n    init: false\n"
        "  two:\n    <<: [*base]\n    environment: {<<: *env, B: '2'}\n    x-mine: anything\n"
    ).services
    assert found["one"]["init"] is False and found["one"]["image"] == "busybox"
    assert found["two"]["environment"] == {"A": "1", "B": "2"} and "x-mine" not in found["two"]


def test_profiles_choose_and_a_named_service_brings_its_own(project: Write) -> None:
    text = "services:\n  a: {image: x}\n  b: {image: x, profiles: [more], depends_on: [c]}\n  c: {image: x, profiles: [more]}\n"
    assert set(project(text).services) == {"a"}
    assert set(project(text, profiles=frozenset({"more"})).services) == {"a", "b", "c"}
    assert set(project(text, profiles=frozenset({"*"})).services) == {"a", "b", "c"}
    assert set(project(text, named=("b",)).services) == {"a", "b", "c"}
    with pytest.raises(ComposeError, match="'c' is not enabled"):
        project("services:\n  a: {image: x, depends_on: [c]}\n  c: {image: x, profiles: [more]}\n")


def test_extends_in_this_file_and_another_with_paths_of_its_own(tmp_path: Path, project: Write) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "common.yaml").write_text(
        "services:\n  root: {image: busybox, environment: {A: '1', B: '1'}, volumes: ['./x:/x']}\n"
        "  mid: {extends: root, environment: {B: '2'}}\n"
    )
    found = project(
        "services:\n  web: {extends: {file: base/common.yaml, service: mid}, environment: {C: '3'}}\n"
    ).services["web"]
    assert found["environment"] == {"A": "1", "B": "2", "C": "3"}
    assert found["volumes"][0]["source"] == str(tmp_path / "base" / "x")


def test_include_brings_services_and_refuses_to_differ(tmp_path: Path, project: Write) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / ".env").write_text("TAG=from-part\n")
    (tmp_path / "part" / "compose.yaml").write_text(
        "services:\n  db: {image: 'db:${TAG}', volumes: ['data:/d', './f:/f']}\nvolumes: {data: }\n"
    )
    text = "include: [part/compose.yaml]\nservices:\n  web: {image: x, depends_on: [db]}\n"
    found = project(text)
    assert found.services["db"]["image"] == "db:from-part"
    assert found.services["db"]["volumes"][1]["source"] == str(tmp_path / "part" / "f")
    assert found.volumes["data"]["name"] == "shop_data"
    with pytest.raises(ComposeError, match="it is defined in the including file too"):
        project(text + "  db: {image: other}\n")


def test_the_environment_of_a_service(tmp_path: Path, project: Write) -> None:
    (tmp_path / ".env").write_text("FROM_DOT=dot\n")
    (tmp_path / "app.env").write_text("A=file\nB=file\n")
    text = service("env_file: app.env\n    environment: [B=own, FROM_DOT, SHELL_HAS, NOBODY_HAS]")
    found = project(text, environ={"SHELL_HAS": "yes"}).services["web"]["environment"]
    expected = {"A": "file", "B": "own", "FROM_DOT": "dot", "SHELL_HAS": "yes", "NOBODY_HAS": None}
    assert found == expected
    assert project(service("user: $FROM_DOT")).services["web"]["user"] == "dot"
    assert project(service("user: $FROM_DOT"), environ={"FROM_DOT": "shell"}).services["web"]["user"] == "shell"


def test_lines_of_an_environment_file() -> None:
    text = '# no\nA=1\nexport B = two words # no\nC=\'$A $$\'\nD="a\\nb $A"\nE="over\nlines"\nF\nG=\nH=${A}x\nI=a#b\n'
    assert parse_environment(text, "x.env", {}) == {
        "A": "1",
        "B": "two words",
        "C": "$A $$",
        "D": "a\nb 1",
        "E": "over\nlines",
        "F": None,
        "G": "",
        "H": "1x",
        "I": "a#b",
    }
    with pytest.raises(InvalidRequest, match=r"x\.env:2: unexpected"):
        parse_environment("A=1\n=x\n", "x.env", {})


def test_order_and_circles() -> None:
    assert order({"web": ["db", "cache"], "db": [], "cache": ["db"]}) == ["db", "cache", "web"]
    assert order({"a": ["b"], "b": [], "c": []}, ["a"]) == ["b", "a"]
    with pytest.raises(InvalidRequest, match="dependency cycle: a -> b -> a"):
        order({"a": ["b"], "b": ["a"]})


def test_aliases_that_multiply_are_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]
    with pytest.raises(ComposeError, match="too many values"):
        parse("\n".join(lines), "bomb.yaml")
