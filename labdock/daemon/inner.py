"""Inner: pid 1 of the sandbox. Settles it, reaps, opens sockets for outer, and keeps an engine running.

A fork of outer that never execs, so most of its memory is shared with outer's.

Notices to outer, on the channel: ``settled`` {plan}, ``unfit`` {an error}, ``ended`` {how, quick},
``spent`` {how, deaths}. From outer: ``stop``, ``ready`` (the engine said so), ``sockets`` (reach.py). The end of
the channel is the end of outer, and so of everything here.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from labdock.daemon import handover
from labdock.daemon.channel import Channel, Descriptors, Handler, Params, preserve
from labdock.daemon.egress import NAMESERVER
from labdock.daemon.handover import Handover
from labdock.daemon.home import translate
from labdock.daemon.reach import Dialer
from labdock.errors import HostUnfit, LabdockError
from labdock.host import inside
from labdock.host.plan import Plan
from labdock.host.survey import Survey, conclude
from labdock.schema.paths import Paths
from labdock.sys import mounts, process

#: An engine that dies before it has been ready for this long (seconds) died quickly.
QUICK = 1.0
#: Pauses before an engine is started again, by the number of quick deaths in a row.
PAUSES = (0.0, 0.05, 0.2, 0.8, 2.0)
#: After that many quick deaths in a row, it is not started again.
MOST_QUICK_DEATHS = len(PAUSES)

#: The environment's word for the storage driver.
STORAGE_DRIVER = "LABDOCK_STORAGE_DRIVER"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """What inner is forked with. The sockets: the API's (listening), and the sandbox's ends of both channels."""

    survey: Survey
    paths: Paths
    environment: Mapping[str, str]
    engine: Sequence[str]
    api: socket.socket
    to_outer: socket.socket
    engine_end: socket.socket
    own_group: bool = False


def main(start: Start) -> int:
    """Pid 1's main, as root of the fresh sandbox; returns the exit status."""
    process.set_name("labdock-inner")
    with contextlib.suppress(OSError):
        # Containers have the sandbox's. ENOSYS, EPERM: there are no keyrings here.
        process.leave_keyring()
    os.umask(0o022)
    _close_all_but((0, 1, 2, start.api.fileno(), start.to_outer.fileno(), start.engine_end.fileno()))
    return asyncio.run(_live(start))


async def _live(start: Start) -> int:
    handlers = Dialer().handlers()
    channel = Channel(start.to_outer, handlers, name="outer")
    try:
        plan = settle(start.survey, start.paths, start.environment.get(STORAGE_DRIVER, ""), start.own_group)
    except (LabdockError, OSError) as error:
        failure = error if isinstance(error, LabdockError) else translate("settling the sandbox", error)
        channel.notify("unfit", preserve(failure))
        # Outer ends the sandbox; leaving first could close the channel before the notice is read.
        await channel.wait_closed()
        return 1
    channel.notify("settled", {"plan": plan.to_json()})
    inner = Inner(start, plan, channel)
    handlers.update(inner.handlers())
    status = await inner.run()
    _empty(handover.temporary_folder(start.paths))
    return status


def settle(survey: Survey, paths: Paths, driver: str = "", own_group: bool = False) -> Plan:
    """Make the fresh sandbox fit, and conclude the Plan; the rest as inside.settle. Raises HostUnfit, OSError."""
    if driver and driver not in inside.DRIVERS:
        raise HostUnfit(
            f"there is no storage driver {driver!r}", hint=f"{STORAGE_DRIVER} is one of {', '.join(inside.DRIVERS)}"
        )
    fuse = survey.tools.get("fuse-overlayfs")
    seen = inside.settle(paths.data, fuse, networked=True, driver=driver, own_group=own_group)
    plan = conclude(survey, seen)
    mounts.mount("labdock", str(paths.box), "tmpfs", mounts.NOSUID | mounts.NODEV, "mode=0700")
    if plan.egress == "slirp4netns":
        _name_servers(paths)
    temporary = handover.temporary_folder(paths)
    _empty(temporary)
    temporary.mkdir(mode=0o700)
    return plan


