"""The one line that outer writes to whoever started it, through a pipe: how the start ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from dataclasses import dataclass

from labdock.errors import EngineUnreachable, LabdockError


@dataclass(frozen=True, slots=True)
class Outcome:
    """``state``: "ready" (with the Plan's notices), "running" (another engine, of process ``pid``), "failed"."""

    state: str
    notices: tuple[str, ...] = ()
    pid: int = 0
    message: str = ""
    hint: str = ""


class Report:
    """Outer's end. Only the first word counts."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @property
    def made(self) -> bool:
        return self._fd < 0

    @property
    def wanted(self) -> bool:
        """Whether the starter still listens."""
        poller = select.poll()
        poller.register(self._fd, 0)
        return not poller.poll(0)

    def make(self, outcome: Outcome) -> None:
        """Say *outcome* and hang up; nothing happens the second time, or when nobody listens any more."""
        if self.made:
            return
        value = {name: getattr(outcome, name) for name in Outcome.__slots__}
        with contextlib.suppress(BrokenPipeError):
            os.write(self._fd, json.dumps(value).encode())
        os.close(self._fd)
        self._fd = -1

    def fail(self, error: LabdockError) -> None:
        self.make(Outcome("failed", message=error.message, hint=error.hint or ""))


def await_outcome(fd: int, seconds: float) -> Outcome:
    """The starter's end: what outer said, within *seconds*; closes *fd*.

    Raises EngineUnreachable when outer said nothing: it takes longer, or was killed.
    """
    deadline = time.monotonic() + seconds
    said = b""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    with os.fdopen(fd, "rb", buffering=0) as source:
        while poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            piece = source.read(65536)
            if not piece:
                break
            said += piece
        else:
            raise EngineUnreachable(
                f"the engine is not ready after {seconds:.0f} s", hint="`labdock engine logs` shows what it does"
            )
    if not said:
        raise EngineUnreachable("the engine's outer process ended without a word", hint="see `labdock engine logs`")
    value = json.loads(said)
    return Outcome(**{**value, "notices": tuple(value["notices"])})
