"""From a create request and an image to a container's record: defaults merged, input checked. Pure."""

from __future__ import annotations

import posixpath
import re
from typing import Any

import msgspec

from labdock.engine.health import check_healthcheck, merge_healthcheck
from labdock.engine.mounts import plan_mounts
from labdock.engine.records import ContainerRecord
from labdock.errors import InvalidRequest
from labdock.schema.container import ContainerConfig, CreateRequest, HostConfig, PortBinding
from labdock.schema.oci import ImageConfig

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?\Z")
_MEMBERS = frozenset({"HostConfig", "NetworkingConfig"})
_LOG_DRIVERS = frozenset({"", "json-file", "none", "local"})
_RESTARTS = frozenset({"", "no", "always", "unless-stopped", "on-failure"})

#: HostConfig limits that rung R0 can't enforce without a delegated cgroup controller: field -> Docker's name.
_LIMITS = {
    "memory": "memory",
    "memory_swap": "memory swap",
    "nano_cpus": "CPU quota",
    "cpu_shares": "CPU shares",
    "cpu_quota": "CPU quota",
    "cpuset_cpus": "cpuset",
    "pids_limit": "PIDs",
}


def build_record(
    request: CreateRequest,
    sent: dict[str, Any],
    *,
    container: str,
    name: str,
    created: int,
    image_id: str,
    image: ImageConfig,
) -> ContainerRecord:
    """The record of a new container. Raises InvalidRequest for what can't be taken."""
    host = request.host_config or HostConfig()
    config = merge_config(request, image)
    args = tuple(_words(config.entrypoint)) + tuple(_words(config.cmd))
    if not args:
        raise InvalidRequest("no command specified", hint="the image names no CMD: give a command after its name")
    check_host(host)
    network = network_of(host, request)
    return ContainerRecord(
        id=container,
        name=name,
        created=created,
        image=request.image or "",
        image_id=image_id,
        config=config,
        host=host,
        sent={key: value for key, value in sent.items() if key not in _MEMBERS},
        host_sent=dict(sent.get("HostConfig") or {}),
        args=args,
        env=merge_env(image.config.env, request.env or ()),
        cwd=posixpath.normpath(config.working_dir or "/"),
        mounts=plan_mounts(host, config),
        network=network,
    )


def merge_config(request: CreateRequest, image: ImageConfig) -> ContainerConfig:
    """The request's config with the image's defaults under it, as dockerd merges them."""
    base = image.config
    entrypoint = request.entrypoint
    cmd = request.cmd
    if entrypoint is None:
        entrypoint = base.entrypoint
        if not cmd:
            cmd = base.cmd
    # `--entrypoint ""` clears the image's entrypoint and its CMD (moby: daemon/commit.go merge).
    elif tuple(_words(entrypoint)) in ((), ("",)):
        entrypoint = ()
    fields = {name: getattr(request, name) for name in ContainerConfig.__struct_fields__ if hasattr(request, name)}
    fields.update(
        entrypoint=None if entrypoint is None else tuple(_words(entrypoint)),
        cmd=None if cmd is None else tuple(_words(cmd)),
        env=merge_env(base.env, request.env or (), bare=True),
        user=request.user or base.user,
        working_dir=request.working_dir or base.working_dir,
        labels={**base.labels, **(request.labels or {})},
        exposed_ports={**base.exposed_ports, **(request.exposed_ports or {})} or None,
        volumes={**base.volumes, **(request.volumes or {})} or None,
        stop_signal=request.stop_signal or base.stop_signal or None,
        healthcheck=merge_healthcheck(request.healthcheck, base.healthcheck),
        shell=request.shell or base.shell,
    )
    check_healthcheck(fields["healthcheck"])
    for port in fields["exposed_ports"] or {}:
        parse_port(port)
    return ContainerConfig(**fields)


def merge_env(base: tuple[str, ...], over: tuple[str, ...], *, bare: bool = False) -> tuple[str, ...]:
    """*base* with *over* on top: same names are replaced in place, a bare ``NAME`` removes (*bare*: stands for itself,
    as inspect shows it)."""
    merged: dict[str, str | None] = {}
    for entry in (*base, *over):
        name, equals, _ = entry.partition("=")
        if not name:
            raise InvalidRequest(f"invalid environment variable: {entry!r}", hint="write NAME=VALUE")
        merged[name] = entry if equals or bare else None
    return tuple(entry for entry in merged.values() if entry is not None)


