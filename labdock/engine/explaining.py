"""What the engine did to make a container: asked of the kernel where it can be, for ``labdock explain``.

Everything is read from /proc as it is now; a container that does not run has the parts that are on disk.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from labdock.engine.lifecycle import ALIVE
from labdock.engine.records import ContainerRecord
from labdock.host.plan import Plan

Wire = dict[str, Any]

#: What each kind of namespace makes a container's own (man 7 namespaces).
KINDS = {
    "user": "ids and rights",
    "mnt": "mounts: what files there are",
    "pid": "processes: its program is number 1",
    "net": "interfaces, addresses, ports",
    "ipc": "shared memory and queues",
    "uts": "the host name",
    "cgroup": "the root of its cgroups",
    "time": "clocks since boot",
}
#: Mounts and parents that are followed at most: facts to look at, no dump.
MOST_MOUNTS, MOST_PARENTS = 100, 16
#: Linux capabilities by number (linux/capability.h).
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
SECCOMP = {"0": "none", "1": "strict", "2": "filter"}


def explain(record: ContainerRecord, plan: Plan, layers: list[Wire], written: int, proc: Path = Path("/proc")) -> Wire:
    """The facts about *record*. *layers*: the image's history, *written*: bytes in the container's own layer."""
    runs = record.state.status in ALIVE and record.state.pid > 0
    pid = record.state.pid if runs else 0
    return {
        "Id": record.id,
        "Name": record.name,
        "Image": record.image,
        "Status": str(record.state.status),
        "Args": list(record.args),
        "Plan": {"Rung": plan.rung, "Identity": plan.identity, "Egress": plan.egress, "Snapshotter": plan.snapshotter},
        "IdMaps": {
            kind: [{"Inside": e.inside, "Outside": e.outside, "Count": e.count} for e in extents]
            for kind, extents in (("Uids", plan.maps.uids), ("Gids", plan.maps.gids))
        },
        "Process": read_process(proc / str(pid)) if pid else None,
        "Parents": read_parents(proc, pid) if pid else [],
        "Namespaces": read_namespaces(proc, pid) if pid else [],
        "Mounts": read_mounts(proc / str(pid) / "mountinfo") if pid else [],
        "Layers": [{"CreatedBy": each["CreatedBy"], "Size": each["Size"]} for each in layers],
        "Written": written,
        "Network": {
            "Mode": record.network,
            "Endpoints": [
                {"Network": e.network, "Address": f"{e.ip}/{e.prefix}", "Gateway": e.gateway, "Mac": e.mac}
                for e in record.endpoints
            ],
            "Published": [
                {"Port": port, "HostIp": each.host_ip or "", "HostPort": each.host_port or ""}
                for port, bindings in sorted(record.ports.items())
                for each in bindings
            ],
        },
    }


def _status(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / "status").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def read_process(folder: Path) -> Wire | None:
    """The container's first process; None when it ended meanwhile."""
    status = _status(folder)
    if not status:
        return None
    held = int(status.get("CapEff", "0"), 16)
    return {
        "Pid": int(status["Pid"]),
        "PidInside": int(status.get("NSpid", status["Pid"]).split()[-1]),
        "Uid": int(status["Uid"].split()[1]),
        "Gid": int(status["Gid"].split()[1]),
        "Capabilities": [name for number, name in enumerate(CAPABILITIES) if held >> number & 1],
        "Seccomp": SECCOMP.get(status.get("Seccomp", ""), ""),
        "NoNewPrivileges": status.get("NoNewPrivs") == "1",
    }


def read_parents(proc: Path, pid: int) -> list[Wire]:
    """From the process up to the sandbox's first: ``{"Pid", "Name"}`` each."""
    found: list[Wire] = []
    while pid and len(found) < MOST_PARENTS:
        status = _status(proc / str(pid))
        if not status:
            break
        found.append({"Pid": pid, "Name": status.get("Name", "")})
        pid = int(status.get("PPid", "0"))
    return found


def read_namespaces(proc: Path, pid: int) -> list[Wire]:
    """Each kind: its id, whether it is the container's own or the engine's (the whole sandbox's), and what it is."""
    found = []
    for kind, meaning in KINDS.items():
        try:
            own = os.readlink(proc / str(pid) / "ns" / kind)
            engines = os.readlink(proc / "self" / "ns" / kind)
        except OSError:
            continue
        found.append({"Kind": kind, "Id": own, "Own": own != engines, "Meaning": meaning})
    return found


def read_mounts(file: Path) -> list[Wire]:
    """The mounts that the process sees (man 5 proc, mountinfo)."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines[:MOST_MOUNTS]:
        before, _, after = line.partition(" - ")
        first, last = before.split(" "), after.split(" ")
        if len(first) < 6 or len(last) < 2:
            continue
        found.append(
            {
                "Target": _plain(first[4]),
                "Type": last[0],
                "Source": _plain(first[3] if last[0] not in ("overlay", "proc", "sysfs", "tmpfs") else last[1]),
                "ReadOnly": "ro" in first[5].split(","),
                "Lower": _lower(last[2]) if last[0] == "overlay" and len(last) > 2 else 0,
            }
        )
    return found


def _lower(options: str) -> int:
    """How many layers an overlay stacks below what is written."""
    for option in options.split(","):
        name, _, value = option.partition("=")
        if name in ("lowerdir", "lowerdir+"):
            return value.replace("\\:", "").count(":") + 1
    return 0


def _plain(text: str) -> str:
    """mountinfo writes blanks and the like as octal escapes."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, character)
    return text
