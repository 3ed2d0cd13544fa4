"""A service as the request that makes its container. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from labdock.compose.readers import nanoseconds
from labdock.schema.container import (
    CreateRequest,
    DeviceMapping,
    EndpointAddresses,
    EndpointConfig,
    HealthcheckConfig,
    HostConfig,
    LogConfig,
    MountRequest,
    NetworkingConfig,
    PortBinding,
    RestartPolicy,
    Ulimit,
)

if TYPE_CHECKING:
    from labdock.compose.document import Block
    from labdock.compose.loading import Project

#: The id of the (first) container of a service.
Find = Callable[[str], str]
SECRETS = "/run/secrets"


def image_of(name: str, service: Block, project: Project) -> str:
    """The image's name: what is built without one is called PROJECT-SERVICE."""
    return str(service.get("image") or f"{project.name}-{name}")


def request_for(
    name: str, service: Block, project: Project, *, labels: Mapping[str, str], find: Find, aliases: bool = True
) -> CreateRequest:
    """The container of the service *name*; *aliases* false: the network does not know it by the service's name."""
    ports = _bindings(service)
    exposed = {port: {} for port in ports} | {port: {} for port in service.get("expose", ())}
    command, entrypoint = service.get("command"), service.get("entrypoint")
    grace = service.get("stop_grace_period")
    anonymous = [v["target"] for v in service.get("volumes", ()) if v["type"] == "volume" and not v.get("source")]
    return CreateRequest(
        image=image_of(name, service, project),
        cmd=None if command is None else tuple(command),
        entrypoint=None if entrypoint is None else tuple(entrypoint) or ("",),
        hostname=service.get("hostname", ""),
        domainname=service.get("domainname", ""),
        user=service.get("user", ""),
        tty=service.get("tty", False),
        open_stdin=service.get("stdin_open", False),
        env=tuple(f"{key}={value}" for key, value in service.get("environment", {}).items() if value is not None)
        or None,
        exposed_ports=exposed or None,
        volumes={target: {} for target in anonymous} or None,
        working_dir=service.get("working_dir", ""),
        labels={**service.get("labels", {}), **labels},
        stop_signal=service.get("stop_signal"),
        stop_timeout=None if grace is None else -(-nanoseconds(grace) // 10**9),
        mac_address=service.get("mac_address"),
        healthcheck=_health(service.get("healthcheck")),
        host_config=_host(service, project, ports, find),
        networking_config=_first_network(name, service, project, aliases=aliases),
    )


def _bindings(service: Block) -> dict[str, tuple[PortBinding, ...] | None]:
    found: dict[str, list[PortBinding]] = {}
    for port in service.get("ports", ()):
        binding = PortBinding(host_ip=port.get("host_ip", ""), host_port=port.get("published", ""))
        found.setdefault(f"{port['target']}/{port['protocol']}", []).append(binding)
    return {port: tuple(bindings) for port, bindings in found.items()}


def _health(check: Block | None) -> HealthcheckConfig | None:
    if check is None:
        return None
    if check.get("disable"):
        return HealthcheckConfig(test=("NONE",))
    return HealthcheckConfig(
        test=tuple(check["test"]) if "test" in check else None,
        interval=nanoseconds(check.get("interval")),
        timeout=nanoseconds(check.get("timeout")),
        start_period=nanoseconds(check.get("start_period")),
        start_interval=nanoseconds(check.get("start_interval")),
        retries=check.get("retries", 0),
    )


def _host(service: Block, project: Project, ports: dict[str, tuple[PortBinding, ...] | None], find: Find) -> HostConfig:
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    reserved = service.get("deploy", {}).get("resources", {}).get("reservations", {})
    cpus = limits.get("cpus", service.get("cpus"))
    logging = service.get("logging")
    return HostConfig(
        binds=_binds(service, project) or None,
        mounts=tuple(_mounts(service, project)) or None,
        tmpfs={path: rest for path, _, rest in (text.partition(":") for text in service.get("tmpfs", ()))} or None,
        volumes_from=tuple(_volumes_from(text, find) for text in service.get("volumes_from", ())) or None,
        port_bindings=ports or None,
        network_mode=_mode(service, project, find),
        links=links_of(service, find) or None,
        restart_policy=_restart(service),
        log_config=LogConfig(type=logging.get("driver", ""), config=logging.get("options")) if logging else None,
        cap_add=tuple(service.get("cap_add", ())) or None,
        cap_drop=tuple(service.get("cap_drop", ())) or None,
        privileged=service.get("privileged", False),
        security_opt=tuple(service.get("security_opt", ())) or None,
        readonly_rootfs=service.get("read_only", False),
        dns=tuple(service.get("dns", ())) or None,
        dns_options=tuple(service.get("dns_opt", ())) or None,
        dns_search=tuple(service.get("dns_search", ())) or None,
        extra_hosts=tuple(text.replace("=", ":", 1) for text in service.get("extra_hosts", ())) or None,
        group_add=tuple(service.get("group_add", ())) or None,
        ipc_mode=_shared(service.get("ipc", ""), find),
        pid_mode=_shared(service.get("pid", ""), find),
        uts_mode=service.get("uts", ""),
        userns_mode=service.get("userns_mode", ""),
        cgroupns_mode=service.get("cgroup", ""),
        oom_score_adj=service.get("oom_score_adj", 0),
        shm_size=service.get("shm_size", 0),
        init=service.get("init"),
        sysctls={key: value or "" for key, value in service.get("sysctls", {}).items()} or None,
        ulimits=tuple(Ulimit(name=key, **value) for key, value in sorted(service.get("ulimits", {}).items())) or None,
        devices=tuple(_device(text) for text in service.get("devices", ())) or None,
        memory=limits.get("memory", service.get("mem_limit", 0)),
        memory_reservation=reserved.get("memory", service.get("mem_reservation", 0)),
        memory_swap=service.get("memswap_limit", 0),
        nano_cpus=int(Fraction(cpus) * 10**9) if cpus else 0,
        cpu_shares=service.get("cpu_shares", 0),
        cpuset_cpus=service.get("cpuset", ""),
        pids_limit=limits.get("pids", service.get("pids_limit")),
        annotations=service.get("annotations") or None,
    )


def _binds(service: Block, project: Project) -> tuple[str, ...]:
    """Volumes by name and folders that are made when they are missing, as ``-v`` writes them."""
    found = []
    for volume in service.get("volumes", ()):
        source = volume.get("source")
        bind = volume.get("bind", {})
        if not source or (volume["type"] == "bind" and not bind.get("create_host_path")):
            continue
        if volume["type"] == "tmpfs" or volume.get("volume", {}).get("subpath"):
            continue
        name = project.volumes[source]["name"] if volume["type"] == "volume" else source
        nocopy = "nocopy" if volume.get("volume", {}).get("nocopy") else ""
        options = ["ro" if volume.get("read_only") else "rw", bind.get("propagation"), bind.get("selinux"), nocopy]
        found.append(f"{name}:{volume['target']}:{','.join(filter(None, options))}")
    return tuple(found)


def _mounts(service: Block, project: Project) -> list[MountRequest]:
    found = []
    for volume in service.get("volumes", ()):
        shared = {"target": volume["target"], "read_only": volume.get("read_only", False), "type": volume["type"]}
        bind, options = volume.get("bind", {}), volume.get("tmpfs", {})
        if volume["type"] == "bind" and not bind.get("create_host_path"):
            more = {"Propagation": bind["propagation"]} if "propagation" in bind else None
            found.append(MountRequest(source=volume["source"], bind_options=more, **shared))
        elif volume["type"] == "tmpfs":
            more = {"SizeBytes": options.get("size", 0), "Mode": options.get("mode", 0)}
            found.append(MountRequest(tmpfs_options={k: v for k, v in more.items() if v} or None, **shared))
        elif volume.get("source") and (subpath := volume.get("volume", {}).get("subpath")):
            name = project.volumes[volume["source"]]["name"]
            found.append(MountRequest(source=name, volume_options={"Subpath": subpath}, **shared))
    for kind, item in _granted(service):
        source = getattr(project, kind)[item["source"]]
        if "file" in source:
            target = grant_target(kind, item)
            found.append(MountRequest(type="bind", source=source["file"], target=target, read_only=True))
    return found


def _granted(service: Block) -> list[tuple[str, Any]]:
    return [(kind, item) for kind in ("secrets", "configs") for item in service.get(kind, ())]


def grant_target(kind: str, item: Mapping[str, Any]) -> str:
    """Where a secret or config is in the container."""
    target = str(item.get("target") or item["source"])
    if target.startswith("/"):
        return target
    return f"{SECRETS}/{target}" if kind == "secrets" else f"/{target}"


def contents(service: Block, project: Project) -> list[tuple[str, bytes, Mapping[str, Any]]]:
    """(path, data, its ``uid``, ``gid``, ``mode``) of secrets and configs that are no files here."""
    found = []
    for kind, item in _granted(service):
        source = getattr(project, kind)[item["source"]]
        if "content" in source:
            found.append((grant_target(kind, item), source["content"].encode(), item))
        elif "environment" in source:
            data = project.environment.get(source["environment"], "").encode()
            found.append((grant_target(kind, item), data, item))
    return found


def _volumes_from(text: str, find: Find) -> str:
    if text.startswith("container:"):
        return text.removeprefix("container:")
    service, colon, mode = text.partition(":")
    return find(service) + colon + mode


def _shared(mode: str, find: Find) -> str:
    kind, _, other = mode.partition(":")
    return f"container:{find(other)}" if kind == "service" else mode


def _mode(service: Block, project: Project, find: Find) -> str:
    if "network_mode" in service:
        return _shared(service["network_mode"], find)
    names = by_priority(service)
    return str(project.networks[names[0]]["name"]) if names else "none"


def by_priority(service: Block) -> list[str]:
    """The service's networks, the one it is made in first."""
    networks = service.get("networks", {})
    return sorted(networks, key=lambda name: (-networks[name].get("priority", 0), name))


def links_of(service: Block, find: Find) -> tuple[str, ...]:
    found = []
    for link in service.get("links", ()):
        other, _, alias = link.partition(":")
        # The short id is one of its names in a network; the long one is none.
        found.append(f"{find(other)[:12]}:{alias or other}")
    return tuple(found)


def _first_network(name: str, service: Block, project: Project, *, aliases: bool) -> NetworkingConfig | None:
    names = by_priority(service)
    if not names:
        return None
    place = endpoint(name, service["networks"][names[0]], aliases=aliases)
    return NetworkingConfig(endpoints_config={project.networks[names[0]]["name"]: place})


def endpoint(
    name: str, member: Mapping[str, Any], *, aliases: bool = True, links: tuple[str, ...] = ()
) -> EndpointConfig:
    """The service's place in a network, where it is known by its name and aliases, and others by *links*."""
    addresses = None
    if member.keys() & {"ipv4_address", "ipv6_address", "link_local_ips"}:
        addresses = EndpointAddresses(
            ipv4_address=member.get("ipv4_address"),
            ipv6_address=member.get("ipv6_address"),
            link_local_ips=tuple(member.get("link_local_ips", ())) or None,
        )
    return EndpointConfig(
        links=links or None,
        aliases=tuple(dict.fromkeys((*member.get("aliases", ()), name))) if aliases else None,
        mac_address=member.get("mac_address"),
        driver_opts=member.get("driver_opts") or None,
        ipam_config=addresses,
        gw_priority=member.get("gw_priority", 0),
    )


def _restart(service: Block) -> RestartPolicy | None:
    text = service.get("restart")
    policy = service.get("deploy", {}).get("restart_policy")
    if text is None and policy is None:
        return None
    if text is not None:
        name, _, count = text.partition(":")
        return RestartPolicy(name=name, maximum_retry_count=int(count or 0))
    names = {"none": "no", "on-failure": "on-failure", "any": "always"}
    name = names[policy.get("condition", "any")]
    return RestartPolicy(name=name, maximum_retry_count=policy.get("max_attempts", 0) if name == "on-failure" else 0)


def _device(text: str) -> DeviceMapping:
    source, target, permissions = (*text.split(":"), "", "")[:3]
    return DeviceMapping(
        path_on_host=source, path_in_container=target or source, cgroup_permissions=permissions or "rwm"
    )
