"""Containers on the wire: what ``POST /containers/create`` and the exec endpoints take.

The wire names are Docker's (Engine API v1.51, ContainerConfig and HostConfig). What a client sent beyond
these fields is kept beside the struct by the engine and comes back unchanged on inspect.
"""

from __future__ import annotations

import msgspec


class _Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Base: Docker's PascalCase, absent when default."""


class HealthcheckConfig(_Wire, frozen=True, kw_only=True):
    """Durations in nanoseconds; 0 inherits. ``test``: [] inherits, ["NONE"], ["CMD", …], ["CMD-SHELL", text]."""

    test: tuple[str, ...] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(_Wire, frozen=True, kw_only=True):
    hostname: str | None = ""
    domainname: str | None = ""
    user: str | None = ""
    attach_stdin: bool | None = False
    attach_stdout: bool | None = False
    attach_stderr: bool | None = False
    exposed_ports: dict[str, dict[str, str]] | None = None
    tty: bool | None = False
    open_stdin: bool | None = False
    stdin_once: bool | None = False
    env: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | str | None = None
    entrypoint: tuple[str, ...] | str | None = None
    healthcheck: HealthcheckConfig | None = None
    image: str | None = ""
    volumes: dict[str, dict[str, str]] | None = None
    working_dir: str | None = ""
    network_disabled: bool | None = False
    mac_address: str | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None
    shell: tuple[str, ...] | None = None


class PortBinding(_Wire, frozen=True, kw_only=True):
    """Host side of a published port; an empty port means "any"."""

    host_ip: str | None = ""
    host_port: str | None = ""


class RestartPolicy(_Wire, frozen=True, kw_only=True):
    name: str | None = ""
    maximum_retry_count: int | None = 0


class LogConfig(_Wire, frozen=True, kw_only=True):
    type: str | None = ""
    config: dict[str, str] | None = None


class Ulimit(_Wire, frozen=True, kw_only=True):
    name: str
    soft: int = 0
    hard: int = 0


class DeviceMapping(_Wire, frozen=True, kw_only=True):
    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = "rwm"


class DeviceRate(_Wire, frozen=True, kw_only=True):
    """A limit on a device: bytes or operations per second."""

    path: str = ""
    rate: int = 0


class MountRequest(_Wire, frozen=True, kw_only=True):
    """An entry of HostConfig.Mounts (``--mount``)."""

    target: str = ""
    source: str = ""
    type: str = ""
    read_only: bool = False
    bind_options: dict[str, object] | None = None
    volume_options: dict[str, object] | None = None
    tmpfs_options: dict[str, object] | None = None
    image_options: dict[str, object] | None = None


class HostConfig(_Wire, frozen=True, kw_only=True):
    """What the engine honours of HostConfig. Sizes in bytes."""

    binds: tuple[str, ...] | None = None
    mounts: tuple[MountRequest, ...] | None = None
    tmpfs: dict[str, str] | None = None
    volumes_from: tuple[str, ...] | None = None
    volume_driver: str | None = ""
    port_bindings: dict[str, tuple[PortBinding, ...] | None] | None = None
    publish_all_ports: bool | None = False
    network_mode: str | None = ""
    links: tuple[str, ...] | None = None
    auto_remove: bool | None = False
    restart_policy: RestartPolicy | None = None
    log_config: LogConfig | None = None
    cap_add: tuple[str, ...] | None = None
    cap_drop: tuple[str, ...] | None = None
    privileged: bool | None = False
    security_opt: tuple[str, ...] | None = None
    readonly_rootfs: bool | None = False
    dns: tuple[str, ...] | None = None
    dns_options: tuple[str, ...] | None = None
    dns_search: tuple[str, ...] | None = None
    extra_hosts: tuple[str, ...] | None = None
    group_add: tuple[str, ...] | None = None
    ipc_mode: str | None = ""
    pid_mode: str | None = ""
    uts_mode: str | None = msgspec.field(default="", name="UTSMode")
    userns_mode: str | None = ""
    cgroupns_mode: str | None = ""
    oom_score_adj: int | None = 0
    shm_size: int | None = 0
    init: bool | None = None
    sysctls: dict[str, str] | None = None
    ulimits: tuple[Ulimit, ...] | None = None
    devices: tuple[DeviceMapping, ...] | None = None
    memory: int | None = 0
    memory_swap: int | None = 0
    nano_cpus: int | None = 0
    cpu_shares: int | None = 0
    cpu_quota: int | None = 0
    cpu_period: int | None = 0
    cpuset_cpus: str | None = ""
    cpuset_mems: str | None = ""
    cpu_realtime_period: int | None = 0
    cpu_realtime_runtime: int | None = 0
    memory_reservation: int | None = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    blkio_weight: int | None = 0
    blkio_weight_device: tuple[dict[str, object], ...] | None = None
    blkio_device_read_bps: tuple[DeviceRate, ...] | None = None
    blkio_device_write_bps: tuple[DeviceRate, ...] | None = None
    blkio_device_read_i_ops: tuple[DeviceRate, ...] | None = msgspec.field(default=None, name="BlkioDeviceReadIOps")
    blkio_device_write_i_ops: tuple[DeviceRate, ...] | None = msgspec.field(default=None, name="BlkioDeviceWriteIOps")
    device_cgroup_rules: tuple[str, ...] | None = None
    device_requests: tuple[dict[str, object], ...] | None = None
    cgroup_parent: str | None = ""
    runtime: str | None = ""
    isolation: str | None = ""
    storage_opt: dict[str, str] | None = None
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None
    annotations: dict[str, str] | None = None


class EndpointAddresses(_Wire, frozen=True, kw_only=True):
    """Fixed addresses of a container in a network."""

    ipv4_address: str | None = msgspec.field(default=None, name="IPv4Address")
    ipv6_address: str | None = msgspec.field(default=None, name="IPv6Address")
    link_local_ips: tuple[str, ...] | None = msgspec.field(default=None, name="LinkLocalIPs")


class EndpointConfig(_Wire, frozen=True, kw_only=True):
    """One network of a create request, or the settings of a connect request. ``gw_priority``: the highest wins."""

    aliases: tuple[str, ...] | None = None
    links: tuple[str, ...] | None = None
    mac_address: str | None = None
    driver_opts: dict[str, str] | None = None
    ipam_config: EndpointAddresses | None = msgspec.field(default=None, name="IPAMConfig")
    gw_priority: int | None = 0


class NetworkingConfig(_Wire, frozen=True, kw_only=True):
    endpoints_config: dict[str, EndpointConfig | None] | None = None


class CreateRequest(ContainerConfig, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """The body of ``POST /containers/create``: a ContainerConfig with two more members."""

    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None


class ExecConfig(_Wire, frozen=True, kw_only=True):
    """The body of ``POST /containers/ID/exec``."""

    attach_stdin: bool | None = False
    attach_stdout: bool | None = False
    attach_stderr: bool | None = False
    detach_keys: str | None = ""
    tty: bool | None = False
    env: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    privileged: bool | None = False
    user: str | None = ""
    working_dir: str | None = ""
    console_size: tuple[int, int] | None = None
