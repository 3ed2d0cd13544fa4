"""Outer: the process on the host's side. Holds the locks, the API's socket, the published ports and the way out.

It lives as long as the sandbox: when one of the two ends, so does the other. An engine that dies is inner's
business; outer keeps the socket (clients wait in its backlog) and the ports meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from labdock.daemon import agents, egress, inner, sights
from labdock.daemon.channel import Channel, Descriptors, Handler, Params, revive
from labdock.daemon.dial import Caller
from labdock.daemon.handover import temporary_folder
from labdock.daemon.home import Tenure, translate
from labdock.daemon.inner import Start
from labdock.daemon.keeping import Keeper
from labdock.daemon.publish import Publisher
from labdock.daemon.reach import Inside
from labdock.daemon.report import Outcome, Report
from labdock.errors import EngineUnreachable, LabdockError, StorageFull
from labdock.host import delegation, sandbox
from labdock.host.plan import Plan
from labdock.host.sandbox import Sandbox
from labdock.host.survey import Survey, survey
from labdock.schema.paths import Paths
from labdock.sys import pidfds, process

#: Seconds that the engine has to stop its containers and itself, before the sandbox is ended without asking.
STOP_SECONDS = 90.0
#: The same for a sandbox whose engine has ended already: inner only cleans up.
CLEANING_SECONDS = 5.0
#: Connections that wait while an engine starts (the kernel caps it at net.core.somaxconn).
_BACKLOG = 4096
#: Bytes of the log's end that explain an engine which ended without a word.
_SUMMARY = 2000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What outer is started with: the caller's environment and ids, and the engine's command."""

    paths: Paths
    environment: Mapping[str, str]
    engine: Sequence[str]
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)


def main(order: Order, report: Report) -> int:
    """Outer's main, in a process of its own that is a session's leader; its stdout and stderr are the log.

    Says how the start ended on *report*, then runs until the sandbox ends. Returns the exit status.
    """
    process.set_name("labdock-outer")
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(levelname)s: %(message)s")
    signal.signal(signal.SIGTERM, _give_up)
    tenure = Tenure(order.paths)
    try:
        running = tenure.queue()
    except LabdockError as error:
        report.fail(error)
        return 1
    if running is not None:
        report.make(Outcome("running", pid=running))
        return 0
    if not report.wanted:
        # The starter went away while this waited for its turn.
        tenure.end()
        return 0
    failure: LabdockError
    try:
        return _hold(order, tenure, report)
    except LabdockError as error:
        failure = error
    except OSError as error:
        log.exception("ending")
        failure = translate("starting the engine", error)
    except Exception as error:
        log.exception("ending")
        failure = LabdockError(f"{type(error).__name__}: {error}", hint=f"the whole log: {order.paths.log}")
    finally:
        tenure.end()
    log.error("%s", failure.explain())
    # Last: the starter finds nothing half gone.
    report.fail(failure)
    return 1


def _give_up(number: int, frame: object) -> NoReturn:
    """SIGTERM before the event loop is there to take it."""
    raise EngineUnreachable("the engine was asked to end while it was starting")


def _hold(order: Order, tenure: Tenure, report: Report) -> int:
    """From the locks to the end of the sandbox."""
    paths = order.paths
    tenure.take_store()
    log_start = os.fstat(2).st_size
    _raise_file_limit()
    with contextlib.ExitStack() as stack:
        # At once: whoever connects from here on waits for the engine instead of being refused.
        api = stack.enter_context(_listen(paths))
        found = survey(paths.data, order.environment, order.uid, order.gid)
        _hand_over_folders(paths, found)
        groups = delegation.obtain(order.environment, order.uid)
        stack.callback(groups.clear)
        found = replace(found, probes=(*found.probes, groups.probe), notices=(*found.notices, *groups.notices))
        inside, to_outer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        to_engine, engine_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (inside, to_outer, to_engine, engine_end):
            stack.callback(end.close)
        start = Start(found, paths, order.environment, order.engine, api, to_outer, engine_end, groups.base is not None)
        with groups.enclose(found.identity):
            box = sandbox.spawn(found.identity.maps, lambda: inner.main(start), found.tools)
        for end in (api, to_outer, engine_end):
            end.close()
        try:
            return asyncio.run(Outer(order, found, tenure, report, box, log_start).run(inside, to_engine))
        finally:
            _end(box)
            # Inner removes it, unless it was ended before it could; what is in it, the next start removes.
            with contextlib.suppress(OSError):
                temporary_folder(paths).rmdir()


