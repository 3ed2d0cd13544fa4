# ruff: noqa: E501  (a table: one line, one expectation)
"""What is in the engine's answers: for each kind of answer the fields that are always there, with their types. Pure.

A field is a path and its types: ``s`` text, ``i`` whole number, ``f`` number, ``b`` boolean, ``l`` list, ``d`` object,
``n`` null; ``[]`` steps into each element of a list and ``*`` into each value of an object. An answer may hold more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_TYPES = {"s": "string", "i": "integer", "f": "number", "b": "boolean", "l": "array", "d": "object", "n": "null"}
_PYTHON: dict[str, tuple[type, ...]] = {
    "s": (str,), "i": (int,), "f": (int, float), "b": (bool,), "l": (list,), "d": (dict,), "n": (type(None),),
}  # fmt: skip


def _each(fields: str) -> str:
    """The same fields in each element of a list."""
    return " ".join("[]." + field for field in fields.split())


_NETWORK = "Name:s Id:s Created:s Scope:s Driver:s EnableIPv6:b Internal:b Attachable:b Ingress:b IPAM.Driver:s IPAM.Config:ln Options:dn Labels:dn"
_VOLUME = "Name:s Driver:s Mountpoint:s CreatedAt:s Labels:dn Scope:s Options:dn"
_LISTED = (
    "Id:s Names[]:s Image:s ImageID:s Command:s Created:i Ports:l Labels:d State:s Status:s HostConfig.NetworkMode:s "
    "NetworkSettings.Networks:d Mounts:l"
)

SHAPES: dict[str, str] = {
    "Error": "message:s",
    "Id": "Id:s",
    "Created": "Id:s Warnings[]:s",
    "Warnings": "Warnings:ln",
    "Version": "Version:s ApiVersion:s MinAPIVersion:s Os:s Arch:s KernelVersion:s GoVersion:s GitCommit:s BuildTime:s Platform.Name:s Components[].Name:s Components[].Version:s",
    "Info": (
        "ID:s Containers:i ContainersRunning:i ContainersPaused:i ContainersStopped:i Images:i Driver:s DriverStatus:ln Plugins.Volume:ln Plugins.Network:ln "
        "MemoryLimit:b SwapLimit:b CpuCfsPeriod:b CpuCfsQuota:b CPUShares:b CPUSet:b PidsLimit:b OomKillDisable:b IPv4Forwarding:b Debug:b NFd:i NGoroutines:i "
        "SystemTime:s LoggingDriver:s CgroupDriver:s NEventsListener:i KernelVersion:s OperatingSystem:s OSType:s Architecture:s NCPU:i MemTotal:i "
        "IndexServerAddress:s DockerRootDir:s Name:s Labels:ln ExperimentalBuild:b ServerVersion:s Runtimes:d DefaultRuntime:s Swarm.LocalNodeState:s "
        "LiveRestoreEnabled:b InitBinary:s SecurityOptions:ln Warnings:ln"
    ),
    "DiskUsage": "LayersSize:i Images:ln Containers:ln Volumes:ln BuildCache:ln",
    "Container": (
        "Id:s Created:s Path:s Args:l State.Status:s State.Running:b State.Paused:b State.Restarting:b State.OOMKilled:b State.Dead:b State.Pid:i State.ExitCode:i "
        "State.Error:s State.StartedAt:s State.FinishedAt:s Image:s ResolvConfPath:s HostnamePath:s HostsPath:s LogPath:s Name:s RestartCount:i Driver:s Platform:s "
        "MountLabel:s ProcessLabel:s AppArmorProfile:s ExecIDs:ln HostConfig.Binds:ln HostConfig.NetworkMode:s HostConfig.PortBindings:dn HostConfig.RestartPolicy.Name:s "
        "HostConfig.RestartPolicy.MaximumRetryCount:i HostConfig.AutoRemove:b HostConfig.LogConfig.Type:s HostConfig.LogConfig.Config:d HostConfig.Privileged:b "
        "HostConfig.ShmSize:i HostConfig.Memory:i HostConfig.NanoCpus:i Mounts:l Config.Hostname:s Config.User:s Config.AttachStdin:b Config.Tty:b Config.OpenStdin:b "
        "Config.Env:l Config.Cmd:ln Config.Image:s Config.WorkingDir:s Config.Entrypoint:ln Config.Labels:d NetworkSettings.Ports:d NetworkSettings.SandboxID:s "
        "NetworkSettings.SandboxKey:s NetworkSettings.Networks.*.IPAddress:s NetworkSettings.Networks.*.IPPrefixLen:i NetworkSettings.Networks.*.Gateway:s "
        "NetworkSettings.Networks.*.MacAddress:s NetworkSettings.Networks.*.NetworkID:s NetworkSettings.Networks.*.EndpointID:s NetworkSettings.Networks.*.Aliases:ln"
    ),
    "Containers": _each(_LISTED),
    "Top": "Titles[]:s Processes[][]:s",
    "Changes": "[].Path:s [].Kind:i",
    "Wait": "StatusCode:i",
    "Exec": (
        "ID:s Running:b ExitCode:in OpenStdin:b OpenStdout:b OpenStderr:b CanRemove:b ContainerID:s Pid:i ProcessConfig.entrypoint:s ProcessConfig.arguments:ln "
        "ProcessConfig.tty:b ProcessConfig.privileged:b"
    ),
    "Image": (
        "Id:s RepoTags:l RepoDigests:l Created:s Architecture:s Os:s Size:i Config.Env:ln Config.Cmd:ln RootFS.Type:s RootFS.Layers[]:s GraphDriver.Name:s "
        "GraphDriver.Data:dn Metadata.LastTagTime:s"
    ),
    "Images": _each("Id:s ParentId:s RepoTags:l RepoDigests:ln Created:i Size:i SharedSize:i Labels:dn Containers:i"),
    "History": _each("Id:s Created:i CreatedBy:s Tags:ln Size:i Comment:s"),
    "Deleted": "[]:d",
    "Found": _each("name:s description:s is_official:b star_count:i"),
    "Login": "Status:s",
    "Distribution": "Descriptor.digest:s Descriptor.size:i Platforms:l",
    "Network": f"{_NETWORK} Containers:d",
    "Networks": _each(_NETWORK),
    "NetworkId": "Id:s Warning:s",
    "Volume": _VOLUME,
    "Volumes": " ".join("Volumes[]." + field for field in _VOLUME.split()) + " Warnings:ln",
    "PrunedContainers": "ContainersDeleted:ln SpaceReclaimed:i",
    "PrunedImages": "ImagesDeleted:ln SpaceReclaimed:i",
    "PrunedVolumes": "VolumesDeleted:ln SpaceReclaimed:i",
    "PrunedNetworks": "NetworksDeleted:ln",
    "PrunedCache": "CachesDeleted:ln SpaceReclaimed:i",
    "Nothing": "[]:d",
    "Object": "",
}


def _steps(path: str) -> list[str]:
    return re.findall(r"\[\]|\*|[^.\[\]*]+", path)


def problems(value: Any, shape: str) -> list[str]:
    """What in *value* does not fit the fields of *shape*."""
    found: list[str] = []
    for field in shape.split():
        path, _, kinds = field.rpartition(":")
        found += _walk(value, _steps(path), kinds, "")
    return found


def _walk(value: Any, steps: list[str], kinds: str, at: str) -> Iterator[str]:
    if not steps:
        allowed = tuple(kind for letter in kinds for kind in _PYTHON[letter])
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


def to_schema(shape: str) -> dict[str, Any]:
    """*shape* as a JSON schema (draft 2020-12, as OpenAPI 3.1 takes it)."""
    schema: dict[str, Any] = {}
    for field in shape.split():
        path, _, kinds = field.rpartition(":")
        at = schema
        for step in _steps(path):
            if step == "[]":
                at["type"] = "array"
                at = at.setdefault("items", {})
            elif step == "*":
                at["type"] = "object"
                at = at.setdefault("additionalProperties", {})
            else:
                at["type"] = "object"
                if step not in at.setdefault("required", []):
                    at["required"].append(step)
                at = at.setdefault("properties", {}).setdefault(step, {})
        types = [_TYPES[kind] for kind in kinds]
        at["type"] = types[0] if len(types) == 1 else types
    return schema or {"type": "object"}
