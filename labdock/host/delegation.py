"""Getting a part of the cgroup tree that is ours: by what we were started in, or by asking systemd for a scope.

Outer's half of limits: afterwards the sandbox has a group of its own with every controller that could be had. What
may be changed is told by systemd's mark (``user.delegate``, see systemd's CGROUP_DELEGATION page) or, in a container,
by being the root of its cgroup namespace and writable. Other groups are left alone, whatever root could do to them.

A group that hands controllers on may hold no process itself. So all that is in the delegated one, outer and whoever
was there before, moves to a group beside the sandbox's: what entry points of containers do as well.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from labdock.host.identity import Identity
from labdock.host.plan import Probe
from labdock.sys import cgroups
from labdock.sys.cgroups import PROCESSES, Group

#: "off" in the environment: no group is asked for nor taken.
SETTING = "LABDOCK_CGROUPS"
#: Where outer and its neighbours go; the sandbox's group is SANDBOX and outer's pid.
REST, SANDBOX = "labdock-rest", "labdock-sandbox-"
#: Seconds that systemd has to answer, and to move us.
PATIENCE = 5.0

_COST = "limits on memory and processors are kept by watching, affinity and niceness; others are not kept"
_SCOPE = "systemd-run --user --scope -p Delegate=yes labdock engine start"
#: For the controllers that systemd does not hand to users by itself.
DROP_IN = (
    "sudo mkdir -p /etc/systemd/system/user@.service.d; printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | "
    "sudo tee /etc/systemd/system/user@.service.d/delegate.conf; sudo systemctl daemon-reload; then log in anew"
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What of the machine is looked at; the tests have folders instead."""

    process: Path = Path("/proc/self")
    systemd: Path = Path("/run/systemd/system")

    def own(self) -> Group | None:
        """The group that this process is in."""
        try:
            mounts, membership = ((self.process / name).read_text() for name in ("mountinfo", "cgroup"))
        except OSError:
            return None
        return cgroups.locate(mounts, membership)

    @property
    def at_root(self) -> bool:
        """Whether that is the root of all groups that can be seen from here."""
        with contextlib.suppress(OSError):
            return "0::/\n" in (self.process / "cgroup").read_text()
        return False


@dataclass(frozen=True, slots=True)
class Delegation:
    """``base``: the group below which everything may be changed; None: there is none, and ``probe`` says why."""

    base: Group | None
    probe: Probe

    @contextlib.contextmanager
    def enclose(self, identity: Identity) -> Iterator[None]:
        """The calling process is, for this long, in the sandbox's group: a cgroup namespace begins where it is made.

        *identity*: who is to have that group. Raises OSError.
        """
        if self.base is None:
            yield
            return
        rest, box = self.base.child(REST), self.box
        box.folder.mkdir(exist_ok=True)
        if identity.kind == "root-mapped":
            for name in ("", PROCESSES, "cgroup.threads", "cgroup.subtree_control"):
                os.chown(box.folder / name, identity.uid, identity.gid)
        box.write(PROCESSES, str(os.getpid()))
        try:
            yield
        finally:
            rest.write(PROCESSES, str(os.getpid()))

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user is to know of it."""
        return (f"{self.probe.cost} ({self.probe.detail})",) if self.probe.cost else ()

    @property
    def box(self) -> Group:
        assert self.base is not None
        return self.base.child(f"{SANDBOX}{os.getpid()}")

    def clear(self) -> None:
        """After the sandbox's end. What this process is in itself, systemd removes."""
        if self.base is not None:
            self.box.remove()