def _end(box: Sandbox) -> None:
    """End the sandbox, if something of it is left, and wait until nothing is."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(box.pidfd, signal.SIGKILL)
    # The kernel ends and reaps every process of a pid namespace before its pid 1 can be waited for.
    os.waitpid(box.pid, 0)
    os.close(box.pidfd)


def _listen(paths: Paths) -> socket.socket:
    """The API's socket, 0600, in the place of one that a killed engine left behind."""
    api = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        paths.socket.unlink(missing_ok=True)
        api.bind(str(paths.socket))
        paths.socket.chmod(0o600)
        api.listen(_BACKLOG)
    except OSError as error:
        api.close()
        hint = "choose a shorter or another path with LABDOCK_RUN"
        raise translate(f"listening on {paths.socket}", error, hint) from error
    return api


def _hand_over_folders(paths: Paths, found: Survey) -> None:
    """Make the sandbox's mount point; give both folders to containers' root, when that is not the caller."""
    paths.box.mkdir(exist_ok=True)
    if found.identity.kind != "root-mapped":
        return
    for path in (paths.run, paths.data, paths.box, paths.socket, paths.log):
        with contextlib.suppress(FileNotFoundError):
            os.chown(path, found.identity.uid, found.identity.gid)


def _raise_file_limit() -> None:
    """As many open files as allowed: each relayed connection takes two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Outer:
    """The asynchronous part of outer's life: from a sandbox that was forked to its end."""

    def __init__(
        self, order: Order, found: Survey, tenure: Tenure, report: Report, box: Sandbox, log_start: int
    ) -> None:
        self._order = order
        self._found = found
        self._tenure = tenure
        self._report = report
        self._box = box
        self._log_start = log_start
        self._plan: Plan | None = None
        self._failure: LabdockError | None = None
        self._engine_ready = False
        self._asked = False
        self._ending = asyncio.Event()
        self._settled = asyncio.Event()
        self._ready = asyncio.Event()
        self._reachable = asyncio.Event()

    async def run(self, inside: socket.socket, to_engine: socket.socket) -> int:
        """Until the sandbox has ended: 0 when it was asked to. Raises what went wrong."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask_to_end)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        self._inner = Channel(inside, self._inner_handlers(), name="the sandbox")
        publisher = Publisher(Inside(self._inner))
        keeper = Keeper()
        engine = Channel(
            to_engine,
            {
                **publisher.handlers(),
                **Caller().handlers(),
                **agents.handlers(),
                **keeper.handlers(),
                **sights.handlers(),
                **self._engine_handlers(),
            },
            name="the engine",
        )
        tasks = [
            loop.create_task(self._keep_way_out(), name="way out"),
            loop.create_task(self._announce(), name="announce"),
        ]
        gone = loop.create_task(pidfds.wait_ended(self._box.pidfd), name="sandbox")
        gone.add_done_callback(lambda _: self._ending.set())
        try:
            await self._ending.wait()
            return await self._finish(gone)
        finally:
            for task in (*tasks, gone):
                task.cancel()
            await asyncio.gather(*tasks, gone, return_exceptions=True)
            await publisher.close()
            engine.close()
            keeper.close()
            self._inner.close()

    def _ask_to_end(self) -> None:
        log.info("asked to end")
        self._asked = True
        self._ending.set()

    async def _finish(self, gone: asyncio.Task[None]) -> int:
        """Let the engine stop what it runs (when there is one to ask), and say why all this ends."""
        if self._settled.is_set() and not gone.done():
            seconds = STOP_SECONDS if self._asked else CLEANING_SECONDS
            with contextlib.suppress(LabdockError):
                self._inner.notify("stop")
            try:
                async with asyncio.timeout(seconds):
                    await asyncio.shield(gone)
            except TimeoutError:
                log.error("the engine did not stop within %g s: the sandbox is ended", seconds)
        if self._asked and self._failure is None and self._report.made:
            return 0
        raise self._failure or self._diagnose("the sandbox ended")

    # -- what inner and the engine tell

    def _inner_handlers(self) -> dict[str, Handler]:
        return {
            "settled": self._note_settled,
            "unfit": self._note_failure,
            "ended": self._note_engine_end,
            "spent": self._note_spent,
        }

    def _engine_handlers(self) -> dict[str, Handler]:
        return {"ready": self._note_ready, "failed": self._note_engine_failure, "stop": self._serve_stop}

    async def _note_settled(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        self._plan = Plan.from_json(params["plan"])
        self._settled.set()
        return None, ()

    async def _note_failure(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        self._fail(revive(params))
        return None, ()

    async def _note_ready(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        self._engine_ready = True
        self._failure = None
        self._ready.set()
        self._inner.notify("ready")
        return None, ()

    async def _note_engine_failure(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        """An engine says why it can't go on, before it ends."""
        self._failure = revive(params)
        return None, ()

    async def _note_engine_end(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        if not self._engine_ready:
            # Its last word is on the other channel, sent before its end: one turn of the loop serves it first.
            await asyncio.sleep(0)
            self._fail(self._failure or self._diagnose(f"the engine ended while it was starting ({params['how']})"))
        return None, ()

    async def _note_spent(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        text = f"the engine ended {params['deaths']} times in a row, at last with {params['how']}"
        self._fail(self._failure or self._diagnose(text))
        return None, ()

    async def _serve_stop(self, params: Params, fds: Descriptors) -> tuple[Any, Sequence[int]]:
        log.info("the engine asks to end: %s", params.get("reason"))
        self._ask_to_end()
        return None, ()

    def _fail(self, error: LabdockError) -> None:
        self._failure = error
        self._ending.set()

    def _diagnose(self, what: str) -> LabdockError:
        """*what*, with the end of what was logged since this start."""
        path = self._order.paths.log
        said = ""
        with contextlib.suppress(OSError), open(path, "rb") as source:
            end = source.seek(0, os.SEEK_END)
            source.seek(max(self._log_start, end - _SUMMARY))
            said = source.read().decode(errors="replace").strip()
        kind = StorageFull if "No space left on device" in said else EngineUnreachable
        return kind(f"{what}\n{said}" if said else what, hint=f"the whole log: {path}")

    # -- what outer does beside

    async def _announce(self) -> None:
        """Once all is there: write down what runs, tell the starter, let other starters go on."""
        await self._ready.wait()
        await self._settled.wait()
        assert self._plan is not None
        await self._reachable.wait()
        status = {"outer": os.getpid(), "inner": self._box.pid, "plan": json.loads(self._plan.to_json())}
        path = self._order.paths.run / "status.json"
        try:
            path.write_text(json.dumps(status))
        except OSError as error:
            self._fail(translate(f"writing {path}", error))
            return
        self._tenure.announce()
        self._report.make(Outcome("ready", self._plan.notices))
        log.info("the engine answers on %s", self._order.paths.socket)

    async def _keep_way_out(self) -> None:
        """Run slirp4netns, again when it ends; only a first start that fails is the starter's problem."""
        await self._settled.wait()
        assert self._plan is not None
        if self._plan.egress != "slirp4netns":
            self._reachable.set()
            return
        host_loopback = self._order.environment.get("LABDOCK_HOST_LOOPBACK") == "1"
        pause = 0.1
        while True:
            try:
                binary = self._plan.tools["slirp4netns"]
                way = await egress.start(binary, self._box.pid, host_loopback=host_loopback)
            except LabdockError as error:
                if not self._reachable.is_set():
                    self._fail(error)
                    return
                log.error("containers can't reach the outside: %s", error)
            else:
                self._reachable.set()
                started = asyncio.get_running_loop().time()
                try:
                    status = await way.wait()
                finally:
                    await way.close()
                log.error("slirp4netns ended (status %d: %s); it is started again", status, way.said)
                if asyncio.get_running_loop().time() - started > 10:
                    pause = 0.1
            await asyncio.sleep(pause)
            pause = min(pause * 2, 10.0)
