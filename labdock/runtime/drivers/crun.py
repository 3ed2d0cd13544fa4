"""The driver over crun(1), each container under its own conmon(8)."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from labdock.errors import Conflict, LabdockError, NoSuchContainer, SystemFailure
from labdock.runtime import Bundle, ExecProcess, ExecRequest, Exit, Monitored, children
from labdock.runtime.drivers import execution, failures
from labdock.runtime.drivers.filters import SeccompFilters
from labdock.runtime.groups import Groups
from labdock.runtime.monitor import conmon, processes
from labdock.runtime.monitor.conmon import usable_options
from labdock.runtime.monitor.container import LOST, LOST_REASON, MonitoredContainer
from labdock.runtime.monitor.layout import Layout
from labdock.runtime.spec import ALL, SpecMount, SpecRequest, build_process, build_spec
from labdock.sys import mounts


class CrunDriver:
    """A :class:`labdock.runtime.RuntimeDriver`.

    *crun* and *conmon* are absolute paths; *box* is the sandbox's own tmpfs, where crun keeps its state
    (``box/crun``). One per engine process, used from the event loop's thread only.
    """

    name = "crun"

    def __init__(self, crun: str, conmon: str, box: Path, groups: Groups | None = None) -> None:
        self._box = box
        self._groups = groups or Groups(None)
        self._crun = _protect(crun, box / "bin" / "crun")
        self._conmon = conmon
        self._options = usable_options(conmon)
        self._root = box / "crun"
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._arguments = ("--cgroup-manager=disabled", f"--root={self._root}")
        self._null = os.open("/dev/null", os.O_RDWR)
        self._folder = os.open(box, os.O_PATH | os.O_DIRECTORY)
        self._environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "XDG_RUNTIME_DIR": str(box),
            # conmon makes its console socket there, and sun_path is short.
            "TMPDIR": str(box) if len(str(box)) < 80 else f"/proc/{os.getpid()}/fd/{self._folder}",
        }
        self._filters = SeccompFilters(box / "seccomp", crun)
        # "deny" where one id is mapped only (man 7 user_namespaces).
        self._set_groups = Path("/proc/self/setgroups").read_text().strip() != "deny"
        self._tasks: set[asyncio.Task[None]] = set()
        self._containers: dict[str, MonitoredContainer] = {}
        self._folders: dict[str, Path] = {}
        self._monitors: dict[str, int] | None = None

    async def create(self, bundle: Bundle) -> Monitored:
        if bundle.id in self._containers:
            raise Conflict(f"container {bundle.id} is there already")
        making = asyncio.get_running_loop().create_task(self._create(bundle))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            # Half a container can't be left: it is made, then removed.
            self._keep(asyncio.get_running_loop().create_task(self._undo(making, bundle.id)))
            raise

    async def _undo(self, making: asyncio.Task[MonitoredContainer], container: str) -> None:
        await asyncio.wait({making})
        if making.exception() is None:
            await self.delete(container)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _create(self, bundle: Bundle) -> MonitoredContainer:
        layout = Layout(bundle.folder)
        self._folders[bundle.id] = bundle.folder
        layout.exits.mkdir(parents=True, exist_ok=True)
        settings = _settings(bundle)
        key = self._filters.key(bundle.spec)
        spec = bundle.spec if key is None else self._filters.apply(key, bundle.spec)
        layout.config.write_bytes(msgspec.json.encode(spec))
        arguments = self._arguments_for(bundle.spec)
        argv = conmon.command_line(self._conmon, self._options, self._crun, arguments, bundle)
        errors = os.memfd_create("conmon-errors")
        try:
            child, report = await conmon.start(argv, self._environment, self._null, errors)
            if report.pid <= 0:
                await child.wait()
                text = report.message or os.pread(errors, 65536, 0).decode(errors="replace")
                await self._forget(bundle.id)
                raise failures.translate(text, _program(bundle), failures.CREATE)
        finally:
            os.close(errors)
        if child.pidfd < 0:
            await self._abandon(bundle.id, bundle.folder)
            raise SystemFailure(f"container {bundle.id}: its monitor ended right after making it")
        # Last: without this file the container was not made to its end (see adopt).
        layout.settings.write_bytes(msgspec.json.encode(settings))
        container = MonitoredContainer(bundle.id, report.pid, layout, settings, os.dup(child.pidfd))
        self._containers[bundle.id] = container
        if key is not None and not self._filters.knows(key):
            self._filters.keep(key, self._root / bundle.id / "seccomp.bpf")
        return container

    def _arguments_for(self, spec: Mapping[str, object]) -> tuple[str, ...]:
        """crun's for a container: with a group that the spec names, it makes that, and execs join it."""
        linux = spec.get("linux")
        grouped = isinstance(linux, dict) and linux.get("cgroupsPath")
        return ("--cgroup-manager=cgroupfs", *self._arguments[1:]) if grouped else self._arguments

    async def warm(self) -> None:
        """Have the filter of the default seccomp profile compiled, so that the first container does not wait for it.

        Makes and removes a container that is never started: about 20 ms. For the engine's start; failures are
        left to the first real container.
        """
        root = self._box / "warm"
        (root / "bin").mkdir(parents=True, exist_ok=True)
        program = SpecMount("/bin/program", self._crun, options=("bind", "ro"))
        spec = build_spec(SpecRequest(rootfs=str(root), args=("/bin/program",), mounts=(program,), cgroup_mount=False))
        try:
            await self.create(Bundle("warm", root / "bundle", spec, log=None))
        except LabdockError:
            return
        finally:
            await self.delete("warm")
            shutil.rmtree(root, ignore_errors=True)

    def processes(self, container: str) -> list[int]:
        """The pids of all its processes as the engine sees them, its first one first."""
        found = self._find(container)
        return sorted(found.processes(), key=lambda pid: (pid != found.pid, pid))

    async def survey(self, containers: Iterable[str]) -> dict[str, list[int]]:
        spaces = {name: found.spaces for name in containers if (found := self._containers.get(name)) is not None}
        return await asyncio.to_thread(processes.sort_members, spaces) if spaces else {}

    async def kill_as_oom(self, container: str) -> None:
        self._find(container).kill_as_oom()

    async def start(self, container: str) -> None:
        self._find(container)
        fifo = self._root / container / "exec.fifo"
        try:
            fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise Conflict(f"container {container} was started before") from error
        except OSError as error:
            raise Conflict(f"container {container} has ended before its start") from error
        try:
            # What `crun start` does: the first process waits for one byte, and a fifo that is gone means "started".
            fifo.unlink()
            os.write(fd, b"\0")
            await _all_readers_gone(fd)
        finally:
            os.close(fd)

    async def signal(self, container: str, number: int) -> None:
        self._find(container).signal(number)

    async def exec(self, container: str, request: ExecRequest) -> ExecProcess:
        found = self._find(container)
        if not found.running:
            raise Conflict(f"container {container} is not running")
        bounding = ALL if request.privileged else found.settings.capabilities
        process = build_process(
            args=request.args,
            env=request.env,
            cwd=request.cwd,
            uid=request.uid,
            gid=request.gid,
            groups=request.groups,
            bounding=bounding,
            tty=request.tty,
            console_size=request.size,
            no_new_privileges=found.settings.no_new_privileges,
            set_groups=self._set_groups,
            rlimits=request.rlimits,
        )
        command = [self._crun, *self._arguments, "exec", container]
        return await execution.start_exec(command, self._environment, process, request, self._box)

    async def pause(self, container: str) -> None:
        """Freeze its cgroup; where it has none, SIGSTOP to all processes: their parents see that (WUNTRACED)."""
        found = self._find(container)
        if not found.running:
            raise Conflict(f"container {container} is not running")
        if await self._groups.freeze(container):
            return
        if not found.pause():
            found.resume()
            raise SystemFailure(
                f"pausing container {container}: it makes processes faster than they can be stopped",
                hint="stop or kill it instead",
            )

    async def resume(self, container: str) -> None:
        found = self._find(container)
        if not found.running:
            raise Conflict(f"container {container} is not running")
        if not self._groups.thaw(container):
            found.resume()

    async def adopt(self, container: str, folder: Path) -> Monitored | Exit | None:
        if container in self._containers:
            return self._containers[container]
        layout = Layout(folder)
        self._folders[container] = folder
        if self._monitors is None:
            self._monitors = conmon.find_monitors()
        monitor = self._open_monitor(self._monitors.get(container), folder)
        try:
            settings = msgspec.json.decode(layout.settings.read_bytes(), type=conmon.Settings)
            pid = int(layout.pid.read_text())
        except (OSError, ValueError, msgspec.DecodeError):
            # The engine was killed in the middle of create: nobody knows how far that is, so it ends here.
            if monitor is not None:
                os.close(monitor)
            await self._abandon(container, folder)
            return None
        if monitor is None:
            end = conmon.read_exit(layout, container)
            if end is None:
                # The monitor was killed with the engine.
                await self._abandon(container, folder)
                end = Exit(code=LOST, at=time.time_ns(), reason=LOST_REASON)
            return end
        if processes.parent(pid) != self._monitors[container]:
            # It has ended, the monitor is about to say so, and the number may be somebody else's by now.
            pid = 0
        adopted = MonitoredContainer(container, pid, layout, settings, monitor)
        self._containers[container] = adopted
        return adopted

    def _open_monitor(self, pid: int | None, folder: Path) -> int | None:
        """A pidfd of the conmon *pid*, if that is still the conmon of *folder*."""
        if pid is None:
            return None
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        if conmon.is_monitor(pid, folder):
            return fd
        os.close(fd)
        return None

    async def delete(self, container: str) -> None:
        found = self._containers.get(container)
        if found is not None:
            found.kill()
            try:
                await asyncio.wait_for(found.wait(), processes.DEATH_SECONDS)
                await found.end_rest()
            except TimeoutError as error:
                raise SystemFailure(
                    f"container {container} did not end within {processes.DEATH_SECONDS:g} s of SIGKILL"
                ) from error
            found.let_go()
            self._containers.pop(container, None)
            # All that crun holds for it: its processes, which have ended, its cgroup, and this folder.
            self._groups.remove(container)
            shutil.rmtree(self._root / container, ignore_errors=True)
        folder = self._folders.pop(container, None)
        await self._forget(container)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    async def _abandon(self, container: str, folder: Path) -> None:
        """End everything that works on *folder*, and have crun forget *container*."""
        await processes.end_all(lambda: conmon.find_programs(folder))
        await self._forget(container)

    async def _forget(self, container: str) -> None:
        """Have crun remove what it knows of *container*, whatever state it is in."""
        if not (self._root / container).exists():
            return
        argv = [self._crun, *self._arguments, "delete", "--force", container]
        child = children.spawn(argv, self._environment, {0: self._null, 1: self._null, 2: self._null})
        await child.wait()
        self._groups.remove(container)
        shutil.rmtree(self._root / container, ignore_errors=True)

    def _find(self, container: str) -> MonitoredContainer:
        try:
            return self._containers[container]
        except KeyError as error:
            raise NoSuchContainer(container) from error

    def close(self) -> None:
        """Let go of all containers; they go on under their monitors."""
        for container in self._containers.values():
            container.let_go()
        self._containers.clear()
        os.close(self._null)
        os.close(self._folder)


