"""Running containers: an OCI spec (pure), a driver that runs it, a monitor that watches it. In the engine process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from labdock.runtime.spec.request import Rlimit

Stream = Literal["stdin", "stdout", "stderr"]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A container about to be made: its folder (in the sandbox's tmpfs, holds config.json) and its I/O.

    ``spec`` is the OCI runtime spec; ``log`` the file its output goes to (None: no log); ``tty`` and
    ``stdin`` (keep its stdin open for writers) as in the API. ``stdin_once`` ends stdin with its first writer.
    """

    id: str
    folder: Path
    spec: Mapping[str, object]
    log: Path | None
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended: ``code`` as a shell says it (128 + signal), ``at`` in ns since the epoch.

    ``reason``: why it was ended, where that was not its own doing nor its user's.
    """

    code: int
    at: int
    oom_killed: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """A further process in a running container. ``user`` is resolved: uid, gid, more gids.

    ``cpus``: the processors it is held to (None: any), ``nice``: its niceness, ``rlimits`` as in a SpecRequest.
    """

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    tty: bool = False
    stdin: bool = False
    privileged: bool = False
    size: tuple[int, int] | None = None
    cpus: frozenset[int] | None = None
    nice: int = 0
    rlimits: tuple[Rlimit, ...] = ()


class Attachment(Protocol):
    """One reader (and perhaps writer) of a process's streams. Bounded: a reader that lags is cut, with an error.

    ``read`` gives (stream, bytes) pairs, in order, until the process has ended and all output was read: None.
    """

    async def read(self) -> tuple[Stream, bytes] | None: ...

    async def write(self, data: bytes) -> None:
        """Write to the process's stdin; BrokenPipeError when it has ended or closed it."""

    async def close_stdin(self) -> None:
        """End the process's stdin."""

    async def close(self) -> None:
        """Let go; the process goes on."""


class Monitored(Protocol):
    """A container under its monitor. ``pid`` is the container's first process, as the engine sees it."""

    id: str
    pid: int

    async def attach(self, *, stdin: bool, stdout: bool = True, stderr: bool = True) -> Attachment:
        """Attach to its streams; output from before is in the log. Any number of readers."""

    async def resize(self, rows: int, columns: int) -> None: ...

    def reopen_log(self) -> None:
        """Have its log opened again at its path: what is written from then on goes there. Conflict after the end."""

    async def wait(self) -> Exit:
        """Its end, known only after its log is complete. May be awaited any number of times."""


class ExecProcess(Protocol):
    """A running exec. ``pid`` as the engine sees it, 0 until it runs."""

    pid: int
    streams: Attachment

    async def resize(self, rows: int, columns: int) -> None: ...

    def kill(self, number: int) -> None:
        """Signal it; nothing happens when it has ended."""

    async def wait(self) -> int:
        """Its exit code, after all of its output was handed to ``streams``."""


class RuntimeDriver(Protocol):
    """Every driver keeps these promises (tests/conformance/test_runtime.py).

    All methods are coroutines that never block the loop. Failures of the runtime program become
    SystemFailure (or InvalidRequest when the command can't be run: not found, not executable) with the
    program's own words, cleaned of its prefixes.
    """

    name: str

    async def create(self, bundle: Bundle) -> Monitored:
        """Make the container, not started, its monitor listening."""

    async def start(self, container: str) -> None:
        """Let its program run; returns when exec(2) was done (or says why it could not be)."""

    async def signal(self, container: str, number: int) -> None:
        """Send a signal to its first process; Conflict when it does not run."""

    async def survey(self, containers: Iterable[str]) -> dict[str, list[int]]:
        """The pids, as the engine sees them, of the processes of each of *containers* that is here."""

    async def kill_as_oom(self, container: str) -> None:
        """SIGKILL to all of it; its Exit will say ``oom_killed``, whoever reads it. NoSuchContainer."""

    async def exec(self, container: str, request: ExecRequest) -> ExecProcess: ...

    async def pause(self, container: str) -> None: ...

    async def resume(self, container: str) -> None: ...

    async def adopt(self, container: str, folder: Path) -> Monitored | Exit | None:
        """After an engine restart: take over what is there. Exit when it has ended meanwhile, None: no trace."""

    async def delete(self, container: str) -> None:
        """Remove all traces; kills what still runs. No error when there is nothing."""
