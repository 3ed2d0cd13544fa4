"""Containers as Docker's API shows them: inspect and list, in wire spelling. Pure."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from labdock.engine.lifecycle import Status
from labdock.engine.network_views import show_endpoints, show_network_settings
from labdock.engine.records import ContainerRecord, HealthState, MountPoint, State
from labdock.schema.container import ContainerConfig

Wire = dict[str, Any]
ZERO_TIME = "0001-01-01T00:00:00Z"

#: HostConfig members that clients read without asking whether they are there.
_HOST_DEFAULTS: Wire = {
    "Binds": None, "ContainerIDFile": "", "NetworkMode": "bridge", "PortBindings": {},
    "AutoRemove": False, "VolumeDriver": "", "VolumesFrom": None, "ConsoleSize": [0, 0], "CapAdd": None,
    "CapDrop": None, "CgroupnsMode": "private", "Dns": [], "DnsOptions": [], "DnsSearch": [], "ExtraHosts": None,
    "GroupAdd": None, "IpcMode": "private", "Cgroup": "", "Links": None, "OomScoreAdj": 0, "PidMode": "",
    "Privileged": False, "PublishAllPorts": False, "ReadonlyRootfs": False, "SecurityOpt": None, "UTSMode": "",
    "UsernsMode": "", "ShmSize": 67108864, "Runtime": "crun", "Isolation": "", "CpuShares": 0, "Memory": 0,
    "NanoCpus": 0, "CgroupParent": "", "BlkioWeight": 0, "CpuPeriod": 0, "CpuQuota": 0, "CpusetCpus": "",
    "CpusetMems": "", "Devices": [], "DeviceCgroupRules": None, "DeviceRequests": None, "MemoryReservation": 0,
    "MemorySwap": 0, "MemorySwappiness": None, "OomKillDisable": None, "PidsLimit": None, "Ulimits": None,
}  # fmt: skip

_CONFIG_DEFAULTS: Wire = {
    "Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False, "AttachStderr": False,
    "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": [], "Cmd": None, "Image": "", "Volumes": None,
    "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": {},
}  # fmt: skip


def show_time(ns: int) -> str:
    """RFC 3339 with nanoseconds, UTC; Docker's zero time for 0."""
    if ns == 0:
        return ZERO_TIME
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 10**9:09d}Z"


def read_time(text: str) -> int:
    """RFC 3339 as ns since the epoch; 0 for what is none."""
    whole, _, rest = text.rstrip("Z").partition(".")
    try:
        seconds = int(datetime.fromisoformat(whole + "+00:00" if "+" not in whole else whole).timestamp())
    except ValueError:
        return 0
    digits = rest.partition("+")[0]
    return seconds * 10**9 + (int(digits[:9].ljust(9, "0")) if digits.isdecimal() else 0)


def show_config(config: ContainerConfig, sent: Wire) -> Wire:
    """The Config object: what was sent, with what the image added."""
    return {**_CONFIG_DEFAULTS, **sent, **{k: v for k, v in msgspec.to_builtins(config).items() if v is not None}}


def show_host_config(sent: Wire, network: str) -> Wire:
    """The HostConfig object: what was sent over the defaults."""
    shown = {**_HOST_DEFAULTS, **sent}
    log = dict(shown.get("LogConfig") or {})
    shown["LogConfig"] = {"Type": log.get("Type") or "json-file", "Config": log.get("Config") or {}}
    policy = dict(shown.get("RestartPolicy") or {})
    shown["RestartPolicy"] = {
        "Name": policy.get("Name") or "no",
        "MaximumRetryCount": policy.get("MaximumRetryCount") or 0,
    }
    if not sent.get("NetworkMode"):
        shown["NetworkMode"] = network
    return shown


def show_state(state: State) -> Wire:
    running = state.status in (Status.RUNNING, Status.PAUSED, Status.RESTARTING)
    shown: Wire = {"Health": show_health(state.health)} if state.health else {}
    return shown | {
        "Status": str(state.status),
        "Running": running,
        "Paused": state.status == Status.PAUSED,
        "Restarting": state.status == Status.RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": state.status == Status.DEAD,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": show_time(state.started),
        "FinishedAt": show_time(state.finished),
    }


def show_health(health: HealthState) -> Wire:
    return {
        "Status": health.status,
        "FailingStreak": health.streak,
        "Log": [
            {"Start": show_time(r.start), "End": show_time(r.end), "ExitCode": r.exit_code, "Output": r.output}
            for r in health.log
        ],
    }


def show_mount(mount: MountPoint, volumes: str) -> Wire:
    shown: Wire = {
        "Type": mount.type,
        "Source": mount.source,
        "Destination": mount.target,
        "Mode": mount.mode,
        "RW": not mount.read_only,
        "Propagation": mount.propagation,
    }
    if mount.type == "volume":
        source = f"{volumes}/{mount.volume}/_data"
        shown |= {"Name": mount.volume, "Source": source, "Driver": mount.driver or "local"}
    return shown


