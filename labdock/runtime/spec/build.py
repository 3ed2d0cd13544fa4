"""The OCI runtime spec of a container, with Docker's defaults (OCI runtime-spec 1.0; Docker's default spec)."""

from __future__ import annotations

from labdock.errors import InvalidRequest
from labdock.runtime.spec import mounts, profile, seccomp
from labdock.runtime.spec.capabilities import choose_capabilities
from labdock.runtime.spec.request import Rlimit, SpecRequest

#: Where an init program is seen inside the container, as Docker has it.
INIT_PATH = "/sbin/docker-init"

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_RLIMIT_NAMES = "AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK"
_RLIMITS = frozenset(_RLIMIT_NAMES.split())


def build_spec(request: SpecRequest) -> dict[str, object]:
    """The spec as a JSON-able dict. Raises InvalidRequest for a capability, ulimit or option that means nothing."""
    bounding = choose_capabilities(
        request.cap_add, request.cap_drop, privileged=request.privileged, everything=request.all_capabilities
    )
    spec: dict[str, object] = {
        "ociVersion": "1.0.0",
        "process": _process(request, bounding),
        "root": {"path": request.rootfs, "readonly": request.readonly_rootfs},
        "mounts": mounts.build_mounts(request, INIT_PATH),
        "linux": _linux(request, bounding),
    }
    if request.uts == "private":
        if request.hostname:
            spec["hostname"] = request.hostname
        if request.domainname:
            spec["domainname"] = request.domainname
    if request.annotations:
        spec["annotations"] = dict(request.annotations)
    return spec


def build_process(
    *,
    args: tuple[str, ...],
    env: tuple[str, ...],
    cwd: str,
    uid: int,
    gid: int,
    groups: tuple[int, ...],
    bounding: tuple[str, ...],
    tty: bool = False,
    console_size: tuple[int, int] | None = None,
    no_new_privileges: bool = False,
    set_groups: bool = True,
    rlimits: tuple[Rlimit, ...] = (),
) -> dict[str, object]:
    """The ``process`` part alone: of a container, or of an exec in it.

    *set_groups* is False where the user namespace denies setgroups(2), as single-id maps do.
    """
    user: dict[str, object] = {"uid": uid, "gid": gid}
    if set_groups:
        # With the primary one, as Docker since CVE-2022-36109.
        user["additionalGids"] = sorted({gid, *groups})
    process: dict[str, object] = {
        "terminal": tty,
        "user": user,
        "args": list(args),
        "env": list(env),
        "cwd": cwd,
        "capabilities": _capability_sets(bounding, uid),
        "noNewPrivileges": no_new_privileges,
    }
    if tty and console_size and all(console_size):
        process["consoleSize"] = {"height": console_size[0], "width": console_size[1]}
    if rlimits:
        process["rlimits"] = [_rlimit(limit) for limit in rlimits]
    return process


def _capability_sets(bounding: tuple[str, ...], uid: int) -> dict[str, list[str]]:
    """Root holds what bounds it; others hold nothing until they exec a file that has capabilities. As Docker."""
    held = list(bounding)
    if uid != 0:
        return {"bounding": held}
    return {"bounding": held, "effective": held, "permitted": held}


def _process(request: SpecRequest, bounding: tuple[str, ...]) -> dict[str, object]:
    args = request.args
    if request.init is not None:
        args = (INIT_PATH, "--", *args)
    process = build_process(
        args=args,
        env=request.env,
        cwd=request.cwd,
        uid=request.uid,
        gid=request.gid,
        groups=request.groups,
        bounding=bounding,
        tty=request.tty,
        console_size=request.console_size,
        no_new_privileges=request.no_new_privileges,
        set_groups=not request.single_id,
        rlimits=request.rlimits,
    )
    if request.oom_score_adj is not None:
        process["oomScoreAdj"] = request.oom_score_adj
    return process


def _rlimit(limit: Rlimit) -> dict[str, object]:
    name = limit.name.upper().removeprefix("RLIMIT_")
    if name not in _RLIMITS:
        raise InvalidRequest(f"invalid ulimit type: {limit.name}", hint="docker run --ulimit nofile=1024:2048")
    soft, hard = (value if value >= 0 else 2**64 - 1 for value in (limit.soft, limit.hard))
    if soft > hard:
        raise InvalidRequest(f"ulimit soft limit must be less than or equal to hard limit: {limit.soft} > {limit.hard}")
    return {"type": f"RLIMIT_{name}", "soft": soft, "hard": hard}


def _linux(request: SpecRequest, bounding: tuple[str, ...]) -> dict[str, object]:
    linux: dict[str, object] = {
        "namespaces": _namespaces(request),
        "maskedPaths": _paths(request.masked, MASKED, request.privileged),
        "readonlyPaths": _paths(request.readonly, READONLY, request.privileged),
    }
    if request.propagation:
        linux["rootfsPropagation"] = request.propagation
    sysctls = _sysctls(request)
    if sysctls:
        linux["sysctl"] = sysctls
    if request.devices:
        linux["devices"] = [
            {
                "path": device.path,
                "type": device.type,
                "major": device.major,
                "minor": device.minor,
                "fileMode": device.mode,
                "uid": device.uid,
                "gid": device.gid,
            }
            for device in request.devices
        ]
    if request.cgroup_path is not None:
        linux["cgroupsPath"] = request.cgroup_path
    filtering = _seccomp(request, bounding)
    if filtering is not None:
        linux["seccomp"] = filtering
    return linux


def _paths(asked: tuple[str, ...] | None, default: tuple[str, ...], privileged: bool) -> list[str]:
    if asked is not None:
        return list(asked)
    return [] if privileged else list(default)


def _sysctls(request: SpecRequest) -> dict[str, str]:
    """Docker lets any user bind low ports in a network namespace of the container's own."""
    sysctls = {}
    if request.network != "host":
        sysctls["net.ipv4.ip_unprivileged_port_start"] = "0"
    return sysctls | dict(request.sysctls)


def _seccomp(request: SpecRequest, bounding: tuple[str, ...]) -> dict[str, object] | None:
    if isinstance(request.seccomp, str):
        if request.privileged or request.seccomp == "unconfined":
            return None
        return seccomp.default_profile(frozenset(bounding), request.machine)
    return profile.translate(request.seccomp, bounding, request.machine, request.kernel)


def _namespaces(request: SpecRequest) -> list[dict[str, str]]:
    namespaces = [{"type": "mount"}]
    for kind, wish in (
        ("pid", request.pid),
        ("ipc", request.ipc),
        ("uts", request.uts),
        ("cgroup", request.cgroup),
        ("network", "private" if request.network is None else request.network),
    ):
        if wish == "private":
            namespaces.append({"type": kind})
        elif wish.startswith("/"):
            namespaces.append({"type": kind, "path": wish})
        elif wish != "host":
            raise InvalidRequest(f"{kind} namespace {wish!r} is neither private nor host nor a path")
    return namespaces
