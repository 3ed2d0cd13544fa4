"""What a container was asked to be, with every name resolved: ids are numbers, paths are the sandbox's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from labdock.runtime.spec.capabilities import ALL

_MACHINE, _KERNEL = os.uname().machine, os.uname().release


@dataclass(frozen=True, slots=True)
class SpecMount:
    """A mount inside the container. ``type`` "bind" takes *source* from the sandbox; options are mount(8)'s words."""

    target: str
    source: str
    type: str = "bind"
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """A device node to make: ``type`` is c, b or p; ``mode`` its permission bits."""

    path: str
    type: Literal["c", "b", "p"]
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Rlimit:
    """``name`` as in ``--ulimit`` (nofile) or RLIMIT_NOFILE; -1 is unlimited."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecRequest:
    """Input of :func:`labdock.runtime.spec.build_spec`.

    - ``rootfs``: the mounted root, absolute. ``env`` is complete (PATH, HOME, HOSTNAME, TERM are the caller's).
    - ``network``: the path of a network namespace; "host": the sandbox's own; None: a fresh, empty one.
    - ``pid``, ``ipc``, ``uts``, ``cgroup``: "private", "host" or the path of a namespace.
    - ``files``: bind mounts over single files (/etc/hosts, …): target in the container → source.
    - ``masked`` and ``readonly`` replace Docker's lists when not None. ``tmpfs``: target → options, as the API has it.
    - ``init``: path of an init program to put before ``args``. ``seccomp``: "default", "unconfined" or a profile
      in Docker's form, or OCI's. ``single_id``: the sandbox maps one id only, so nothing may be owned by another.
    - ``cgroup_mount``: mount /sys/fs/cgroup (False where the sandbox has no cgroup file system).
    - ``oom_score_adj`` None leaves it alone; lowering it needs a privilege that a sandbox does not have.
    - ``all_capabilities``: what "all" means here (privileged, ``--cap-add ALL``).
    - ``propagation``: of the container's root ("rslave", …), so that binds in it see later mounts; "" is private.
    - Sizes in bytes; ``console_size`` is (rows, columns); ``machine`` and ``kernel`` as in uname(2).
    - ``shm_size`` 0: nothing is mounted at /dev/shm.
    """

    rootfs: str
    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    tty: bool = False
    console_size: tuple[int, int] | None = None
    hostname: str = ""
    domainname: str = ""
    readonly_rootfs: bool = False
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    all_capabilities: tuple[str, ...] = ALL
    no_new_privileges: bool = False
    seccomp: Literal["default", "unconfined"] | Mapping[str, object] = "default"
    machine: str = _MACHINE
    kernel: str = _KERNEL
    masked: tuple[str, ...] | None = None
    readonly: tuple[str, ...] | None = None
    mounts: tuple[SpecMount, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    shm_size: int = 64 << 20
    network: str | None = None
    pid: str = "private"
    ipc: str = "private"
    uts: str = "private"
    cgroup: str = "private"
    cgroup_mount: bool = True
    cgroup_path: str | None = None
    sysctls: Mapping[str, str] = field(default_factory=dict)
    rlimits: tuple[Rlimit, ...] = ()
    devices: tuple[Device, ...] = ()
    init: str | None = None
    oom_score_adj: int | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    propagation: str = ""
    single_id: bool = False
