# ruff: noqa: E501  (a table: one line, one expectation)
"""What must be in the engine's answers (Engine API v1.51): a line per field, its path and its types.

Types: s text, i whole number, b boolean, l list, d object, n null; ``[]`` steps into each element of a list and
``*`` into each value of an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

TYPES: dict[str, tuple[type, ...]] = {
    "s": (str,), "i": (int,), "b": (bool,), "l": (list,), "d": (dict,), "n": (type(None),),
}  # fmt: skip

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)\Z")

VERSION = "Version:s ApiVersion:s MinAPIVersion:s Os:s Arch:s KernelVersion:s GoVersion:s GitCommit:s BuildTime:s Platform.Name:s Components[].Name:s Components[].Version:s"
INFO = (
    "ID:s Containers:i ContainersRunning:i ContainersPaused:i ContainersStopped:i Images:i Driver:s DriverStatus:ln Plugins.Volume:ln Plugins.Network:ln "
    "MemoryLimit:b SwapLimit:b CpuCfsPeriod:b CpuCfsQuota:b CPUShares:b CPUSet:b PidsLimit:b OomKillDisable:b IPv4Forwarding:b Debug:b NFd:i NGoroutines:i "
    "SystemTime:s LoggingDriver:s CgroupDriver:s NEventsListener:i KernelVersion:s OperatingSystem:s OSType:s Architecture:s NCPU:i MemTotal:i "
    "IndexServerAddress:s DockerRootDir:s Name:s Labels:ln ExperimentalBuild:b ServerVersion:s Runtimes:d DefaultRuntime:s Swarm.LocalNodeState:s "
    "LiveRestoreEnabled:b InitBinary:s SecurityOptions:ln Warnings:ln"
)
CONTAINER = (
    "Id:s Created:s Path:s Args:l State.Status:s State.Running:b State.Paused:b State.Restarting:b State.OOMKilled:b State.Dead:b State.Pid:i State.ExitCode:i "
    "State.Error:s State.StartedAt:s State.FinishedAt:s Image:s ResolvConfPath:s HostnamePath:s HostsPath:s LogPath:s Name:s RestartCount:i Driver:s Platform:s "
    "MountLabel:s ProcessLabel:s AppArmorProfile:s ExecIDs:ln HostConfig.Binds:ln HostConfig.NetworkMode:s HostConfig.PortBindings:dn HostConfig.RestartPolicy.Name:s "
    "HostConfig.RestartPolicy.MaximumRetryCount:i HostConfig.AutoRemove:b HostConfig.LogConfig.Type:s HostConfig.LogConfig.Config:d HostConfig.Privileged:b "
    "HostConfig.ShmSize:i HostConfig.Memory:i HostConfig.NanoCpus:i Mounts:l Config.Hostname:s Config.User:s Config.AttachStdin:b Config.Tty:b Config.OpenStdin:b "
    "Config.Env:l Config.Cmd:ln Config.Image:s Config.WorkingDir:s Config.Entrypoint:ln Config.Labels:d NetworkSettings.Ports:d NetworkSettings.SandboxID:s "
    "NetworkSettings.SandboxKey:s NetworkSettings.Networks.*.IPAddress:s NetworkSettings.Networks.*.IPPrefixLen:i NetworkSettings.Networks.*.Gateway:s "
    "NetworkSettings.Networks.*.MacAddress:s NetworkSettings.Networks.*.NetworkID:s NetworkSettings.Networks.*.EndpointID:s NetworkSettings.Networks.*.Aliases:ln"
)
LISTED = (
    "[].Id:s [].Names[]:s [].Image:s [].ImageID:s [].Command:s [].Created:i [].Ports:l [].Labels:d [].State:s [].Status:s [].HostConfig.NetworkMode:s "
    "[].NetworkSettings.Networks:d [].Mounts:l"
)
IMAGE = (
    "Id:s RepoTags:l RepoDigests:l Created:s Architecture:s Os:s Size:i Config.Env:ln Config.Cmd:ln RootFS.Type:s RootFS.Layers[]:s GraphDriver.Name:s "
    "GraphDriver.Data:dn Metadata.LastTagTime:s"
)
NETWORK = "Name:s Id:s Created:s Scope:s Driver:s EnableIPv6:b Internal:b Attachable:b Ingress:b IPAM.Driver:s IPAM.Config:ln Containers:d Options:dn Labels:dn"
VOLUME = "Name:s Driver:s Mountpoint:s CreatedAt:s Labels:dn Scope:s Options:dn"
EXEC = (
    "ID:s Running:b ExitCode:in OpenStdin:b OpenStdout:b OpenStderr:b CanRemove:b ContainerID:s Pid:i ProcessConfig.entrypoint:s ProcessConfig.arguments:ln "
    "ProcessConfig.tty:b ProcessConfig.privileged:b"
)

# method, path, status, fields
ANSWERS = [
    ("GET", "/version", 200, VERSION),
    ("GET", "/info", 200, INFO),
    ("GET", "/containers/json?all=1", 200, LISTED),
    ("GET", "/containers/json?all=1&size=1", 200, LISTED + " [].SizeRootFs:i"),
    ("GET", "/containers/shape/json", 200, CONTAINER),
    ("GET", "/containers/idle/json", 200, CONTAINER.split(" NetworkSettings.Networks.*", maxsplit=1)[0]),
    ("GET", "/containers/shape/json?size=1", 200, "SizeRootFs:i"),
    ("GET", "/containers/shape/top", 200, "Titles[]:s Processes[][]:s"),
    (
        "GET",
        "/images/json",
        200,
        "[].Id:s [].ParentId:s [].RepoTags:l [].RepoDigests:ln [].Created:i [].Size:i [].SharedSize:i [].Labels:dn [].Containers:i",
    ),
    ("GET", "/images/busybox/json", 200, IMAGE),
    ("GET", "/images/busybox/history", 200, "[].Id:s [].Created:i [].CreatedBy:s [].Tags:ln [].Size:i [].Comment:s"),
    ("GET", "/networks", 200, " ".join("[]." + field for field in NETWORK.split())),
    ("GET", "/networks/bridge", 200, NETWORK),
    ("GET", "/volumes", 200, "Volumes[].Name:s Warnings:ln"),
    ("POST", "/volumes/create", 201, VOLUME),
    ("GET", "/volumes/shape", 200, VOLUME),
    ("GET", "/system/df", 200, "LayersSize:i Images:ln Containers:ln Volumes:ln BuildCache:ln"),
    ("POST", "/containers/prune", 200, "ContainersDeleted:ln SpaceReclaimed:i"),
    ("POST", "/images/prune", 200, "ImagesDeleted:ln SpaceReclaimed:i"),
    ("POST", "/volumes/prune", 200, "VolumesDeleted:ln SpaceReclaimed:i"),
    ("GET", "/exec/{exec}/json", 200, EXEC),
    ("GET", "/containers/nope/json", 404, "message:s"),
    ("GET", "/labdock/doctor", 200, ""),
]


@pytest.fixture
def shaped(http: httpx.Client, clean: None) -> Iterator[dict[str, str]]:
    """A running container `shape` with an exec, a created one `idle`, a volume `shape`."""
    body: dict[str, Any] = {"Image": "busybox", "Cmd": ["sleep", "60"], "HostConfig": {"Binds": ["shape:/v"]}}
    for name in ("shape", "idle"):
        assert http.post(f"/containers/create?name={name}", json=body).status_code == 201
    assert http.post("/containers/shape/start").status_code == 204
    made = http.post("/containers/shape/exec", json={"Cmd": ["true"]}).json()["Id"]
    yield {"exec": made}
    http.delete("/containers/shape?force=1")
    http.delete("/containers/idle?force=1")
    http.delete("/volumes/shape")


@pytest.mark.parametrize(("method", "path", "status", "fields"), ANSWERS, ids=lambda value: str(value)[:40])
def test_answer(http: httpx.Client, shaped: dict[str, str], method: str, path: str, status: int, fields: str) -> None:
    body: dict[str, str] | None = {} if method == "POST" else None
    answer = http.request(method, path.format(**shaped), json=body)
    assert answer.status_code == status, answer.text
    found = answer.json()
    problems = [problem for field in fields.split() for problem in check(found, field)]
    assert not problems, "\n".join(problems)


def check(value: Any, field: str) -> list[str]:
    path, _, kinds = field.rpartition(":")
    return list(_walk(value, re.findall(r"\[\]|\*|[^.\[\]*]+", path), kinds, ""))


def _walk(value: Any, steps: list[str], kinds: str, at: str) -> Iterator[str]:
    if not steps:
        allowed = tuple(kind for letter in kinds for kind in TYPES[letter])
        if (isinstance(value, bool) and bool not in allowed) or not isinstance(value, allowed):
            yield f"{at}: {value!r} is none of {kinds}"
        return
    step, rest = steps[0], steps[1:]
    if step == "[]":
        if not isinstance(value, list):
            yield f"{at}: {value!r} is no list"
            return
        for index, each in enumerate(value):
            yield from _walk(each, rest, kinds, f"{at}[{index}]")
    elif not isinstance(value, dict):
        yield f"{at}: {value!r} is no object"
    elif step == "*":
        for key, each in value.items():
            yield from _walk(each, rest, kinds, f"{at}.{key}")
    elif step not in value:
        yield f"{at}.{step} is missing"
    else:
        yield from _walk(value[step], rest, kinds, f"{at}.{step}")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/containers/shape/json", "Created"),
        ("/containers/shape/json", "State.StartedAt"),
        ("/containers/shape/json", "State.FinishedAt"),
        ("/containers/idle/json", "State.StartedAt"),
        ("/images/busybox/json", "Created"),
        ("/volumes/shape", "CreatedAt"),
        ("/networks/bridge", "Created"),
        ("/info", "SystemTime"),
    ],
)
def test_times_are_rfc_3339(http: httpx.Client, shaped: dict[str, str], path: str, field: str) -> None:
    value: Any = http.get(path).json()
    for step in field.split("."):
        value = value[step]
    assert TIME.match(value), value


@pytest.mark.parametrize("version", ["v1.24", "v1.40", "v1.51"])
def test_every_answer_carries_what_clients_negotiate_by(http: httpx.Client, version: str) -> None:
    for path in ("/_ping", "/version", "/containers/nope/json"):
        headers = http.get(f"/{version}{path}").headers
        assert headers["api-version"] == "1.51"
        assert headers["ostype"] == "linux"
        assert headers["docker-experimental"] == "false"
        assert headers["server"].startswith("labdock/")
    assert http.head("/_ping").headers["builder-version"] == "1"
