"""A runtime driver whose containers do what a test says, and a stage with nothing on it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable
from pathlib import Path

from labdock.engine.placing import Ports
from labdock.engine.records import ContainerRecord
from labdock.engine.stage import Stage
from labdock.errors import Conflict
from labdock.network import Endpoint
from labdock.runtime import Attachment, Bundle, ExecProcess, ExecRequest, Exit, Monitored, Stream


class ScriptedStreams:
    """Output that a test feeds; what was written is kept."""

    def __init__(self) -> None:
        self.output: asyncio.Queue[tuple[Stream, bytes] | None] = asyncio.Queue()
        self.written: list[bytes] = []
        self.stdin_closed = False
        self.closed = False

    async def read(self) -> tuple[Stream, bytes] | None:
        return await self.output.get()

    async def write(self, data: bytes) -> None:
        self.written.append(data)

    async def close_stdin(self) -> None:
        self.stdin_closed = True

    async def close(self) -> None:
        self.closed = True


class ScriptedContainer:
    """Created when made; ``end`` ends it."""

    def __init__(self, bundle: Bundle, pid: int) -> None:
        self.id = bundle.id
        self.pid = pid
        self.started = False
        self.signals: list[int] = []
        self.streams: list[ScriptedStreams] = []
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    def end(self, code: int, at: int = 1, *, oom: bool = False) -> None:
        if not self._exit.done():
            self._exit.set_result(Exit(code, at, oom))
        for stream in self.streams:
            stream.output.put_nowait(None)

    async def attach(self, *, stdin: bool, stdout: bool = True, stderr: bool = True) -> Attachment:
        self.streams.append(ScriptedStreams())
        return self.streams[-1]

    async def resize(self, rows: int, columns: int) -> None:
        return

    def reopen_log(self) -> None:
        return

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exit)


class ScriptedDriver:
    """A RuntimeDriver. ``refuse``: what the next create or start raises. ``stubborn``: SIGTERM is ignored."""

    name = "scripted"

    def __init__(self) -> None:
        self.containers: dict[str, ScriptedContainer] = {}
        self.made: list[ScriptedContainer] = []
        self.deleted: list[str] = []
        self.refuse_create: BaseException | None = None
        self.refuse_start: BaseException | None = None
        self.stubborn = False

    async def create(self, bundle: Bundle) -> Monitored:
        if self.refuse_create is not None:
            raise self.refuse_create
        container = ScriptedContainer(bundle, 1000 + len(self.made))
        self.containers[bundle.id] = container
        self.made.append(container)
        return container

    async def start(self, container: str) -> None:
        if self.refuse_start is not None:
            raise self.refuse_start
        self.containers[container].started = True

    async def signal(self, container: str, number: int) -> None:
        found = self.containers.get(container)
        if found is None:
            raise Conflict(f"container {container} is not running")
        found.signals.append(number)
        if number == signal.SIGKILL or (number == signal.SIGTERM and not self.stubborn):
            found.end(128 + number)

    async def survey(self, containers: Iterable[str]) -> dict[str, list[int]]:
        return {name: [self.containers[name].pid] for name in containers if name in self.containers}

    async def kill_as_oom(self, container: str) -> None:
        self.containers[container].end(137, oom=True)

    async def exec(self, container: str, request: ExecRequest) -> ExecProcess:
        raise Conflict("scripted containers run no further programs")

    async def pause(self, container: str) -> None:
        return

    async def resume(self, container: str) -> None:
        return

    async def adopt(self, container: str, folder: Path) -> Monitored | Exit | None:
        return self.containers.get(container)

    async def delete(self, container: str) -> None:
        found = self.containers.pop(container, None)
        if found is not None:
            found.end(137)
        self.deleted.append(container)


class BareStage:
    """Sets nothing up, and remembers what it was asked. ``gate``: mounts go only when it is set."""

    note = staticmethod(Stage.note)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.up: list[str] = []
        self.down: list[str] = []
        self.released: list[str] = []
        self.forgotten: list[str] = []
        self.gate: asyncio.Event | None = None
        self.refuse: BaseException | None = None

    async def set_up(self, record: ContainerRecord) -> tuple[Bundle, tuple[Endpoint, ...], Ports]:
        if self.refuse is not None:
            raise self.refuse
        self.up.append(record.id)
        endpoint = Endpoint("bridge", "n1", "e1", "172.17.0.2", 16, "172.17.0.1", "02:00:00:00:00:01")
        return Bundle(record.id, self.folder / record.id, {}, None), (endpoint,), {}

    async def tear_down(self, record: ContainerRecord) -> None:
        await self.release(record.id)
        await self.clear(record.id)

    async def release(self, container: str) -> None:
        self.released.append(container)

    async def clear(self, container: str) -> None:
        if self.gate is not None:
            await self.gate.wait()
        self.down.append(container)

    async def forget(self, container: str) -> None:
        self.forgotten.append(container)
