# ruff: noqa: E501  (a table: one line, one expectation)
"""Networks by the docker CLI: each scenario is a few commands, each line one expectation (see test_cli)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import httpx
import pytest

from .clients import Docker
from .test_cli import ID, Line, matches

# fmt: off
SCENARIOS: dict[str, list[Line]] = {
    "a network's life": [
        ("network create --label team=red web", 0, ID, None),
        ("network create web", 1, None, r"network with name web already exists"),
        ("network ls --filter name=web --format {{.Name}}/{{.Driver}}/{{.Scope}}", 0, r"^web/bridge/local\n$", None),
        ("network ls -q --filter type=custom", 0, r"^[0-9a-f]{12}\n$", None),
        ("network ls --filter dangling=true --format {{.Name}}", 0, r"^web\n$", None),
        ("network ls --filter label=team=red --format {{.Name}}", 0, r"^web\n$", None),
        ("network ls --filter driver=host --format {{.Name}}", 0, r"^host\n$", None),
        ("network ls --filter nope=1", 1, None, r"(?i)invalid filter 'nope'"),
        ("network inspect -f '{{.Name}} {{.Internal}} {{.EnableIPv6}} {{index .Labels \"team\"}}' web", 0, r"^web false false red\n$", None),
        ("network inspect -f '{{(index .IPAM.Config 0).Gateway}}' web", 0, r"^\d+\.\d+\.\d+\.1\n$", None),
        ("run -d --name box --network web --network-alias b busybox sleep 60", 0, ID, None),
        ("network ls --filter dangling=true --format {{.Name}}", 0, None, None),
        ("network inspect -f '{{range .Containers}}{{.Name}}{{end}}' web", 0, r"^box\n$", None),
        ("inspect -f '{{.HostConfig.NetworkMode}} {{.NetworkSettings.Networks.web.Aliases}}' box", 0, r"^web \[b( [0-9a-f]{12})?\]\n$", None),
        ("ps --filter network=web --format {{.Names}}", 0, r"^box\n$", None),
        ("network rm web", 1, None, r"network web has active endpoints"),
        ("network disconnect web box", 0, None, None),
        ("network disconnect web box", 1, None, r"is not connected to (the )?network web"),
        ("network connect --alias c web box", 0, None, None),
        ("network connect web box", 1, None, r"endpoint with name box already exists in network web"),
        ("network connect nope box", 1, None, r"network nope not found"),
        ("network connect web nope", 1, None, r"No such container: nope"),
        ("rm -f box", 0, r"^box\n$", None),
        ("network rm web", 0, r"^web\n$", None),
        ("network rm web", 1, None, r"network web not found|No such network: web"),
    ],
    "subnets": [
        ("network create --subnet 172.28.0.0/16 --ip-range 172.28.5.0/24 --gateway 172.28.5.254 --aux-address host=172.28.5.0 planned", 0, ID, None),
        ("network inspect -f '{{(index .IPAM.Config 0).IPRange}} {{(index .IPAM.Config 0).Gateway}}' planned", 0, r"^172\.28\.5\.0/24 172\.28\.5\.254\n$", None),
        ("network create --subnet 172.28.4.0/24 other", 1, None, r"Pool overlaps with other one on this address space"),
        ("network create --subnet 172.28.4.1/24 other", 1, None, r"invalid subnet|invalid network config"),
        ("run --rm --network planned busybox ip -o -4 addr show eth0", 0, r"inet 172\.28\.5\.1/16", None),
        ("run --rm --network planned --ip 172.28.9.9 busybox ip -o -4 addr show eth0", 0, r"inet 172\.28\.9\.9/16", None),
        ("run --rm --network planned --ip 10.0.0.1 busybox true", 125, None, r"no configured subnet .*contains? IP address 10\.0\.0\.1"),
        ("run --rm --network planned --mac-address 02:00:00:00:00:07 busybox cat /sys/class/net/eth0/address", 0, r"^02:00:00:00:00:07\n$", None),
        ("network create auto", 0, ID, None),
        ("run --rm --network auto --ip 172.18.9.9 busybox true", 125, None, r"supported only when connecting to networks with user configured subnets"),
        ("network create --ipv6 --subnet fd77::/64 six", 0, ID, None),
        ("run --rm --network six --ip6 fd77::99 busybox ip -6 addr show eth0", 0, r"inet6 fd77::99/64", None),
        ("network create --subnet 172.27.0.0/30 tiny", 0, ID, None),
        ("run -d --name last --network tiny busybox sleep 60", 0, ID, None),
        ("run --rm --network tiny busybox true", 125, None, r"no available IPv4 addresses on this network's address pool"),
        ("rm -f last", 0, r"^last\n$", None),
    ],
    "what can't be made says so": [
        ("network create -d nope x", 1, None, r"plugin.* not found"),
        ("network create -d overlay x", 1, None, r"swarm"),
        ("network create -d host x", 1, None, r"only one instance of \"host\" network is allowed"),
        ("network create bridge", 1, None, r"not permitted on predefined bridge network"),
        ("network create --config-only x", 1, None, r"config-only"),
        ("network rm bridge", 1, None, r"bridge is a pre-defined network and cannot be removed"),
        ("run --rm --network nope busybox true", 125, None, r"network nope not found"),
        ("create --name alone --network host busybox true", 0, ID, None),
        ("network connect bridge alone", 1, None, r"cannot be connected to"),
        ("run --rm --network container:nope busybox true", 125, None, r"No such container: nope"),
    ],
    "prune": [
        ("network create --label keep=1 kept", 0, ID, None),
        ("network create used", 0, ID, None),
        ("network create 'with a space'", 0, ID, None),
        ("run -d --name user --network used busybox sleep 60", 0, ID, None),
        ("network prune -f --filter label!=keep", 0, r"^Deleted Networks:\nwith a space\n", None),
        ("network prune -f", 0, r"^Deleted Networks:\nkept\n", None),
        ("network prune -f", 0, None, None),
        ("rm -f user", 0, r"^user\n$", None),
    ],
    "options of the bridge": [
        ("network create -o com.docker.network.bridge.name=mybridge -o com.docker.network.driver.mtu=1400 tuned", 0, ID, None),
        ("network inspect -f '{{index .Options \"com.docker.network.driver.mtu\"}}' tuned", 0, r"^1400\n$", None),
        ("run --rm --network tuned busybox cat /sys/class/net/eth0/mtu", 0, r"^1400\n$", None),
        ("network create -o com.docker.network.bridge.name=mybridge x", 1, None, r"bridge mybridge exists already"),
        ("network create -o com.docker.network.bridge.enable_icc=perhaps x", 1, None, r"not a boolean"),
        ("network create -o com.docker.network.bridge.host_binding_ipv4=127.0.0.1 near", 0, ID, None),
        ("run -d --name pub --network near -p 80 busybox sleep 60", 0, ID, None),
        ("port pub", 0, r"^80/tcp -> 127\.0\.0\.1:\d+\n$", None),
        ("rm -f pub", 0, r"^pub\n$", None),
    ],
    "events": [
        ("network create seen", 0, ID, None),
        ("run --rm --network seen busybox true", 0, None, None),
        ("network rm seen", 0, r"^seen\n$", None),
        ("events --since 1h --until=-1s --filter network=seen --format {{.Action}}", 0, r"(?s)create\nconnect\ndisconnect\ndestroy\n", None),
    ],
}
# fmt: on


@pytest.fixture(autouse=True)
def no_networks(http: httpx.Client) -> Iterator[None]:
    """No network of a test outlives it."""
    yield
    for container in http.get("/containers/json?all=1").json():
        http.delete(f"/containers/{container['Id']}?force=1&v=1")
    for network in http.get("/networks").json():
        if network["Name"] not in ("bridge", "host", "none"):
            assert http.delete(f"/networks/{network['Id']}").status_code == 204


@pytest.mark.parametrize("title", SCENARIOS)
def test_scenario(title: str, docker: Docker) -> None:
    for command, code, out, err in SCENARIOS[title]:
        done = docker(*shlex.split(command))
        shown = f"docker {command}\n→ {done.code} (expected {code})\nstdout: {done.out!r} (expected {out!r})\nstderr: {done.err!r} (expected {err!r})"
        assert done.code == code and matches(out, done.out) and matches(err, done.err), shown
