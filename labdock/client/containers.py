"""Containers and the commands run in them, over the engine's API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, overload

from labdock.client.caller import Caller, Lines, decode, lines, path
from labdock.client.results import (
    Container,
    ContainerSummary,
    Created,
    ExecState,
    Exit,
    Processes,
    Wire,
    result,
)
from labdock.client.streams import Attached, Output
from labdock.client.transport import Answer
from labdock.schema.container import CreateRequest, ExecConfig

if TYPE_CHECKING:
    from typing import Unpack

    from labdock.client.programs import Command, Finished, Running, RunOptions

Filters = Mapping[str, list[str]]


class Waiting:
    """A wait that the engine has already begun; ``result`` blocks until the container's end."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def fileno(self) -> int:
        """Readable when the end is known (or the engine is gone)."""
        return self._answer.fileno()

    def result(self) -> Exit:
        """Its exit code and error; blocks. Raises EngineUnreachable when the engine goes away meanwhile."""
        with self._answer:
            return result(Exit, decode(self._answer.read(), "wait"))

    def close(self) -> None:
        """Wait no longer; the container goes on."""
        self._answer.close()


class Containers:
    """*ref* is a name, an id or an unambiguous beginning of one. NoSuchContainer when there is none."""

    def __init__(self, caller: Caller, pull: Callable[[str, str | None], None] | None = None) -> None:
        self._caller = caller
        self._pull = pull

    @overload
    def run(
        self,
        image: str,
        command: Command | None = None,
        *,
        detach: Literal[False] = False,
        check: bool = True,
        keep: bool = False,
        input: bytes | str = b"",
        pull: str = "missing",
        **options: Unpack[RunOptions],
    ) -> Finished: ...
    @overload
    def run(
        self,
        image: str,
        command: Command | None = None,
        *,
        detach: Literal[True],
        check: bool = True,
        keep: bool = False,
        input: bytes | str = b"",
        pull: str = "missing",
        **options: Unpack[RunOptions],
    ) -> Running: ...
    def run(
        self,
        image: str,
        command: Command | None = None,
        *,
        detach: bool = False,
        check: bool = True,
        keep: bool = False,
        input: bytes | str = b"",
        pull: str = "missing",
        **options: Unpack[RunOptions],
    ) -> Finished | Running:
        """Run a program in a new container: to its end, or (*detach*) as a :class:`~labdock.client.programs.Running`.

        In the foreground the container is removed at the end unless *keep*; an interrupt stops and removes it. An
        image that is not here is pulled (*pull*: missing, always, never). *options* are
        :class:`~labdock.client.programs.RunOptions`. Raises ProgramFailed for another exit code than 0 when *check*,
        NoSuchImage, Conflict (the name is taken), InvalidRequest.
        """
        from labdock.client import running

        start = running.Start(self, Execs(self._caller), self._pull, image, command, options, pull)
        if detach:
            return start.detached(input)
        return start.foreground(input.encode() if isinstance(input, str) else input, check=check, keep=keep)

    def get(self, ref: str) -> Running:
        """An existing container to work with. Raises NoSuchContainer."""
        from labdock.client.programs import Running

        found = self.inspect(ref)
        return Running(self, Execs(self._caller), found.id, found.name.lstrip("/"))

    def create(self, request: CreateRequest, *, name: str | None = None, platform: str | None = None) -> Created:
        """Raises NoSuchImage, Conflict (the name is taken), InvalidRequest."""
        query = {"name": name, "platform": platform}
        return result(Created, self._caller.fetch("/containers/create", query, method="POST", body=request))

    def start(self, ref: str) -> bool:
        """False when it was running already."""
        return self._caller.did(path("containers", ref, "start"))

    def stop(self, ref: str, *, timeout: int | None = None, signal: str | None = None) -> bool:
        """False when it was not running. *timeout* in seconds before SIGKILL, -1 never."""
        return self._caller.did(path("containers", ref, "stop"), {"t": timeout, "signal": signal})

    def restart(self, ref: str, *, timeout: int | None = None, signal: str | None = None) -> None:
        """Stop (*timeout* and *signal* as for :meth:`stop`) and start it. Raises NoSuchContainer."""
        self._caller.did(path("containers", ref, "restart"), {"t": timeout, "signal": signal})

    def kill(self, ref: str, signal: str | None = None) -> None:
        """Send *signal* (SIGKILL unless told). Raises NoSuchContainer, Conflict when it does not run."""
        self._caller.did(path("containers", ref, "kill"), {"signal": signal})

    def pause(self, ref: str) -> None:
        """Freeze its processes. Raises NoSuchContainer, Conflict when it does not run or is paused."""
        self._caller.did(path("containers", ref, "pause"))

    def unpause(self, ref: str) -> None:
        """Let its processes go on. Raises NoSuchContainer, Conflict when it is not paused."""
        self._caller.did(path("containers", ref, "unpause"))

    def rename(self, ref: str, name: str) -> None:
        """Raises NoSuchContainer, Conflict (the name is taken), InvalidRequest."""
        self._caller.did(path("containers", ref, "rename"), {"name": name})

    def remove(self, ref: str, *, force: bool = False, volumes: bool = False, link: bool = False) -> None:
        """*force* kills it, *volumes* go too if anonymous. Raises NoSuchContainer, Conflict when it runs."""
        self._caller.call("DELETE", path("containers", ref), {"force": force, "v": volumes, "link": link})

    def resize(self, ref: str, rows: int, columns: int) -> None:
        """Its terminal's size. Raises NoSuchContainer, Conflict when it does not run."""
        self._caller.did(path("containers", ref, "resize"), {"h": rows, "w": columns})

    def inspect(self, ref: str, *, size: bool = False) -> Container:
        """All about it; *size* in bytes as well. Raises NoSuchContainer."""
        return result(Container, self._caller.fetch(path("containers", ref, "json"), {"size": size}))

    def list(
        self, *, all: bool = False, limit: int | None = None, size: bool = False, filters: Filters | None = None
    ) -> list[ContainerSummary]:
        """Those that run; *all*: every one. *size*: of what each has written, in bytes. Raises InvalidRequest."""
        query = {"all": all, "limit": limit, "size": size, "filters": filters}
        return [result(ContainerSummary, wire) for wire in self._caller.fetch("/containers/json", query)]

    def top(self, ref: str, ps_args: str | None = None) -> Processes:
        """Its processes, as ``ps`` shows them. Raises NoSuchContainer, Conflict when it does not run."""
        return result(Processes, self._caller.fetch(path("containers", ref, "top"), {"ps_args": ps_args}))

    def stats(self, ref: str, *, one_shot: bool = False) -> Wire:
        """What it uses now, in the API's words. Takes a second, unless *one_shot*: then without ``precpu_stats``."""
        found: Wire = self._caller.fetch(path("containers", ref, "stats"), {"stream": "0", "one-shot": one_shot})
        return found

    def watch_stats(self, ref: str) -> Iterator[Wire]:
        """As stats, each second until it is removed; closing the iterator ends it."""
        for line in lines(self._caller.open("GET", path("containers", ref, "stats"))):
            yield decode(line, "stats")

    def follow_stats(self, ref: str) -> Lines:
        """What :meth:`watch_stats` gives, as lines of JSON that can be waited for beside other things."""
        return Lines(self._caller.open("GET", path("containers", ref, "stats")))

    def update(self, ref: str, changes: Wire) -> tuple[str, ...]:
        """Change limits and the restart policy (HostConfig's members); the engine's warnings."""
        found = self._caller.fetch(path("containers", ref, "update"), method="POST", body=changes)
        return tuple(found.get("Warnings") or ())

    def prune(self, filters: Filters | None = None) -> Wire:
        """Remove all that do not run: ``ContainersDeleted``, ``SpaceReclaimed``."""
        found: Wire = self._caller.fetch("/containers/prune", {"filters": filters}, method="POST")
        return found

    def wait(self, ref: str, condition: str = "not-running") -> Exit:
        """Block until *condition* (not-running, next-exit, removed) holds. Raises NoSuchContainer."""
        return self.prepare_wait(ref, condition).result()

    def prepare_wait(self, ref: str, condition: str = "not-running") -> Waiting:
        """Begin to wait; returns once the engine has taken note, so that a start afterwards is not missed."""
        return Waiting(self._caller.open("POST", path("containers", ref, "wait"), {"condition": condition}))

    def logs(
        self,
        ref: str,
        *,
        follow: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        since: str | None = None,
        until: str | None = None,
        tail: str | None = None,
        timestamps: bool = False,
        tty: bool | None = None,
    ) -> Output:
        """Its log as a stream. *since*, *until*: seconds since the epoch as text. *tty*: asked for when None."""
        query = {
            "follow": follow,
            "stdout": stdout,
            "stderr": stderr,
            "since": since,
            "until": until,
            "tail": tail,
            "timestamps": timestamps,
        }
        has_tty = self.inspect(ref).tty if tty is None else tty
        return Output(self._caller.open("GET", path("containers", ref, "logs"), query), tty=has_tty)

    def attach(
        self,
        ref: str,
        *,
        tty: bool,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        logs: bool = False,
        detach_keys: str | None = None,
    ) -> Attached:
        """Attach to its streams. *tty*: whether the container has one."""
        query = {
            "stream": True,
            "stdin": stdin,
            "stdout": stdout,
            "stderr": stderr,
            "logs": logs,
            "detachKeys": detach_keys,
        }
        return Attached(self._caller.hijack(path("containers", ref, "attach"), query), tty=tty)


