"""From a create request and an image to a container's record: defaults merged, input checked. Pure."""

from __future__ import annotations

import os
import posixpath
import re
from typing import Any

import msgspec

from labdock.engine import logging_options
from labdock.engine.devices import check_devices
from labdock.engine.health import check_healthcheck, merge_healthcheck
from labdock.engine.limits import check_limits
from labdock.engine.mounts import plan_mounts
from labdock.engine.records import ContainerRecord, MountPoint
from labdock.engine.security import parse_security
from labdock.engine.sharing import check_modes
from labdock.engine.signals import parse_signal
from labdock.errors import InvalidRequest
from labdock.runtime.spec import choose_capabilities
from labdock.schema.container import ContainerConfig, CreateRequest, HostConfig, PortBinding
from labdock.schema.oci import ImageConfig

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?\Z")
_MEMBERS = frozenset({"HostConfig", "NetworkingConfig"})
#: crun goes by these names too: clients name the runtime that they know.
_RUNTIMES = ("crun", "runc", "io.containerd.runc.v2")
_RESTARTS = frozenset({"", "no", "always", "unless-stopped", "on-failure"})


def build_record(
    request: CreateRequest,
    sent: dict[str, Any],
    *,
    container: str,
    name: str,
    created: int,
    image_id: str,
    image: ImageConfig,
    inherited: tuple[MountPoint, ...] = (),
) -> ContainerRecord:
    """The record of a new container; *inherited*: other containers' mounts. Raises InvalidRequest."""
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
        env=add_defaults(request.env or (), image.config.env),
        cwd=posixpath.normpath(config.working_dir or "/"),
        mounts=plan_mounts(host, config, inherited),
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
        env=add_defaults(request.env or (), base.env, bare=True),
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
    if fields["stop_signal"]:
        parse_signal(fields["stop_signal"])
    if fields["working_dir"] and not fields["working_dir"].startswith("/"):
        raise InvalidRequest(
            f"the working directory '{fields['working_dir']}' is invalid, it needs to be an absolute path"
        )
    for port in fields["exposed_ports"] or {}:
        parse_port(port)
    return ContainerConfig(**fields)


def add_defaults(own: tuple[str, ...], defaults: tuple[str, ...], *, bare: bool = False) -> tuple[str, ...]:
    """A container's *own* variables, then what its image has beside them (moby: daemon/commit.go, merge)."""
    merged = merge_env(defaults, own, bare=bare)
    order = {entry.partition("=")[0]: place for place, entry in enumerate(dict.fromkeys(own))}
    return tuple(sorted(merged, key=lambda entry: order.get(entry.partition("=")[0], len(order))))


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
            raise InvalidRequest(f"can't publish {port}: SCTP can't be relayed", hint="publish tcp or udp ports")
        for binding in bindings or ():
            _check_host_port(binding.host_port or "", port)
    return {port: tuple(bindings or (PortBinding(),)) for port, bindings in wanted.items()}


def _check_host_port(text: str, port: str) -> None:
    ends = text.split("-") if text else []
    if len(ends) > 2 or any(not end.isdecimal() or int(end) > 65535 for end in ends):
        raise InvalidRequest(f"invalid host port {text!r} for container port {port}")


def check_host(host: HostConfig) -> None:
    """Refuse what can't work, before anything is made. Raises InvalidRequest."""
    logging_options.check(host.log_config)
    check_policy(host)
    check_limits(host, os.sched_getaffinity(0))
    check_modes(host)
    check_devices(host)
    parse_security(host)
    choose_capabilities(host.cap_add or (), host.cap_drop or ())
    if (host.runtime or _RUNTIMES[0]) not in _RUNTIMES:
        raise InvalidRequest(f"unknown or invalid runtime name: {host.runtime}", hint="leave it out: crun runs all")
    for request in host.device_requests or ():
        driver, kinds = request.get("Driver") or "", request.get("Capabilities") or []
        raise InvalidRequest(
            f'could not select device driver "{driver}" with capabilities: {str(kinds).replace(chr(39), "")}',
            hint="devices that this user may open can be handed over: --device /dev/…",
        )


def check_policy(host: HostConfig) -> None:
    """Raises InvalidRequest for a restart policy that can't be."""
    policy = host.restart_policy
    if policy is None:
        return
    name, count = policy.name or "", policy.maximum_retry_count or 0
    if name not in _RESTARTS:
        raise InvalidRequest(
            f"invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or "
            "'unless-stopped'"
        )
    if count and name != "on-failure":
        negative = " and cannot be negative" if count < 0 else ""
        raise InvalidRequest(
            f"invalid restart policy: maximum retry count can only be used with 'on-failure'{negative}"
        )
    if count < 0:
        raise InvalidRequest("invalid restart policy: maximum retry count cannot be negative")
    if host.auto_remove and name not in ("", "no"):
        raise InvalidRequest("can't create 'AutoRemove' container with restart policy")


def _words(value: tuple[str, ...] | str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def to_builtins(value: msgspec.Struct) -> dict[str, Any]:
    """*value* in its wire spelling, as plain dicts and lists."""
    found: dict[str, Any] = msgspec.to_builtins(value)
    return found
