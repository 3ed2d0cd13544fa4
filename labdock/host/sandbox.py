"""Making the sandbox: one set of namespaces with its id maps, and a first process in it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from labdock.errors import HostUnfit
from labdock.host.ids import IdExtent, IdMaps
from labdock.sys import forks, namespaces, process

#: Everything that the sandbox has of its own.
KINDS = (
    namespaces.NEWUSER
    | namespaces.NEWNS
    | namespaces.NEWNET
    | namespaces.NEWPID
    | namespaces.NEWCGROUP
    | namespaces.NEWIPC
    | namespaces.NEWUTS
)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox that was started. ``pid`` (in the caller's pid namespace) is its pid 1; ``pidfd`` refers to it."""

    pid: int
    pidfd: int


def spawn(maps: IdMaps, main: Callable[[], int], tools: Mapping[str, str] | None = None) -> Sandbox:
    """Fork a process into a new sandbox, as its root and its pid 1, and run *main* there.

    *main*'s result is the exit status. Pid 1 gets SIGKILL when the calling thread ends, and with pid 1
    everything in the sandbox ends. The caller is single-threaded (it forks) and reaps ``pid``. *tools*: paths of
    newuidmap and newgidmap (else they are looked up on PATH).

    Raises HostUnfit when the namespaces or the maps are refused, with the kernel's or newuidmap's words.
    """
    gate_read, gate_write = os.pipe()
    try:
        pid = forks.fork_into(KINDS)
    except OSError as error:
        os.close(gate_read)
        os.close(gate_write)
        raise HostUnfit(f"starting a sandbox: {error}", hint=_namespace_hint(error.errno)) from error
    if pid == 0:
        os.close(gate_write)
        _run_first(gate_read, main)
    os.close(gate_read)
    try:
        write_maps(pid, maps, tools or {})
        os.write(gate_write, b"mapped")
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(gate_write)
    return Sandbox(pid, os.pidfd_open(pid))


def _run_first(gate: int, main: Callable[[], int]) -> None:
    """Pid 1's life: wait until the maps are written, become root, run *main*, exit. Never returns."""
    status = 1
    try:
        if os.read(gate, 16) == b"mapped":
            os.close(gate)
            namespaces.become_root()
            # After the change of ids, which would clear it.
            process.die_with_parent(signal.SIGKILL)
            process.set_dumpable(True)
            status = main()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def write_maps(pid: int, maps: IdMaps, tools: Mapping[str, str] = MappingProxyType({})) -> None:
    """Give *pid*'s fresh user namespace its maps: by newuidmap(1) for several ids, directly else.

    Root writes them directly. Raises HostUnfit.
    """
    if maps.single and os.geteuid() != 0:
        _write_map(pid, "setgroups", "deny")
    if maps.single or os.geteuid() == 0:
        _write_map(pid, "gid_map", _format(maps.gids))
        _write_map(pid, "uid_map", _format(maps.uids))
        return
    for tool, extents in (("newuidmap", maps.uids), ("newgidmap", maps.gids)):
        command = [tools.get(tool, tool), str(pid), *_format(extents).split()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            hint = "an administrator can install it: sudo apt-get install uidmap"
            raise HostUnfit(f"starting {command[0]}: {error.strerror}", hint=hint) from error
        if done.returncode != 0:
            said = done.stderr.strip()
            raise HostUnfit(
                f"{' '.join(command)} failed: {said}",
                hint="check /etc/subuid and /etc/subgid; under no_new_privs set-id helpers do not work at all",
            )


def _write_map(pid: int, name: str, text: str) -> None:
    path = Path(f"/proc/{pid}/{name}")
    try:
        path.write_text(text)
    except OSError as error:
        raise HostUnfit(f"writing {text!r} to {path}: {error}") from error


def _format(extents: tuple[IdExtent, ...]) -> str:
    return "\n".join(f"{e.inside} {e.outside} {e.count}" for e in extents)


def _namespace_hint(code: int | None) -> str:
    if code == errno.ENOSPC:
        return "user namespaces are switched off or used up here: sysctl user.max_user_namespaces"
    if code in (errno.EPERM, errno.EACCES):
        return "user namespaces are refused to this user: `labdock doctor` says by what"
    return "`labdock doctor` says what this machine allows"