class Execs:
    """Commands run in running containers."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(self, ref: str, config: ExecConfig) -> str:
        """The new exec's id. Raises Conflict when the container does not run."""
        wire: Wire = self._caller.fetch(path("containers", ref, "exec"), method="POST", body=config)
        return str(wire["Id"])

    def start(self, id: str, *, tty: bool = False, size: tuple[int, int] | None = None) -> Attached:
        """Run it, attached. *size* is (rows, columns)."""
        body: Wire = {"Detach": False, "Tty": tty}
        if tty and size:
            body["ConsoleSize"] = size
        return Attached(self._caller.hijack(path("exec", id, "start"), body=body), tty=tty)

    def start_detached(self, id: str, *, tty: bool = False) -> None:
        """Run it without its streams. Raises NotFound, Conflict when it has been started."""
        self._caller.call("POST", path("exec", id, "start"), body={"Detach": True, "Tty": tty})

    def resize(self, id: str, rows: int, columns: int) -> None:
        """Its terminal's size. Raises NotFound."""
        self._caller.did(path("exec", id, "resize"), {"h": rows, "w": columns})

    def kill(self, id: str, signal: str = "KILL") -> None:
        """Send its process a signal (an endpoint of labdock's own; NotFound from other engines)."""
        self._caller.did(path("labdock", "exec", id, "kill"), {"signal": signal})

    def inspect(self, id: str) -> ExecState:
        """Whether it runs, and its exit code. Raises NotFound."""
        return result(ExecState, self._caller.fetch(path("exec", id, "json")))