def obtain(
    environment: Mapping[str, str],
    uid: int,
    machine: Machine | None = None,
    ask: Callable[[Mapping[str, str], int, Machine], str] | None = None,
) -> Delegation:
    """A part of the tree for this process, with its controllers handed on; moves this process. Raises nothing."""
    machine = machine or Machine()
    if environment.get(SETTING) == "off":
        return _lacking(f"switched off by {SETTING}", f"unset {SETTING}", "you")
    own = machine.own()
    if own is None:
        return _lacking(
            "no cgroup v2 tree is mounted", "boot with systemd.unified_cgroup_hierarchy=1", "an administrator"
        )
    base, how = _find_base(own, machine), "the group it was started in"
    if base is None:
        if not machine.systemd.is_dir():
            why = f"{own.folder} is not delegated to this user, and there is no systemd to ask"
            return _lacking(why, "start the container that this is with a writable /sys/fs/cgroup", "whoever starts it")
        refused = (ask or ask_systemd)(environment, uid, machine)
        own = machine.own()
        base, how = (None if own is None or refused else own), "a scope of systemd's"
        if base is None or not base.writable:
            return _lacking(refused or "systemd's scope is not writable", f"start it as: {_SCOPE}", "you")
    try:
        enabled = _make_room(base)
    except OSError as error:
        return _lacking(f"{base.folder}: {error.strerror}", f"start it as: {_SCOPE}", "you")
    return Delegation(base, _describe(base, enabled, how))


def _find_base(own: Group, machine: Machine) -> Group | None:
    if own.folder.name == REST:
        # Of an earlier engine, or beside one that runs.
        own = Group(own.folder.parent)
        return own if own.writable else None
    if not own.writable:
        return None
    alone = machine.at_root and not machine.systemd.is_dir()
    return own if alone or _is_marked(own) else None


def _is_marked(group: Group) -> bool:
    """Whether systemd says that it lets go of this group."""
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            return os.getxattr(group.folder, name) == b"1"
    return False


def _make_room(base: Group) -> tuple[str, ...]:
    """Empty *base* of processes, and hand its controllers on: those that there are then. Raises OSError."""
    rest = base.child(REST)
    rest.folder.mkdir(exist_ok=True)
    base.gather(rest)
    return base.enable(base.read("cgroup.controllers").split())


def _describe(base: Group, enabled: tuple[str, ...], how: str) -> Probe:
    missing = [name for name in ("cpu", "cpuset", "io", "memory", "pids") if name not in enabled]
    detail = f"{how}: {' '.join(enabled) or 'no controllers'}"
    if not missing:
        return Probe("cgroup delegation", True, detail=detail)
    cost = f"not handed to this user: {' '.join(missing)}; those limits are kept as far as that goes without"
    return Probe("cgroup delegation", True, detail=detail, cost=cost, lift=DROP_IN, who="an administrator")


def _lacking(why: str, lift: str, who: str) -> Delegation:
    return Delegation(None, Probe("cgroup delegation", False, detail=why, cost=_COST, lift=lift, who=who))


def ask_systemd(environment: Mapping[str, str], uid: int, machine: Machine) -> str:
    """Have the user's systemd (root: the system's) make a delegated scope of this process; "" or why it did not."""
    program = shutil.which("busctl", path=environment.get("PATH", os.defpath) + ":/usr/bin:/bin")
    if program is None:
        return "busctl, to ask systemd for a scope, was not found"
    scope = f"labdock-{os.getpid()}-{time.time_ns() // 1_000_000}.scope"
    command = [program, *(() if uid == 0 else ("--user",)), "--quiet", "call", "org.freedesktop.systemd1"]
    command += ["/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "StartTransientUnit"]
    command += ["ssa(sv)a(sa(sv))", scope, "fail", "4", "Description", "s", "labdock", "Delegate", "b", "true"]
    command += ["CollectMode", "s", "inactive-or-failed", "PIDs", "au", "1", str(os.getpid()), "0"]
    settings = {**environment, "XDG_RUNTIME_DIR": environment.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"}
    try:
        done = subprocess.run(
            command,
            env=settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"asking systemd for a scope: {error}"
    if done.returncode != 0:
        return f"systemd gives no scope: {done.stderr.strip() or f'status {done.returncode}'}"
    # systemd answers before it has moved us, and tells of that on the bus only: a few looks, milliseconds in all.
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        own = machine.own()
        if own is not None and own.folder.name == scope:
            return ""
        time.sleep(0.002)
    return f"systemd did not move this process to {scope} within {PATIENCE:g} s"