def _name_servers(paths: Paths) -> None:
    """Let programs in the sandbox ask slirp4netns' forwarder: the host's own resolver may be on its loopback."""
    words = paths.box / "resolv.conf"
    words.write_text(f"nameserver {NAMESERVER}\n")
    with contextlib.suppress(FileNotFoundError):
        mounts.mount(str(words), "/etc/resolv.conf", None, mounts.BIND)


def _empty(folder: os.PathLike[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _close_all_but(keep: Sequence[int]) -> None:
    """Locks, report pipes and log files of outer must not live on here."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(name))


class Inner:
    """The supervisor of one engine at a time."""

    def __init__(self, start: Start, plan: Plan, channel: Channel) -> None:
        self._start = start
        self._channel = channel
        # Above the numbers that they get in the engine: one dup2 must not overwrite the other's source.
        self._api = fcntl.fcntl(start.api.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
        self._engine_end = fcntl.fcntl(start.engine_end.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
        self._environment = handover.compose_environment(start.environment, Handover(plan, start.paths))
        self._loop = asyncio.get_running_loop()
        self._engine = 0
        self._stopping = False
        self._ready_at: float | None = None
        self._quick = 0
        self._done: asyncio.Future[int] = self._loop.create_future()

    def handlers(self) -> dict[str, Handler]:
        """What outer may ask for."""
        return {"stop": self._serve(self._stop), "ready": self._serve(self._note_ready)}

    async def run(self) -> int:
        """Until the engine has ended on request, or is given up, or outer is gone."""
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # Nobody but outer ends the sandbox; pid 1 is spared only signals it has no handler for.
            self._loop.add_signal_handler(number, lambda: None)
        gone = self._loop.create_task(self._channel.wait_closed())
        gone.add_done_callback(lambda _: self._finish(1))
        self._spawn()
        try:
            return await self._done
        finally:
            gone.cancel()

    @staticmethod
    def _serve(act: Callable[[], None]) -> Handler:
        async def serve(params: Params, fds: Descriptors) -> tuple[None, tuple[()]]:
            act()
            return None, ()

        return serve

    def _finish(self, status: int) -> None:
        if not self._done.done():
            self._done.set_result(status)

    def _note_ready(self) -> None:
        self._ready_at = self._loop.time()

    def _stop(self) -> None:
        self._stopping = True
        if self._engine:
            os.kill(self._engine, signal.SIGTERM)
        else:
            self._finish(0)

    def _spawn(self) -> None:
        if self._stopping:
            self._finish(0)
            return
        self._ready_at = None
        inherit = (
            (os.POSIX_SPAWN_DUP2, self._api, handover.API_FD),
            (os.POSIX_SPAWN_DUP2, self._engine_end, handover.CHANNEL_FD),
        )
        command = list(self._start.engine)
        self._engine = os.posix_spawn(
            command[0], command, self._environment, file_actions=inherit, setsigdef=[signal.SIGPIPE]
        )

    def _reap(self) -> None:
        """SIGCHLD: the engine's end, or that of a process whose parent is gone (conmon forks twice)."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._engine:
                self._engine = 0
                self._note_end(os.waitstatus_to_exitcode(status))

    def _note_end(self, code: int) -> None:
        """Decide about the next engine. *code*: exit status, or minus the signal."""
        if self._stopping:
            self._finish(0 if code == 0 else 1)
            return
        lasted = self._ready_at is not None and self._loop.time() - self._ready_at >= QUICK
        self._quick = 0 if lasted else self._quick + 1
        log.warning("the engine ended (%s); quick deaths in a row: %d", describe_end(code), self._quick)
        with contextlib.suppress(LabdockError):
            self._channel.notify("ended", {"how": describe_end(code), "quick": self._quick})
            if self._quick >= MOST_QUICK_DEATHS:
                self._channel.notify("spent", {"deaths": self._quick, "how": describe_end(code)})
                return
        self._loop.call_later(PAUSES[self._quick], self._spawn)


def describe_end(code: int) -> str:
    """An exit code as people read it."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