def show_ports(record: ContainerRecord) -> Wire:
    """NetworkSettings.Ports: exposed ports, with bindings while they are published."""
    shown: Wire = {port: None for port in record.config.exposed_ports or {}}
    for port, bindings in record.ports.items():
        shown[port] = [{"HostIp": b.host_ip or "0.0.0.0", "HostPort": b.host_port or ""} for b in bindings]  # noqa: S104
    return shown


def show_container(
    record: ContainerRecord, *, data: str, volumes: str, netns: str, driver: str, execs: list[str] | None
) -> Wire:
    """``GET /containers/ID/json``. *data* is the container's own folder on disk."""
    config = show_config(record.config, record.sent)
    if not config.get("Hostname"):
        config["Hostname"] = record.id[:12]
    return {
        "Id": record.id,
        "Created": show_time(record.created),
        "Path": record.args[0],
        "Args": list(record.args[1:]),
        "State": show_state(record.state),
        "Image": record.image_id,
        "ResolvConfPath": f"{data}/resolv.conf",
        "HostnamePath": f"{data}/hostname",
        "HostsPath": f"{data}/hosts",
        "LogPath": f"{data}/log",
        "Name": f"/{record.name}",
        "RestartCount": record.state.restarts,
        "Driver": driver,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": execs,
        "HostConfig": show_host_config(record.host_sent, record.network),
        "GraphDriver": {"Name": driver, "Data": None},
        "Mounts": [show_mount(mount, volumes) for mount in record.mounts if not mount.hidden],
        "Config": config,
        "NetworkSettings": show_network_settings(record, netns, show_ports(record)),
    }


def summarise(record: ContainerRecord, *, volumes: str, now: int | None = None) -> Wire:
    """One entry of ``GET /containers/json``."""
    ports = []
    for port, bindings in show_ports(record).items():
        number, _, proto = port.partition("/")
        if not number.isdecimal():
            continue
        if not bindings and record.state.status == Status.RUNNING:
            ports.append({"PrivatePort": int(number), "Type": proto or "tcp"})
        for binding in bindings or ():
            ports.append(
                {
                    "IP": binding["HostIp"],
                    "PrivatePort": int(number),
                    "PublicPort": int(binding["HostPort"] or 0),
                    "Type": proto or "tcp",
                }
            )
    return {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": record.image,
        "ImageID": record.image_id,
        "Command": " ".join(_quote(word) for word in record.args),
        "Created": record.created // 10**9,
        "Ports": ports,
        "Labels": dict(record.config.labels or {}),
        "State": str(record.state.status),
        "Status": describe_status(record.state, now or time.time_ns()),
        "HostConfig": {"NetworkMode": record.host.network_mode or record.network},
        "NetworkSettings": {"Networks": show_endpoints(record)},
        "Mounts": [show_mount(mount, volumes) for mount in record.mounts if not mount.hidden],
    }


def detail(record: ContainerRecord) -> Wire:
    """What the list leaves out of ``GET /containers/ID/json``, in that one's words, for who shows them all.

    With it, a thousand containers are one question instead of a thousand.
    """
    state = show_state(record.state)
    health = state.pop("Health", None)
    return {
        "Created": show_time(record.created),
        "Name": f"/{record.name}",
        "Path": record.args[0],
        "Args": list(record.args[1:]),
        "State": state | ({"Health": {"Status": health["Status"]}} if health else {}),
        "Config": {
            "Image": record.config.image,
            "ExposedPorts": {port: {} for port in record.config.exposed_ports or {}},
        },
        "NetworkSettings": {"Ports": show_ports(record)},
    }


def describe_status(state: State, now: int) -> str:
    """``Up 5 minutes``, ``Exited (0) 2 hours ago``, as docker ps prints it."""
    if state.status == Status.RUNNING:
        health = "" if state.health is None else state.health.status.replace("starting", "health: starting")
        return f"Up {describe_span(now - state.started)}" + (f" ({health})" if health else "")
    if state.status == Status.PAUSED:
        return f"Up {describe_span(now - state.started)} (Paused)"
    if state.status == Status.RESTARTING:
        return f"Restarting ({state.exit_code}) {describe_span(now - state.finished)} ago"
    if state.status == Status.EXITED:
        return f"Exited ({state.exit_code}) {describe_span(now - state.finished)} ago"
    return {Status.CREATED: "Created", Status.REMOVING: "Removal In Progress", Status.DEAD: "Dead"}[state.status]


def describe_span(ns: int) -> str:
    """A span in words, as go-units' HumanDuration gives it."""
    seconds = max(0, ns) // 10**9
    if seconds < 1:
        return "Less than a second"
    if seconds == 1:
        return "1 second"
    if seconds < 60:
        return f"{seconds} seconds"
    minutes = seconds // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = round(seconds / 3600)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    days = hours // 24
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    return f"{days // 30} months" if days < 730 else f"{days // 365} years"


def _quote(word: str) -> str:
    return f"'{word}'" if any(ch.isspace() for ch in word) else word
