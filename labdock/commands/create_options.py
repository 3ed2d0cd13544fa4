"""The options of ``run`` and ``create``, and the request they mean."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from labdock.commands import values
from labdock.commands.foreign import windows_options
from labdock.errors import InvalidRequest
from labdock.schema.container import (
    CreateRequest,
    HealthcheckConfig,
    HostConfig,
    LogConfig,
    MountRequest,
)

F = TypeVar("F", bound=Callable[..., Any])

_LISTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("--add-host",), "Add a custom host-to-IP mapping (host:ip)"),
    (("--annotation",), "Add an annotation to the container"),
    (("--blkio-weight-device",), "Block IO weight (relative device weight)"),
    (("--cap-add",), "Add Linux capabilities"),
    (("--cap-drop",), "Drop Linux capabilities"),
    (("--device",), "Add a host device to the container"),
    (("--device-cgroup-rule",), "Add a rule to the cgroup allowed devices list"),
    (("--device-read-bps",), "Limit read rate (bytes per second) from a device"),
    (("--device-read-iops",), "Limit read rate (IO per second) from a device"),
    (("--device-write-bps",), "Limit write rate (bytes per second) to a device"),
    (("--device-write-iops",), "Limit write rate (IO per second) to a device"),
    (("--dns",), "Set custom DNS servers"),
    (("--dns-option",), "Set DNS options"),
    (("--dns-search",), "Set custom DNS search domains"),
    (("-e", "--env"), "Set environment variables"),
    (("--env-file",), "Read in a file of environment variables"),
    (("--expose",), "Expose a port or a range of ports"),
    (("--group-add",), "Add additional groups to join"),
    (("-l", "--label"), "Set meta data on a container"),
    (("--label-file",), "Read in a line delimited file of labels"),
    (("--log-opt",), "Log driver options"),
    (("--mount",), "Attach a filesystem mount to the container"),
    (("--link",), "Add link to another container"),
    (("--link-local-ip",), "Container IPv4/IPv6 link-local addresses"),
    (("--network", "--net"), "Connect a container to a network"),
    (("--network-alias", "--net-alias"), "Add network-scoped alias for the container"),
    (("-p", "--publish"), "Publish a container's port(s) to the host"),
    (("--security-opt",), "Security Options"),
    (("--storage-opt",), "Storage driver options for the container"),
    (("--sysctl",), "Sysctl options (name=value)"),
    (("--tmpfs",), "Mount a tmpfs directory"),
    (("--ulimit",), "Ulimit options"),
    (("-v", "--volume"), "Bind mount a volume"),
    (("--volumes-from",), "Mount volumes from the specified container(s)"),
)
_TEXTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("--cgroup-parent",), "Optional parent cgroup for the container"),
    (("--cgroupns",), "Cgroup namespace to use (host|private)"),
    (("--cidfile",), "Write the container ID to the file"),
    (("--cpus",), "Number of CPUs"),
    (("--cpuset-cpus",), "CPUs in which to allow execution (0-3, 0,1)"),
    (("--cpuset-mems",), "MEMs in which to allow execution (0-3, 0,1)"),
    (("--domainname",), "Container NIS domain name"),
    (("--entrypoint",), "Overwrite the default ENTRYPOINT of the image"),
    (("--gpus",), "GPU devices to add to the container ('all' to pass all GPUs)"),
    (("--health-cmd",), "Command to run to check health"),
    (("--health-interval",), "Time between running the check (ms|s|m|h)"),
    (("--health-start-interval",), "Time between running the check during the start period (ms|s|m|h)"),
    (("--health-start-period",), "Time the container has to start before failures count (ms|s|m|h)"),
    (("--health-timeout",), "Maximum time to allow one check to run (ms|s|m|h)"),
    (("-h", "--hostname"), "Container host name"),
    (("--ip",), "IPv4 address (e.g., 172.30.100.104)"),
    (("--ip6",), "IPv6 address (e.g., 2001:db8::33)"),
    (("--ipc",), "IPC mode to use"),
    (("--isolation",), "Container isolation technology"),
    (("--log-driver",), "Logging driver for the container"),
    (("--mac-address",), "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    (("-m", "--memory"), "Memory limit"),
    (("--memory-reservation",), "Memory soft limit"),
    (("--memory-swap",), "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
    (("--name",), "Assign a name to the container"),
    (("--pid",), "PID namespace to use"),
    (("--platform",), "Set platform if server is multi-platform capable"),
    (("--restart",), "Restart policy to apply when a container exits"),
    (("--runtime",), "Runtime to use for this container"),
    (("--shm-size",), "Size of /dev/shm"),
    (("--stop-signal",), "Signal to stop the container"),
    (("-u", "--user"), "Username or UID (format: <name|uid>[:<group|gid>])"),
    (("--userns",), "User namespace to use"),
    (("--uts",), "UTS namespace to use"),
    (("--volume-driver",), "Optional volume driver for the container"),
    (("-w", "--workdir"), "Working directory inside the container"),
)
_NUMBERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("--blkio-weight",), "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
    (("-c", "--cpu-shares"), "CPU shares (relative weight)"),
    (("--cpu-period",), "Limit CPU CFS (Completely Fair Scheduler) period"),
    (("--cpu-quota",), "Limit CPU CFS (Completely Fair Scheduler) quota"),
    (("--cpu-rt-period",), "Limit CPU real-time period in microseconds"),
    (("--cpu-rt-runtime",), "Limit CPU real-time runtime in microseconds"),
    (("--health-retries",), "Consecutive failures needed to report unhealthy"),
    (("--memory-swappiness",), "Tune container memory swappiness (0 to 100)"),
    (("--oom-score-adj",), "Tune host's OOM preferences (-1000 to 1000)"),
    (("--pids-limit",), "Tune container pids limit (set -1 for unlimited)"),
    (("--stop-timeout",), "Timeout (in seconds) to stop a container"),
)
_FLAGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("--init",), "Run an init inside the container that forwards signals and reaps processes"),
    (("-i", "--interactive"), "Keep STDIN open even if not attached"),
    (("--no-healthcheck",), "Disable any container-specified HEALTHCHECK"),
    (("--oom-kill-disable",), "Disable OOM Killer"),
    (("--privileged",), "Give extended privileges to this container"),
    (("-P", "--publish-all"), "Publish all exposed ports to random ports"),
    (("-q", "--quiet"), "Suppress the pull output"),
    (("--read-only",), "Mount the container's root filesystem as read only"),
    (("--rm",), "Automatically remove the container when it exits"),
    (("-t", "--tty"), "Allocate a pseudo-TTY"),
    (("--use-api-socket",), "Bind mount the engine's socket and the registry credentials into the container"),
)

_NETWORKING = ("network", "network_alias", "link", "link_local_ip", "ip", "ip6", "mac_address")


_RARE = (
    "blkio_weight",
    "blkio_weight_device",
    "cgroup_parent",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpuset_mems",
    "device_cgroup_rule",
    "device_read_bps",
    "device_read_iops",
    "device_write_bps",
    "device_write_iops",
    "gpus",
    "isolation",
    "memory_reservation",
    "memory_swappiness",
    "oom_kill_disable",
    "runtime",
    "security_opt",
    "storage_opt",
)


def create_options(function: F) -> F:
    """Decorator: the options that ``run`` and ``create`` share."""
    options = [click.option(*names, multiple=True, help=text) for names, text in _LISTS]
    options += [click.option(*names, help=text) for names, text in _TEXTS]
    options += [click.option(*names, type=int, help=text) for names, text in _NUMBERS]
    options += [click.option(*names, is_flag=True, help=text) for names, text in _FLAGS]
    options.append(
        click.option(
            "--pull",
            type=click.Choice(["always", "missing", "never"]),
            default="missing",
            help='Pull image before running ("always", "missing", "never")',
        )
    )
    for option in reversed(options):
        function = option(function)
    return windows_options(function)


def request_from(
    image: str, command: tuple[str, ...], options: dict[str, Any], *, attach: bool, stdin: bool
) -> CreateRequest:
    """What *options* ask for. *attach*: output is attached; *stdin*: input is. Raises InvalidRequest."""
    published = values.ports(options["publish"])
    mode, settings = "", None
    if any(options[name] for name in _NETWORKING):
        # Not for every start: importing takes longer than reading these.
        from labdock.commands.network_options import networking

        mode, settings = networking(options)
    binds, anonymous = values.volumes(options["volume"])
    labels: dict[str, str] = {}
    for path in options["label_file"]:
        labels |= values.key_values(values.read_lines(path, "--label-file"))
    entrypoint = options["entrypoint"]
    return CreateRequest(
        image=image,
        cmd=command or None,
        entrypoint=None if entrypoint is None else (entrypoint,),
        hostname=options["hostname"] or "",
        domainname=options["domainname"] or "",
        user=options["user"] or "",
        attach_stdin=attach and stdin,
        attach_stdout=attach,
        attach_stderr=attach,
        tty=options["tty"],
        open_stdin=stdin,
        stdin_once=attach and stdin,
        env=values.environment(options["env"], options["env_file"], os.environ) or None,
        exposed_ports=({port: {} for port in published} | values.exposed(options["expose"])) or None,
        volumes=anonymous or None,
        working_dir=options["workdir"] or "",
        labels=(labels | values.key_values(options["label"])) or None,
        stop_signal=options["stop_signal"],
        stop_timeout=options["stop_timeout"],
        healthcheck=_healthcheck(options),
        host_config=_host_config(options, binds, published, mode),
        networking_config=settings,
    )


def _host_config(options: dict[str, Any], binds: tuple[str, ...], published: dict[str, Any], mode: str) -> HostConfig:
    if options["rm"] and options["restart"] not in (None, "no"):
        raise InvalidRequest(
            "conflicting options: cannot specify both --restart and --rm",
            hint="a container that is removed when it ends can't be restarted: leave one of them out",
        )
    logging = None
    if options["log_driver"] or options["log_opt"]:
        logging = LogConfig(type=options["log_driver"] or "", config=values.key_values(options["log_opt"]))
    swap = options["memory_swap"]
    return HostConfig(
        binds=binds or None,
        mounts=_mounts(options["mount"]),
        tmpfs=values.tmpfs(options["tmpfs"]) or None,
        volumes_from=options["volumes_from"] or None,
        volume_driver=options["volume_driver"] or "",
        port_bindings=published or None,
        publish_all_ports=options["publish_all"],
        network_mode=mode,
        links=options["link"] or None,
        auto_remove=options["rm"],
        restart_policy=values.restart(options["restart"]) if options["restart"] else None,
        log_config=logging,
        cap_add=tuple(map(values.capability, options["cap_add"])) or None,
        cap_drop=tuple(map(values.capability, options["cap_drop"])) or None,
        privileged=options["privileged"],
        readonly_rootfs=options["read_only"],
        dns=options["dns"] or None,
        dns_options=options["dns_option"] or None,
        dns_search=options["dns_search"] or None,
        extra_hosts=tuple(map(values.extra_host, options["add_host"])) or None,
        group_add=options["group_add"] or None,
        ipc_mode=options["ipc"] or "",
        pid_mode=options["pid"] or "",
        uts_mode=options["uts"] or "",
        userns_mode=options["userns"] or "",
        cgroupns_mode=options["cgroupns"] or "",
        oom_score_adj=options["oom_score_adj"] or 0,
        shm_size=values.size(options["shm_size"]) if options["shm_size"] else 0,
        init=True if options["init"] else None,
        sysctls=values.key_values(options["sysctl"]) or None,
        ulimits=tuple(sorted(map(values.ulimit, options["ulimit"]), key=lambda limit: limit.name)) or None,
        devices=tuple(map(values.device, options["device"])) or None,
        memory=values.size(options["memory"]) if options["memory"] else 0,
        memory_swap=-1 if swap == "-1" else values.size(swap) if swap else 0,
        nano_cpus=values.cpus(options["cpus"]) if options["cpus"] else 0,
        cpu_shares=options["cpu_shares"] or 0,
        cpu_quota=options["cpu_quota"] or 0,
        cpu_period=options["cpu_period"] or 0,
        cpuset_cpus=options["cpuset_cpus"] or "",
        pids_limit=options["pids_limit"],
        annotations=values.key_values(options["annotation"]) or None,
        **_resources(options),
    )


def _resources(options: dict[str, Any]) -> dict[str, Any]:
    """Members for options that are rarely given; what makes them is loaded then."""
    # 0 is a value; False, None and () are not.
    if all(options[name] is None or options[name] is False or options[name] == () for name in _RARE):
        return {}
    from labdock.commands.resource_options import resources

    return resources(options)


def _mounts(texts: tuple[str, ...]) -> tuple[MountRequest, ...] | None:
    if not texts:
        return None
    from labdock.commands.mount_option import mount

    return tuple(map(mount, texts))


def _healthcheck(options: dict[str, Any]) -> HealthcheckConfig | None:
    given = [name for name in options if name.startswith("health_") and options[name] is not None]
    if options["no_healthcheck"]:
        if given:
            raise InvalidRequest("--no-healthcheck conflicts with --health-* options")
        return HealthcheckConfig(test=("NONE",))
    if not given:
        return None

    def time(name: str) -> int:
        return values.duration(options[name]) if options[name] else 0

    return HealthcheckConfig(
        test=("CMD-SHELL", options["health_cmd"]) if options["health_cmd"] else None,
        interval=time("health_interval"),
        timeout=time("health_timeout"),
        start_period=time("health_start_period"),
        start_interval=time("health_start_interval"),
        retries=options["health_retries"] or 0,
    )
