"""A second engine: containers in memory whose programs are scripts. Small, but it keeps the facade's promises."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from labdock.api.facade import Filters, OnLine, Stream, Wire
from labdock.errors import (
    Conflict,
    DockerfileError,
    Forbidden,
    InvalidRequest,
    NoSuchContainer,
    NoSuchExec,
    NoSuchImage,
    NoSuchNetwork,
    NoSuchVolume,
    NotFound,
    Unauthorized,
    Unavailable,
)
from labdock.schema.build import BuildDone, BuildEvent, BuildFailed, StepDone, StepOutput, StepRunning, StepStarted
from labdock.schema.build_query import BuildQuery
from labdock.schema.container import ContainerConfig, CreateRequest, ExecConfig
from labdock.schema.events import Actor, Event
from labdock.schema.files import PathStat

IMAGE = "sha256:" + "ab" * 32


@dataclass
class Program:
    """What runs: ``cat`` echoes stdin, ``sleep`` waits to be killed, ``flood`` writes without end, ``say X`` ends."""

    args: builtins.list[str]
    tty: bool = False
    output: asyncio.Queue[tuple[Stream, bytes] | None] = field(default_factory=lambda: asyncio.Queue(64))
    past: builtins.list[tuple[str, bytes]] = field(default_factory=list)
    code: int | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    stdin: builtins.list[bytes] = field(default_factory=list)
    stdin_ended: bool = False
    written: int = 0

    async def emit(self, stream: Stream, data: bytes) -> None:
        self.past.append((stream, data))
        self.written += len(data)
        await self.output.put((stream, data))

    async def run(self) -> None:
        match self.args:
            case ["say", *words]:
                await self.emit("stdout", " ".join(words).encode() + b"\n")
                await self.emit("stderr", b"done\n")
                await self.end(0)
            case ["fail", code]:
                await self.end(int(code))
            case ["flood"]:
                while self.code is None:
                    await self.emit("stdout", b"x" * 65536)

    async def end(self, code: int) -> None:
        if self.code is None:
            self.code = code
            self.ended.set()
            await self.output.put(None)


@dataclass
class FakeStreams:
    program: Program
    closed: bool = False

    async def read(self) -> tuple[Stream, bytes] | None:
        found = await self.program.output.get()
        if found is None:
            self.program.output.put_nowait(None)
        return found

    async def write(self, data: bytes) -> None:
        if self.program.code is not None:
            raise BrokenPipeError("ended")
        self.program.stdin.append(data)
        if self.program.args == ["cat"]:
            await self.program.emit("stdout", data)

    async def close_stdin(self) -> None:
        self.program.stdin_ended = True
        if self.program.args == ["cat"]:
            await self.program.end(0)

    async def close(self) -> None:
        self.closed = True


@dataclass
class FakeSession:
    tty: bool
    streams: FakeStreams


@dataclass(frozen=True)
class FakeCreated:
    id: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class FakeResult:
    code: int
    error: str | None = None


class FakeLogSource:
    def __init__(self, program: Program) -> None:
        self.tty = program.tty
        self.program = program
        self.asked: Wire = {}
        self.closed = False

    async def read(
        self,
        *,
        stdout: bool,
        stderr: bool,
        since_ns: int | None,
        until_ns: int | None,
        tail: int | None,
        follow: bool,
        timestamps: bool,
        details: bool,
    ) -> AsyncGenerator[Sequence[tuple[str, bytes]], None]:
        self.asked = {"since": since_ns, "until": until_ns, "tail": tail, "timestamps": timestamps, "details": details}
        try:
            wanted = [(s, d) for s, d in self.program.past if (stdout if s == "stdout" else stderr)]
            for piece in wanted if tail is None else wanted[len(wanted) - tail :]:
                yield [piece]
            if follow:
                await self.program.ended.wait()
        finally:
            self.closed = True


@dataclass
class Box:
    id: str
    name: str
    sent: Wire
    program: Program
    started: bool = False
    paused: bool = False


class FakeContainers:
    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}
        self.calls: builtins.list[tuple[Any, ...]] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.sessions: builtins.list[FakeSession] = []
        self.log_sources: builtins.list[FakeLogSource] = []

    def get(self, ref: str) -> Box:
        for box in self.boxes.values():
            if box.name == ref or (len(ref) >= 2 and box.id.startswith(ref)):
                return box
        raise NoSuchContainer(ref)

    def launch(self, program: Program) -> None:
        task = asyncio.get_running_loop().create_task(program.run())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def create(self, request: CreateRequest, sent: Wire, name: str | None, platform: str | None) -> FakeCreated:
        if request.image != "busybox":
            raise NoSuchImage(request.image or "")
        if any(box.name == name for box in self.boxes.values()):
            raise Conflict(f'Conflict. The container name "/{name}" is already in use')
        new = f"{len(self.boxes) + 1:02x}" * 32
        args = [request.cmd] if isinstance(request.cmd, str) else list(request.cmd or ())
        self.boxes[new] = Box(new, name or f"box{len(self.boxes)}", sent, Program(args, bool(request.tty)))
        return FakeCreated(new, ("a warning",) if request.mac_address else ())

    async def start(self, ref: str, detach_keys: str = "") -> bool:
        box = self.get(ref)
        if box.started:
            return False
        box.started = True
        self.launch(box.program)
        return True

    async def stop(self, ref: str, timeout: int | None = None, signal: str | None = None) -> bool:  # noqa: ASYNC109
        box = self.get(ref)
        self.calls.append(("stop", timeout, signal))
        if not box.started or box.program.code is not None:
            return False
        await box.program.end(137)
        return True

    async def restart(self, ref: str, timeout: int | None = None, signal: str | None = None) -> None:  # noqa: ASYNC109
        self.get(ref)

    async def kill(self, ref: str, signal: str | None) -> None:
        box = self.get(ref)
        if not box.started or box.program.code is not None:
            raise Conflict(f"container {box.id} is not running")
        await box.program.end(137)

    async def pause(self, ref: str) -> None:
        self.get(ref).paused = True

    async def unpause(self, ref: str) -> None:
        self.get(ref).paused = False

    async def remove(self, ref: str, force: bool, volumes: bool, link: bool) -> None:
        self.calls.append(("remove", ref, force, volumes, link))
        if link:
            return
        box = self.get(ref)
        if box.started and box.program.code is None:
            if not force:
                raise Conflict(f"cannot remove container {box.id}: Stop the container before attempting removal")
            await box.program.end(137)
        del self.boxes[box.id]

    async def rename(self, ref: str, name: str) -> None:
        self.get(ref).name = name

    async def update(self, ref: str, sent: Wire) -> builtins.list[str]:
        self.get(ref)
        return []

    async def inspect(self, ref: str, size: bool = False) -> Wire:
        box = self.get(ref)
        found = {"Id": box.id, "Name": f"/{box.name}", "Config": box.sent, "State": {"Running": box.started}}
        return {**found, "SizeRw": 0} if size else found

    async def list(
        self, all: bool, limit: int | None, size: bool, filters: Filters, detailed: bool = False
    ) -> builtins.list[Wire]:
        self.calls.append(("list", all, limit, size, filters))
        return [{"Id": box.id, "Names": [f"/{box.name}"]} for box in self.boxes.values() if all or box.started]

    def prepare_wait(self, ref: str, condition: str) -> Awaitable[FakeResult]:
        program = self.get(ref).program

        async def ended() -> FakeResult:
            await program.ended.wait()
            return FakeResult(program.code or 0)

        return ended()

    async def top(self, ref: str, ps_args: str) -> Wire:
        self.get(ref)
        return {"Titles": ["PID", "CMD"], "Processes": [["1", ps_args]]}

    def log_source(self, ref: str) -> FakeLogSource:
        source = FakeLogSource(self.get(ref).program)
        self.log_sources.append(source)
        return source

    async def attach(
        self, ref: str, stdin: bool, stdout: bool, stderr: bool, logs: bool, stream: bool, detach_keys: str
    ) -> FakeSession:
        program = self.get(ref).program
        session = FakeSession(program.tty, FakeStreams(program))
        self.sessions.append(session)
        return session

    async def resize(self, ref: str, rows: int, columns: int) -> None:
        self.get(ref)
        self.calls.append(("resize", rows, columns))

    async def prune(self, filters: Filters) -> Wire:
        return {"ContainersDeleted": [], "SpaceReclaimed": 0}


class FakeFiles:
    """One file, ``/a``, in every container."""

    def __init__(self, containers: FakeContainers) -> None:
        self._containers = containers
        self.calls: builtins.list[tuple[Any, ...]] = []

    async def list_folder(self, ref: str, path: str) -> Wire:
        self._containers.get(ref)
        return {"Path": path, "Entries": [], "Truncated": False}

    async def stat(self, ref: str, path: str) -> PathStat:
        self._containers.get(ref)
        if path != "/a":
            raise NotFound(f"Could not find the file {path} in container {ref}")
        return PathStat(name="a", size=3, mode=0o644, mtime="2026-01-02T03:04:05Z")

    async def archive(self, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        return await self.stat(ref, path), self._tar()

    async def _tar(self) -> AsyncIterator[bytes]:
        yield b"tar of"
        yield b" a"

    async def extract(self, ref: str, path: str, pieces: AsyncIterator[bytes], *, replace: bool, own: bool) -> None:
        self._containers.get(ref)
        self.calls.append((path, b"".join([piece async for piece in pieces]), replace, own))

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        self._containers.get(ref)
        return self._tar()

    async def changes(self, ref: str) -> builtins.list[Wire]:
        self._containers.get(ref)
        return [{"Path": "/a", "Kind": 1}]


class FakeCommits:
    def __init__(self, containers: FakeContainers) -> None:
        self._containers = containers
        self.calls: builtins.list[tuple[Any, ...]] = []

    async def commit(
        self,
        ref: str,
        name: str,
        *,
        comment: str = "",
        author: str = "",
        pause: bool = True,
        changes: Sequence[str] = (),
        config: ContainerConfig | None = None,
    ) -> str:
        self._containers.get(ref)
        self.calls.append((name, comment, author, pause, list(changes), config))
        return IMAGE


class FakeExecs:
    def __init__(self, containers: FakeContainers) -> None:
        self._containers = containers
        self.execs: dict[str, tuple[ExecConfig, Program]] = {}
        self.killed: list[tuple[str, str]] = []

    def create(self, ref: str, config: ExecConfig) -> str:
        box = self._containers.get(ref)
        if not box.started or box.program.code is not None:
            raise Conflict(f"container {box.id} is not running")
        new = f"{len(self.execs) + 1:02x}" * 32
        self.execs[new] = (config, Program(list(config.cmd or ()), bool(config.tty)))
        return new

    def get(self, id: str) -> tuple[ExecConfig, Program]:
        if id not in self.execs:
            raise NoSuchExec(id)
        return self.execs[id]

    async def start(self, id: str, detach: bool, tty: bool | None, size: tuple[int, int] | None) -> FakeSession | None:
        config, program = self.get(id)
        if program.args == ["nosuch"]:
            program.code = 127
            raise InvalidRequest('exec: "nosuch": executable file not found in $PATH')
        self._containers.launch(program)
        return None if detach else FakeSession(bool(config.tty), FakeStreams(program))

    async def resize(self, id: str, rows: int, columns: int) -> None:
        self.get(id)

    def kill(self, id: str, signal: str) -> None:
        self.get(id)
        self.killed.append((id, signal))

    def inspect(self, id: str) -> Wire:
        config, program = self.get(id)
        return {
            "ID": id,
            "Running": program.code is None,
            "ExitCode": program.code,
            "OpenStdin": bool(config.attach_stdin),
            "ProcessConfig": {"tty": bool(config.tty)},
            "DetachKeys": config.detach_keys or "",
        }


class FakeStats:
    def __init__(self, containers: FakeContainers) -> None:
        self._containers = containers

    def watch(self, ref: str, stream: bool, one_shot: bool) -> AsyncGenerator[Wire, None]:
        self._containers.get(ref)

        async def samples() -> AsyncGenerator[Wire, None]:
            for number in range(3 if stream else 1):
                yield {"name": f"/{ref}", "number": number, "one_shot": one_shot}

        return samples()


class FakeImages:
    def __init__(self) -> None:
        self.loaded = b""
        self.calls: builtins.list[tuple[Any, ...]] = []

    def _get(self, ref: str) -> None:
        if ref not in ("busybox", "busybox:latest", "example.com:5000/team/app", "json"):
            raise NoSuchImage(ref)

    def list(
        self, all: bool, filters: Filters, digests: bool, *, shared: bool = False, manifests: bool = False
    ) -> builtins.list[Wire]:
        self.calls.append(("list", all, filters, digests))
        return [{"Id": IMAGE, "RepoTags": ["busybox:latest"]}]

    def inspect(self, ref: str) -> Wire:
        self._get(ref)
        return {"Id": IMAGE, "RepoTags": [ref], "Size": 1}

    def history(self, ref: str) -> builtins.list[Wire]:
        self._get(ref)
        return [{"Id": IMAGE, "Created": 0, "CreatedBy": "", "Tags": None, "Size": 0, "Comment": ""}]

    async def tag(self, ref: str, repo: str, tag: str) -> None:
        self._get(ref)
        self.calls.append(("tag", ref, repo, tag))

    async def remove(self, ref: str, force: bool, no_prune: bool) -> builtins.list[Wire]:
        self._get(ref)
        return [{"Untagged": ref}]

    async def prune(self, filters: Filters) -> Wire:
        return {"ImagesDeleted": None, "SpaceReclaimed": 0}

    async def pull(self, name: str, tag: str, platform: str | None, auth: str, on_event: OnLine) -> None:
        self.calls.append(("pull", name, tag, platform, auth))
        if name != "busybox":
            raise NotFound(
                f"pull access denied for {name}, repository does not exist or may require 'docker login'",
                hint="load it",
            )
        on_event({"status": "Pulling from busybox", "id": tag or "latest"})
        if tag == "broken":
            raise NotFound("manifest unknown")

    async def push(self, name: str, tag: str, auth: str, on_event: OnLine) -> None:
        self._get(name)
        self.calls.append(("push", name, tag, auth))
        on_event({"status": f"The push refers to repository [{name}]"})

    async def import_tar(
        self,
        chunks: AsyncIterator[bytes],
        name: str,
        message: str,
        changes: builtins.list[str],
        platform: str | None,
        on_event: OnLine,
    ) -> None:
        self.loaded = b"".join([piece async for piece in chunks])
        self.calls.append(("import", name, message, changes, platform))
        on_event({"status": IMAGE})

    async def fetched(self, url: str, on_event: OnLine) -> AsyncIterator[bytes]:
        on_event({"status": f"Downloading from {url}"})
        if "nowhere" in url:
            raise Unavailable(f"fetching {url}: no answer")
        yield b"fetched"

    async def load(self, chunks: AsyncIterator[bytes], on_event: OnLine) -> None:
        async for piece in chunks:
            self.loaded += piece
        if not self.loaded.startswith(b"tar"):
            raise NotFound("invalid tar header")
        on_event({"stream": "Loaded image: busybox:latest\n"})

    async def save(self, refs: builtins.list[str]) -> AsyncIterator[bytes]:
        for ref in refs:
            self._get(ref)

        async def pieces() -> AsyncIterator[bytes]:
            for ref in refs:
                yield ref.encode() * 1000

        return pieces()

    async def bootstrap(self, name: str, on_event: OnLine) -> None:
        on_event({"status": f"making {name}"})


class FakeRegistries:
    async def login(self, sent: Wire) -> Wire:
        if sent.get("password") != "right":
            raise Unauthorized("unauthorized: incorrect username or password")
        return {"Status": "Login Succeeded", "IdentityToken": ""}

    async def search(self, term: str, limit: int, filters: Filters, auth: str) -> list[Wire]:
        return [{"name": f"{term}/{limit}", "description": auth, "star_count": 0}]

    async def distribution(self, name: str, auth: str) -> Wire:
        return {"Descriptor": {"digest": IMAGE, "mediaType": "x", "size": 1}, "Platforms": []}

    async def manifest(self, name: str, auth: str) -> tuple[bytes, str, str]:
        return b'{"schemaVersion":2}', "application/vnd.oci.image.manifest.v1+json", IMAGE

    async def put_manifest(self, name: str, source: str, body: bytes, media_type: str, auth: str) -> str:
        return f"{name} {source} {len(body)} {media_type} {auth}"


class FakeBuilds:
    def __init__(self) -> None:
        self.query: BuildQuery | None = None
        self.parts: list[tuple[str, str, bytes]] = []
        self.context = b""
        self.cancelled = asyncio.Event()
        self.flood = False

    async def build_parts(
        self,
        query: BuildQuery,
        parts: AsyncIterator[tuple[str, str, AsyncIterator[bytes]]],
        on_event: Callable[[BuildEvent], None],
    ) -> None:
        self.query = query
        self.parts = [(kind, name, b"".join([piece async for piece in data])) async for kind, name, data in parts]
        on_event(BuildDone(image="sha256:" + "1" * 64))

    async def take_export(self, token: str) -> AsyncIterator[bytes]:
        if token != "known":
            raise NotFound("there is no such export")
        yield b"tar"

    async def prune(self, all: bool, keep: int, unused_ns: int | None, ids: tuple[str, ...]) -> Wire:
        return {"CachesDeleted": [*ids, str(all), str(keep)], "SpaceReclaimed": unused_ns or 0}

    async def build(
        self, query: BuildQuery, context: AsyncIterator[bytes], on_event: Callable[[BuildEvent], None]
    ) -> None:
        self.query = query
        async for piece in context:
            self.context += piece
            if query.target == "early":
                break
        if query.target == "bad":
            raise DockerfileError("unknown instruction: FORM", line=1)
        on_event(StepStarted(step=1, total=1, text="RUN x", line=1))
        if query.target in ("stuck", "flood"):
            try:
                while True:
                    await asyncio.sleep(0 if query.target == "flood" else 3600)
                    on_event(StepOutput(step=1, stream="stdout", text="x" * 100_000))
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        on_event(StepRunning(step=1, container="cd" * 32))
        on_event(StepOutput(step=1, stream="stderr", text="oops\n"))
        if query.target == "broken":
            on_event(
                BuildFailed(message="The command '/bin/sh -c x' returned a non-zero code: 3", exit_code=3, hint="fix x")
            )
            return
        on_event(StepDone(step=1, state=IMAGE, seconds=0.1))
        on_event(BuildDone(image=IMAGE, names=query.names))


class FakeNetworks:
    def __init__(self) -> None:
        self.made: dict[str, Wire] = {"bridge": {"Name": "bridge", "Id": "ff" * 32}}
        self.calls: builtins.list[tuple[Any, ...]] = []

    def list(self, filters: Filters) -> builtins.list[Wire]:
        return builtins.list(self.made.values())

    def inspect(self, ref: str, verbose: bool) -> Wire:
        if ref not in self.made:
            raise NoSuchNetwork(ref)
        return self.made[ref]

    async def create(self, sent: Wire) -> Wire:
        if sent["Name"] in self.made:
            raise Conflict(f"network with name {sent['Name']} already exists")
        self.made[sent["Name"]] = {"Name": sent["Name"], "Id": "ee" * 32}
        return {"Id": "ee" * 32, "Warning": ""}

    async def remove(self, ref: str) -> None:
        if self.inspect(ref, False)["Name"] == "bridge":
            raise Forbidden("bridge is a pre-defined network and cannot be removed")
        del self.made[ref]

    async def connect(self, ref: str, sent: Wire) -> None:
        self.inspect(ref, False)
        self.calls.append(("connect", ref, sent))

    async def disconnect(self, ref: str, sent: Wire) -> None:
        self.inspect(ref, False)
        self.calls.append(("disconnect", ref, sent))

    async def prune(self, filters: Filters) -> Wire:
        return {"NetworksDeleted": None}


class FakeVolumes:
    def __init__(self) -> None:
        self.made: dict[str, Wire] = {}

    async def list(self, filters: Filters) -> Wire:
        return {"Volumes": builtins.list(self.made.values()), "Warnings": None}

    async def inspect(self, name: str) -> Wire:
        if name not in self.made:
            raise NoSuchVolume(name)
        return self.made[name]

    async def create(self, name: str, driver: str, options: dict[str, str], labels: dict[str, str]) -> Wire:
        name = name or "ee" * 32
        self.made[name] = {"Name": name, "Driver": driver or "local", "Options": options, "Labels": labels}
        return self.made[name]

    async def remove(self, name: str, force: bool) -> None:
        if self.made.pop(name, None) is None and not force:
            raise NoSuchVolume(name)

    async def prune(self, filters: Filters) -> Wire:
        return {"VolumesDeleted": [], "SpaceReclaimed": 0}


class FakeVolumeTransfers:
    def __init__(self, volumes: FakeVolumes) -> None:
        self.volumes = volumes

    async def export(self, name: str) -> AsyncIterator[bytes]:
        await self.volumes.inspect(name)
        return _pieces(b"a tar of ", name.encode())

    async def take(self, name: str, pieces: AsyncIterator[bytes]) -> Wire:
        self.volumes.made[name] = {"Name": name, "Tar": b"".join([piece async for piece in pieces]).decode()}
        return self.volumes.made[name]


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


class FakeDialing:
    def __init__(self, containers: FakeContainers) -> None:
        self._containers = containers

    async def dial(self, ref: str, port: int) -> Any:
        name = self._containers.get(ref).id
        raise Unavailable(f"nothing in the container {name} listens on TCP port {port}")


class FakeSystem:
    def __init__(self, containers: FakeContainers) -> None:
        self._containers = containers

    async def explain(self, ref: str) -> Wire:
        return {"Id": self._containers.get(ref).id}

    def version(self) -> Wire:
        return {"Version": "0", "ApiVersion": "1.51"}

    def info(self) -> Wire:
        raise RuntimeError("a defect of the engine")

    async def df(self, kinds: frozenset[str] = frozenset()) -> Wire:
        return {"LayersSize": 0}

    def ping_headers(self) -> dict[str, str]:
        return {"Builder-Version": "1", "Swarm": "inactive"}

    def doctor(self) -> Wire:
        return {"Rung": "R0"}


class FakeEvents:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event] = asyncio.Queue()
        self.asked: Wire = {}
        self.closed = asyncio.Event()

    async def subscribe(self, since_ns: int | None, until_ns: int | None, filters: Filters) -> AsyncIterator[Event]:
        self.asked = {"since": since_ns, "until": until_ns, "filters": filters}
        try:
            while True:
                if until_ns is not None and self.queue.empty():
                    return
                yield await self.queue.get()
        finally:
            self.closed.set()


class FakeRegistry:
    def __init__(self) -> None:
        self.served: Wire | None = None
        self.logins: builtins.list[str] = []

    async def serve(self, address: str, port: int, logins: builtins.list[str], read_only: bool) -> Wire:
        if self.served is not None:
            raise Conflict("the registry is served already")
        self.logins = logins
        self.served = {"Running": True, "Address": address, "Port": port or 5000, "ReadOnly": read_only}
        return self.served

    def status(self) -> Wire:
        return self.served or {"Running": False, "Address": "", "Port": 0, "ReadOnly": False}

    async def stop(self) -> None:
        if self.served is None:
            raise NotFound("the registry is not served")
        self.served = None


class FakeEngine:
    """The facade, in memory."""

    def __init__(self) -> None:
        self.containers = FakeContainers()
        self.files = FakeFiles(self.containers)
        self.dialing = FakeDialing(self.containers)
        self.commits = FakeCommits(self.containers)
        self.execs = FakeExecs(self.containers)
        self.stats = FakeStats(self.containers)
        self.images = FakeImages()
        self.registries = FakeRegistries()
        self.builds = FakeBuilds()
        self.networks = FakeNetworks()
        self.volumes = FakeVolumes()
        self.volume_transfers = FakeVolumeTransfers(self.volumes)
        self.system = FakeSystem(self.containers)
        self.events = FakeEvents()
        self.registry = FakeRegistry()

    async def close(self) -> None:
        for box in self.containers.boxes.values():
            box.program.code = 0 if box.program.code is None else box.program.code
        for task in tuple(self.containers.tasks):
            task.cancel()
        await asyncio.gather(*self.containers.tasks, return_exceptions=True)


def make_event(action: str) -> Event:
    actor = Actor(id="01" * 32, attributes={"image": "busybox", "name": "web"})
    return Event(type="container", action=action, actor=actor, time=1, time_ns=1_000_000_001)
