"""Execs: further programs in running containers. They live in memory: an exec ends with its engine's streams."""

from __future__ import annotations

import asyncio
import posixpath
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labdock.engine.attachments import Session
from labdock.engine.creation import merge_env, process_env
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord
from labdock.engine.rlimits import bound_rlimits
from labdock.engine.signals import exit_code_of, parse_signal
from labdock.engine.stage import Stage
from labdock.engine.supervisor import Supervisor
from labdock.errors import Conflict, InvalidRequest, LabdockError, NoSuchExec
from labdock.runtime import ExecProcess, ExecRequest, RuntimeDriver
from labdock.runtime.users import User
from labdock.schema.container import ExecConfig
from labdock.schema.ids import new_id

Wire = dict[str, Any]
#: How many ended execs can still be inspected.
KEPT = 1024


@dataclass(slots=True, eq=False)
class Exec:
    id: str
    container: str
    config: ExecConfig
    process: ExecProcess | None = None
    started: bool = False
    exit_code: int | None = None
    ended: asyncio.Event | None = None


class Execs:
    """The exec use cases."""

    def __init__(
        self,
        ledger: Ledger,
        driver: RuntimeDriver,
        stage: Stage,
        supervisor: Supervisor,
        constrain: Callable[[ContainerRecord, ExecRequest], ExecRequest],
    ) -> None:
        """*constrain* puts a request under its container's limits."""
        self._ledger = ledger
        self._driver = driver
        self._stage = stage
        self._supervisor = supervisor
        self._constrain = constrain
        self._execs: OrderedDict[str, Exec] = OrderedDict()
        stage.execs_of = self.of

    def of(self, container: str) -> list[str]:
        """The ids of the execs that run in *container*."""
        return [e.id for e in self._execs.values() if e.container == container and e.started and e.exit_code is None]

    def create(self, ref: str, config: ExecConfig) -> str:
        """The new exec's id. Conflict unless the container runs; InvalidRequest without a command."""
        record = self._ledger.get(ref)
        self._check_running(record)
        if not config.cmd:
            raise InvalidRequest("No exec command specified")
        exec_ = Exec(new_id(), record.id, config)
        self._execs[exec_.id] = exec_
        self._forget_old()
        self._supervisor.emit(record, f"exec_create: {' '.join(config.cmd)}", execID=exec_.id)
        return exec_.id

    def _forget_old(self) -> None:
        for key in [k for k, e in self._execs.items() if e.exit_code is not None or not e.started][: -KEPT or None]:
            if len(self._execs) <= KEPT:
                break
            del self._execs[key]

    @staticmethod
    def _check_running(record: ContainerRecord) -> None:
        if record.state.status == Status.PAUSED:
            raise Conflict(f"container {record.id} is paused, unpause the container before exec")
        if record.state.status == Status.RESTARTING:
            raise Conflict(f"Container {record.id} is restarting, wait until the container is running")
        if record.state.status != Status.RUNNING:
            raise Conflict(f"container {record.id} is not running")

    def _get(self, exec_id: str) -> Exec:
        found = self._execs.get(exec_id)
        if found is None:
            matching = [e for key, e in self._execs.items() if exec_id and key.startswith(exec_id)]
            if len(matching) != 1:
                raise NoSuchExec(exec_id)
            found = matching[0]
        return found

    async def start(self, id: str, detach: bool, tty: bool | None, size: tuple[int, int] | None) -> Session | None:
        """Run it; its streams, or None when detached. Conflict when it ran already.

        *tty* is how the client frames the stream; whether the program has a terminal was said at create.
        """
        exec_ = self._get(id)
        if exec_.started:
            raise Conflict(f"Exec command {id} is already running" if exec_.exit_code is None else f"exec {id} has run")
        record = self._ledger.get(exec_.container)
        self._check_running(record)
        exec_.started = True
        exec_.ended = asyncio.Event()
        config = exec_.config
        try:
            identity = self._stage.resolve_user(record, config.user or record.config.user or "")
            stdin = bool(config.attach_stdin) and not detach
            request = build_request(record, config, identity, stdin=stdin, size=size)
            exec_.process = await self._driver.exec(record.id, self._constrain(record, request))
        except LabdockError as error:
            exec_.exit_code = exit_code_of(error)
            exec_.ended.set()
            raise
        self._supervisor.emit(record, f"exec_start: {' '.join(config.cmd or ())}", execID=exec_.id)
        self._supervisor.spawn(self._watch(exec_, record), f"watching exec {exec_.id[:12]}")
        if detach:
            self._supervisor.spawn(self._drain(exec_.process), f"draining exec {exec_.id[:12]}")
            return None
        session = Session(
            bool(config.tty) if tty is None else tty,
            bool(config.attach_stdin),
            bool(config.attach_stdout),
            bool(config.attach_stderr),
        )
        await session.bind(exec_.process.streams)
        return session

    async def run_check(self, record: ContainerRecord, args: tuple[str, ...]) -> ExecProcess:
        """Run *args* as the container's own user, beside the execs that clients know of."""
        identity = self._stage.resolve_user(record, record.config.user or "")
        request = build_request(record, ExecConfig(cmd=args), identity)
        return await self._driver.exec(record.id, self._constrain(record, request))

    async def _watch(self, exec_: Exec, record: ContainerRecord) -> None:
        assert exec_.process is not None and exec_.ended is not None
        exec_.exit_code = await exec_.process.wait()
        exec_.ended.set()
        self._supervisor.emit(record, "exec_die", execID=exec_.id, exitCode=str(exec_.exit_code))

    @staticmethod
    async def _drain(process: ExecProcess) -> None:
        while await process.streams.read() is not None:
            pass

    async def resize(self, id: str, rows: int, columns: int) -> None:
        exec_ = self._get(id)
        if exec_.process is None or exec_.exit_code is not None:
            raise Conflict(f"exec {id} is not running")
        await exec_.process.resize(rows, columns)

    def kill(self, id: str, signal: str) -> None:
        """Send a signal to the exec's program; nothing happens when it has ended. NoSuchExec, InvalidRequest."""
        exec_ = self._get(id)
        number = parse_signal(signal)
        if exec_.process is not None and exec_.exit_code is None:
            exec_.process.kill(number)

    def inspect(self, id: str) -> Wire:
        exec_ = self._get(id)
        config = exec_.config
        command = config.cmd or ()
        return {
            "ID": exec_.id,
            "Running": exec_.started and exec_.exit_code is None,
            "ExitCode": exec_.exit_code,
            "ProcessConfig": {
                "tty": bool(config.tty),
                "entrypoint": command[0] if command else "",
                "arguments": list(command[1:]),
                "privileged": bool(config.privileged),
                "user": config.user or "",
            },
            "OpenStdin": bool(config.attach_stdin),
            "OpenStdout": bool(config.attach_stdout),
            "OpenStderr": bool(config.attach_stderr),
            "CanRemove": exec_.exit_code is not None,
            "ContainerID": exec_.container,
            "DetachKeys": config.detach_keys or "",
            "Pid": exec_.process.pid if exec_.process else 0,
        }


def build_request(
    record: ContainerRecord,
    config: ExecConfig,
    identity: User,
    *,
    stdin: bool = False,
    size: tuple[int, int] | None = None,
) -> ExecRequest:
    """What the runtime is asked for: *config* over the container's own environment, folder and resource limits."""
    env = merge_env(process_env(record, identity.home), config.env or ())
    if config.tty and not any(entry.startswith("TERM=") for entry in env):
        env = (*env, "TERM=xterm")
    return ExecRequest(
        args=tuple(config.cmd or ()),
        env=env,
        cwd=posixpath.join(record.cwd, config.working_dir or ""),
        uid=identity.uid,
        gid=identity.gid,
        groups=identity.groups,
        tty=bool(config.tty),
        stdin=stdin,
        privileged=bool(config.privileged),
        size=size or config.console_size,
        rlimits=bound_rlimits(record.host)[0],
    )