def _program(bundle: Bundle) -> str:
    process = bundle.spec.get("process")
    args = process.get("args") if isinstance(process, dict) else None
    return str(args[0]) if isinstance(args, list) and args else ""


def _settings(bundle: Bundle) -> conmon.Settings:
    process = bundle.spec.get("process")
    values = process if isinstance(process, dict) else {}
    held = values.get("capabilities", {}).get("bounding", [])
    return conmon.Settings(
        tty=bundle.tty,
        stdin=bundle.stdin,
        stdin_once=bundle.stdin_once,
        capabilities=tuple(held),
        no_new_privileges=bool(values.get("noNewPrivileges", False)),
        joined=_joined(bundle),
    )


def _joined(bundle: Bundle) -> tuple[str, ...]:
    """The kinds of namespaces that the container is to share with others."""
    linux = bundle.spec.get("linux")
    spaces = linux.get("namespaces", []) if isinstance(linux, dict) else []
    return tuple(str(space["type"]) for space in spaces if space.get("path"))


def _protect(crun: str, target: Path) -> str:
    """crun's path under a read-only bind mount, or as it was where that is refused.

    crun copies itself into a memfd at every start, lest a container write to it through /proc/self/exe
    (CVE-2019-5736), unless it lies on a read-only mount already (crun 1.8, cloned_binary.c): that takes 1 ms less.
    """
    try:
        if target.exists() and os.statvfs(target).f_flag & os.ST_RDONLY:
            return str(target)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.touch()
        mounts.mount_options(crun, str(target), "none", ("bind", "ro"))
    except OSError:
        return crun
    return str(target)


async def _all_readers_gone(fd: int) -> None:
    """Wait until nobody has the reading end of the fifo behind *fd* open."""
    assert stat.S_ISFIFO(os.fstat(fd).st_mode)
    # A writing end is never readable; epoll reports EPOLLERR when the last reader closes, and asyncio as readable.
    await children.readable(fd)
