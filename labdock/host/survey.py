"""Looking at the machine from outside the sandbox, and concluding the Plan from both halves. No program is run."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labdock.errors import HostUnfit
from labdock.host import identity, reach, tools
from labdock.host.identity import Identity
from labdock.host.inside import Inside
from labdock.host.plan import Plan, Probe
from labdock.sys import filesystems

_TUN = "/dev/net/tun"


@dataclass(frozen=True, slots=True)
class Survey:
    """The outer half of the Plan; ``tools``, ``egress`` and ``notices`` as there."""

    identity: Identity
    tools: dict[str, str]
    egress: str
    seccomp: bool
    notices: tuple[str, ...]
    probes: tuple[Probe, ...]


def probe_outside(data: Path, environment: Mapping[str, str], uid: int) -> tuple[Probe, ...]:
    """Everything that can be seen from outside, good or bad; raises nothing. For ``doctor``, and part of a Survey."""
    found = tools.find_tools(environment)
    status = Path("/proc/self/status").read_text()
    return (
        *tools.probe_tools(found, uid),
        identity.probe_ids(uid),
        _probe_privileges(status, uid),
        _probe_tun(),
        *reach.probe_reach(uid),
        _probe_data(data),
    )


def survey(data: Path, environment: Mapping[str, str], uid: int, gid: int) -> Survey:
    """Decide the outer half of the Plan. Raises HostUnfit with the command that lifts what is in the way."""
    found = tools.find_tools(environment)
    names, packages = tools.missing_packages(found, uid)
    if names:
        raise HostUnfit(
            f"{' and '.join(names)} not found on PATH", hint=f"install with: sudo apt-get install {' '.join(packages)}"
        )
    who = identity.decide_identity(uid, gid, data, found.values())
    probes = probe_outside(data, environment, uid)
    blocked = next((p for p in probes if p.name == "set-id programs" and not p.ok), None)
    if blocked is not None:
        raise HostUnfit(f"{blocked.detail}: {blocked.cost}", hint=f"{blocked.who} can change that: {blocked.lift}")
    notices = list(who.notices)
    tun = next(p for p in probes if p.name == _TUN)
    if not tun.ok:
        notices.append(f"{tun.cost} ({tun.name}: {tun.detail})")
    notices.extend(p.cost for p in probes if p.name == "data folder" and p.cost)
    return Survey(
        identity=who,
        tools=found,
        egress="slirp4netns" if tun.ok else "none",
        seccomp="\nSeccomp:" in Path("/proc/self/status").read_text(),
        notices=tuple(notices),
        probes=probes,
    )


def conclude(outside: Survey, inside: Inside) -> Plan:
    """The Plan of both halves. Raises HostUnfit for a machine below rung R0, with the refused probe's remedy."""
    needed = {"fresh /proc", "cgroup2", "network"}
    if inside.snapshotter in ("overlay", "fuse-overlayfs"):
        # Asked for, or the store was made with it: no other will do.
        needed.add(inside.snapshotter)
    for probe in inside.probes:
        if probe.name in needed and not probe.ok:
            raise HostUnfit(
                f"{probe.name} is refused in the sandbox ({probe.errno}, {probe.detail}): {probe.cost}",
                hint=f"{probe.who} can change that: {probe.lift}",
            )
    notices = [*outside.notices]
    notices.extend(f"{probe.cost} ({probe.detail})" for probe in inside.probes if probe.ok and probe.cost)
    if inside.snapshotter in ("copy", "flat"):
        notices.append(f"the storage driver is {inside.snapshotter}: a container's root costs a copy of its image")
    return Plan(
        rung="R0",
        identity=outside.identity.kind,
        maps=outside.identity.maps,
        snapshotter=inside.snapshotter,
        proc=inside.proc,
        egress=outside.egress,
        cgroups=inside.cgroups,
        controllers=inside.controllers,
        seccomp=outside.seccomp,
        tools=outside.tools,
        notices=tuple(notices),
        probes=(*outside.probes, *inside.probes),
    )


def _probe_privileges(status: str, uid: int) -> Probe:
    """no_new_privs (man 2 prctl) makes newuidmap's set-id bit or capability void; root needs neither."""
    name = "set-id programs"
    if uid == 0 or "\nNoNewPrivs:\t1" not in status:
        return Probe(name, True, detail="allowed" if uid else "not needed by root")
    return Probe(
        name,
        False,
        errno="EPERM",
        detail="no_new_privs is set on this process",
        cost="newuidmap can't write id maps",
        lift="start outside of it (a pod: allowPrivilegeEscalation: true)",
        who="whoever starts the outer container",
    )


def _probe_tun() -> Probe:
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return Probe(
            _TUN,
            False,
            errno=errno.errorcode.get(error.errno or 0, ""),
            detail=error.strerror or "",
            cost="containers can't reach the outside",
            lift=f"sudo modprobe tun; sudo chmod 0666 {_TUN}",
            who="an administrator",
        )
    return Probe(_TUN, True, detail="opened")


def _probe_data(data: Path) -> Probe:
    name = "data folder"
    folder = data
    while not folder.exists():
        folder = folder.parent
    try:
        kind = filesystems.kind_of(folder)
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "")
        return Probe(
            name, False, code, f"{folder}: {error.strerror}", "no store", "choose one with LABDOCK_DATA", "you"
        )
    if kind in filesystems.NETWORKED:
        return Probe(
            name,
            True,
            detail=f"{data} is on {kind}",
            cost=f"the store is on a network file system ({kind}): slow, and not to be used from two machines",
            lift="put it on a local disk with LABDOCK_DATA",
            who="you",
        )
    free = os.statvfs(folder)
    return Probe(name, True, detail=f"{data} ({kind}, {free.f_bavail * free.f_frsize // 2**20} MiB free)")