def process_env(record: ContainerRecord, home: str) -> tuple[str, ...]:
    """The environment of the container's program: PATH, HOSTNAME and (with a TTY) TERM first, HOME last."""
    given = {entry.partition("=")[0] for entry in record.env}
    hostname = record.config.hostname or record.id[:12]
    ahead = [DEFAULT_PATH] if "PATH" not in given else []
    if "HOSTNAME" not in given:
        ahead.append(f"HOSTNAME={hostname}")
    if record.tty and "TERM" not in given:
        ahead.append("TERM=xterm")
    behind = [f"HOME={home}"] if "HOME" not in given else []
    return (*ahead, *record.env, *behind)


def network_of(host: HostConfig, request: CreateRequest) -> str:
    """The network mode: what was asked for, ``bridge`` by default."""
    mode = host.network_mode or ""
    if request.network_disabled:
        return "none"
    endpoints = (request.networking_config and request.networking_config.endpoints_config) or {}
    if mode in ("", "default"):
        return next(iter(endpoints), "bridge") if not mode and endpoints else "bridge"
    return mode


def parse_port(text: str) -> tuple[int, int, str]:
    """``80``, ``80/udp`` or ``8000-8010/tcp`` as (first, last, protocol). Raises InvalidRequest."""
    found = _PORT.match(text)
    first = int(found[1]) if found else 0
    last = int(found[2]) if found and found[2] else first
    if not found or not 0 < first <= last < 65536:
        raise InvalidRequest(f"invalid port specification: {text!r}", hint="write PORT, PORT/udp or FIRST-LAST")
    return first, last, found[3] or "tcp"


def bindings_of(record: ContainerRecord) -> dict[str, tuple[PortBinding, ...]]:
    """The published ports a record asks for, ``-P`` not included."""
    wanted = record.host.port_bindings or {}
    for port, bindings in wanted.items():
        if parse_port(port)[2] == "sctp":
            raise InvalidRequest(f"can't publish {port}: SCTP can't be relayed", hint="publish tcp ports")
        for binding in bindings or ():
            _check_host_port(binding.host_port or "", port)
    return {port: tuple(bindings or (PortBinding(),)) for port, bindings in wanted.items()}


def _check_host_port(text: str, port: str) -> None:
    ends = text.split("-") if text else []
    if len(ends) > 2 or any(not end.isdecimal() or int(end) > 65535 for end in ends):
        raise InvalidRequest(f"invalid host port {text!r} for container port {port}")


def check_host(host: HostConfig) -> None:
    """Refuse what can't work, before anything is made. Raises InvalidRequest."""
    log = host.log_config
    if log and (log.type or "") not in _LOG_DRIVERS:
        raise InvalidRequest(f"logger: no log driver named '{log.type}' is registered", hint="use json-file or none")
    policy = host.restart_policy
    if policy and (policy.name or "") not in _RESTARTS:
        raise InvalidRequest(f"invalid restart policy '{policy.name}'")
    if policy and policy.maximum_retry_count and policy.name != "on-failure":
        raise InvalidRequest(f"maximum retry count cannot be used with restart policy '{policy.name}'")
    if policy and host.auto_remove and (policy.name or "no") != "no":
        raise InvalidRequest("can't create 'AutoRemove' container with restart policy")
    for field in ("memory", "nano_cpus", "shm_size", "cpu_shares"):
        if (getattr(host, field) or 0) < 0:
            raise InvalidRequest(f"{_LIMITS.get(field, field)} can't be negative")
    for field, mode in (("pid", host.pid_mode), ("ipc", host.ipc_mode), ("uts", host.uts_mode)):
        if mode and mode.startswith("container:"):
            raise InvalidRequest(f"--{field} {mode}: sharing another container's namespace is not supported yet")


def warn(host: HostConfig, *, controllers: tuple[str, ...]) -> tuple[str, ...]:
    """What was asked for and can't be honoured on this machine, in words for ``Warnings``."""
    if "memory" in controllers and "cpu" in controllers:
        return ()
    asked = {
        text
        for field, text in _LIMITS.items()
        if (value := getattr(host, field)) not in (None, 0, "") and not (field == "pids_limit" and value == -1)
    }
    found = [
        f"Your kernel does not give this engine a cgroup v2 controller for {text} limits. Limitation discarded."
        for text in sorted(asked)
    ]
    if host.devices:
        found.append("Devices can't be handed to a container without root. Discarded.")
    for option in host.security_opt or ():
        if option.startswith(("label", "apparmor")):
            found.append(f"Security option {option!r} needs a security module this engine can't drive. Discarded.")
    return tuple(found)


def _words(value: tuple[str, ...] | str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def to_builtins(value: msgspec.Struct) -> dict[str, Any]:
    """*value* in its wire spelling, as plain dicts and lists."""
    found: dict[str, Any] = msgspec.to_builtins(value)
    return found
