"""Starting, watching and ending containers: intent → act → fact, and what to do when a step was cut short."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from labdock.engine.events import Events
from labdock.engine.health import begin_checking, stop_checking
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import ALIVE, Status, Verb, follow
from labdock.engine.live import Live
from labdock.engine.records import ContainerRecord
from labdock.engine.restarts import BackOff, wants_restart
from labdock.engine.signals import exit_code_of, stop_signal
from labdock.engine.stage import Stage
from labdock.errors import Conflict, LabdockError, StorageFull, SystemFailure
from labdock.runtime import Exit, Monitored, RuntimeDriver
from labdock.store.intents import Action, Intents
from labdock.store.metadata import Database

log = logging.getLogger("labdock.engine")

#: Seconds between two tries to write to a disk that was full.
RETRY = 2.0
#: What was killed ends within this many seconds, unless it hangs in the kernel.
DEATH_SECONDS = 10.0


#: Whether the kernel or we killed for want of memory, and whether that is still to be told.
Verdict = tuple[bool, bool]


class Watcher(Protocol):
    """Told of every container that runs, also of those that an engine adopts. Neither call may raise or block."""

    def begin(self, record: ContainerRecord) -> None: ...

    def end(self, container: str) -> None: ...


class Supervisor:
    """Owns every container's task. ``remove`` is called when an auto-removed container has ended, ``constrain``
    before a container's first process runs.

    *sleep* is the clock of restart back-off and of retries.
    """

    def __init__(
        self,
        database: Database,
        intents: Intents,
        ledger: Ledger,
        driver: RuntimeDriver,
        stage: Stage,
        events: Events,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._intents = intents
        self._ledger = ledger
        self._driver = driver
        self._stage = stage
        self._events = events
        self._sleep = sleep
        self._live: dict[str, Live] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.remove: Callable[[str], Awaitable[None]] | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self.watchers: list[Watcher] = []
        self.constrain: Callable[[ContainerRecord, int], None] = lambda record, pid: None
        self.judge: Callable[[str, Exit], Verdict] = lambda container, exit_: (exit_.oom_killed, exit_.oom_killed)
        self.stopping = False

    def live(self, container: str) -> Live:
        return self._live.setdefault(container, Live())

    def forget(self, container: str) -> None:
        self._live.pop(container, None)

    def spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        """Run *work* as a task of the engine's; a failure is logged with *what* it was."""
        task = asyncio.create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._reap)
        return task

    def _reap(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed: %s", task.get_name(), error, exc_info=error)

    # -- starting ---------------------------------------------------------------------------------

    async def start(self, container: str) -> bool:
        """Start *container*; False when it runs already. Raises what kept it from starting; it is then as before."""
        live = self.live(container)
        async with live.lock:
            record = self._ledger.get(container)
            if record.state.status in (Status.RUNNING, Status.PAUSED):
                return False
            if record.state.status == Status.DEAD:
                raise Conflict(f"cannot start container {record.name}: {record.state.error}")
            follow(record.state.status, Verb.STARTED, record.id)
            self._cancel_retry(live)
            live.back_off = BackOff()
            await self._start(record.evolve(restarts=0), live)
            return True

    async def _start(self, record: ContainerRecord, live: Live) -> None:
        intent = self._intents.begin(Action.CONTAINER_START, record.id)
        live.ended = asyncio.Event()
        try:
            bundle, endpoints, ports = await self._stage.set_up(record)
            monitored = await self._driver.create(bundle)
            for session in live.sessions:
                attachment = await monitored.attach(stdin=session.stdin, stdout=session.stdout, stderr=session.stderr)
                await session.bind(attachment, live.ended)
            self.constrain(record, monitored.pid)
            # Before: a short program may have ended by the time that a start returns.
            started = time.time_ns()
            await self._driver.start(record.id)
            # It may have been renamed or updated meanwhile.
            now = self._ledger.get(record.id).evolve(restarts=record.state.restarts)
            running = self._stage.note(begin(now, monitored.pid, started), endpoints, ports)
            with self._database.transaction():
                self._ledger.put(running)
                intent.done()
        except BaseException as error:
            await asyncio.shield(self._undo_start(record, live, error))
            was = record.state.status
            failed = self._ledger.get(record.id).evolve(
                status=Status.EXITED if was == Status.RESTARTING else was,
                exit_code=exit_code_of(error),
                error=str(error),
                finished=time.time_ns(),
            )
            # On a full disk the intent stays open: the next start of the engine closes it.
            with contextlib.suppress(StorageFull), self._database.transaction():
                self._ledger.observe(failed)
                intent.done()
            if isinstance(error, OSError):
                raise SystemFailure(f"starting container {record.name}: {error}") from error
            raise
        self.emit(running, "start")
        self.supervise(running, monitored)

    async def _undo_start(self, record: ContainerRecord, live: Live, error: BaseException) -> None:
        log.info("container %s did not start: %s", record.id[:12], error)
        live.ended.set()
        await self._driver.delete(record.id)
        await self._stage.tear_down(record)
        for session in live.sessions:
            session.end()
        live.sessions.clear()
        if record.host.auto_remove and self.remove is not None:
            self.spawn(self._remove_later(record.id), f"removing container {record.id[:12]}")

    def supervise(self, record: ContainerRecord, monitored: Monitored) -> None:
        """Watch a running container until it ends."""
        live = self.live(record.id)
        live.monitored = monitored
        live.watch = self.spawn(self._watch(record.id, monitored), f"watching container {record.id[:12]}")
        for watcher in self.watchers:
            watcher.begin(record)

    def reopen_log(self, container: str) -> None:
        """See Monitored.reopen_log; nothing happens when it does not run."""
        monitored = self.live(container).monitored
        if monitored is not None:
            monitored.reopen_log()

    # -- ending -----------------------------------------------------------------------------------

    async def _watch(self, container: str, monitored: Monitored) -> None:
        exit_ = await monitored.wait()
        live = self.live(container)
        for watcher in self.watchers:
            watcher.end(container)
        record = self.record_exit(container, exit_)
        live.monitored = None
        live.ended.set()
        self._tell(live, record)
        live.sessions.clear()
        async with live.lock:
            live.releasing = asyncio.Event()
            try:
                await self._driver.delete(container)
                await self._stage.release(container)
                live.releasing.set()
                await self._stage.clear(container)
            finally:
                live.releasing.set()
                live.releasing = None
        await self._after(record, live)

    @staticmethod
    def _tell(live: Live, record: ContainerRecord) -> None:
        """Wake who waits for the container's end."""
        for future in live.exits:
            if not future.done():
                future.set_result(record)
        live.exits.clear()

    def record_exit(self, container: str, exit_: Exit) -> ContainerRecord:
        """The fact that *container* ended, whether it waits for a restart now, and its events."""
        before = self._ledger.get(container)
        oom_killed, untold = self.judge(container, exit_)
        ended = before.evolve(
            pid=0,
            exit_code=exit_.code,
            # quirk: a file's time comes from the kernel's coarse clock, up to a tick behind (man 2 clock_gettime).
            finished=max(exit_.at, before.state.started),
            oom_killed=oom_killed,
            error=exit_.reason,
            health=stop_checking(before.state.health),
        )
        again = not self.stopping and not before.host.auto_remove and wants_restart(ended)
        status = follow(before.state.status, Verb.BACK_OFF if again else Verb.EXIT, container)
        ended = ended.evolve(status=status, restarts=before.state.restarts + again)
        record = self._ledger.observe(self._stage.note(ended, (), {}))
        if self._ledger.behind and self._catching_up is None:
            self._catching_up = self.spawn(self._catch_up(), "writing what a full disk kept from being written")
        if untold:
            self.emit(record, "oom")
        self.emit(record, "die", exitCode=str(exit_.code))
        return record

    async def _catch_up(self) -> None:
        """Try again every RETRY seconds: nothing tells when a disk has room again."""
        try:
            while self._ledger.behind and not self.stopping:
                await self._sleep(RETRY)
                with contextlib.suppress(StorageFull):
                    self._ledger.catch_up()
        finally:
            self._catching_up = None

    async def _after(self, record: ContainerRecord, live: Live) -> None:
        """Auto-removal or the restart policy."""
        if self.stopping or not self._ledger.has_id(record.id):
            return
        if record.host.auto_remove:
            if not live.starts_again:
                await self._remove_later(record.id)
        elif self._ledger.get(record.id).state.status == Status.RESTARTING:
            self.restart_later(record, live)

    async def _remove_later(self, container: str) -> None:
        if self.remove is not None and self._ledger.has_id(container):
            await self.remove(container)

    def restart_later(self, record: ContainerRecord, live: Live) -> None:
        """Start *record*, which is recorded as restarting, again after the back-off."""
        pause = live.back_off.after((record.state.finished - record.state.started) / 1e9)
        live.retry = self.spawn(self._restart(record.id, live, pause), f"restarting container {record.id[:12]}")

    async def _restart(self, container: str, live: Live, pause: float) -> None:
        await self._sleep(pause)
        try:
            async with live.lock:
                live.retry = None
                if not self._ledger.has_id(container):
                    return
                record = self._ledger.get(container)
                if record.state.status == Status.RESTARTING:
                    await self._start(record, live)
        except LabdockError as error:
            log.warning("restarting container %s: %s", container[:12], error)
            if self._ledger.has_id(container):
                self._tell(live, self._ledger.get(container))

    @staticmethod
    def _cancel_retry(live: Live) -> None:
        if live.retry is not None:
            live.retry.cancel()
            live.retry = None

    def cancel_restart(self, record: ContainerRecord) -> ContainerRecord:
        """Take *record* out of its back-off; it is then exited."""
        live = self.live(record.id)
        self._cancel_retry(live)
        status = follow(record.state.status, Verb.EXIT, record.id)
        stopped = self._ledger.observe(record.evolve(status=status, by_user=True))
        self._tell(live, stopped)
        return stopped

    async def stop(self, container: str, timeout: float | None, number: int) -> bool:  # noqa: ASYNC109
        """Signal *container* with *number*, then SIGKILL after *timeout* seconds (None: never). False: not running."""
        record = self._ledger.get(container)
        live = self.live(record.id)
        if record.state.status == Status.RESTARTING:
            # Under the lock: a restart that has begun is waited for, and then stopped like any container.
            async with live.lock:
                record = self._ledger.get(container)
                if record.state.status == Status.RESTARTING:
                    self.emit(self.cancel_restart(record), "stop")
                    return True
        if record.state.status not in ALIVE or live.monitored is None:
            return False
        self._ledger.observe(record.evolve(by_user=True))
        if record.state.status == Status.PAUSED:
            await self._driver.resume(record.id)
        ended = live.ended
        await self._signal(record.id, number)
        self.emit(record, "kill", signal=str(number))
        try:
            async with asyncio.timeout(timeout):
                await ended.wait()
        except TimeoutError:
            log.info("container %s did not end within %s s, killing it", record.id[:12], timeout)
            await self._signal(record.id, signal.SIGKILL)
            self.emit(record, "kill", signal=str(int(signal.SIGKILL)))
            await self.wait_killed(record.id, ended)
        self.emit(self._ledger.get(record.id) if self._ledger.has_id(record.id) else record, "stop")
        return True

    @staticmethod
    async def wait_killed(container: str, ended: asyncio.Event) -> None:
        """Wait for the end of what got SIGKILL. SystemFailure, in Docker's words, when it does not come."""
        try:
            async with asyncio.timeout(DEATH_SECONDS):
                await ended.wait()
        except TimeoutError as error:
            raise SystemFailure(
                f"cannot stop container: {container}: tried to kill container, but did not receive an exit event"
            ) from error

    async def _signal(self, container: str, number: int) -> None:
        try:
            await self._driver.signal(container, number)
        except LabdockError as error:
            # It ended between the look and the signal: the watch task sees that.
            log.debug("signal %s to %s: %s", number, container[:12], error)

    async def close(self, grace: float) -> None:
        """Stop all that runs, within *grace* seconds, then every task. The engine is going away."""
        self.stopping = True
        alive = [record for record in self._ledger if record.state.status in ALIVE]
        for record in alive:
            self._cancel_retry(self.live(record.id))
        running = [r for r in alive if self.live(r.id).monitored is not None]
        for record in running:
            await self._signal(record.id, stop_signal(record))
        await self._wait_all(running, grace)
        for record in running:
            if not self.live(record.id).ended.is_set():
                await self._signal(record.id, signal.SIGKILL)
        await self._wait_all(running, grace)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=2)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)

    async def _wait_all(self, records: list[ContainerRecord], grace: float) -> None:
        waits = [asyncio.ensure_future(self.live(record.id).ended.wait()) for record in records]
        if waits:
            _, late = await asyncio.wait(waits, timeout=grace)
            for wait in late:
                wait.cancel()

    def emit(self, record: ContainerRecord, action: str, **more: str) -> None:
        """A container event, with the attributes Docker gives it."""
        attributes = {**(record.config.labels or {}), "image": record.image, "name": record.name, **more}
        self._events.emit("container", action, record.id, attributes)


def begin(record: ContainerRecord, pid: int, started: int) -> ContainerRecord:
    """*record* as of *started* (ns since the epoch), when its program began to run."""
    return record.evolve(
        status=Status.RUNNING,
        pid=pid,
        started=started,
        finished=0,
        exit_code=0,
        error="",
        oom_killed=False,
        by_user=False,
        health=begin_checking(record),
    )
