"""The engine as this server sees it: whether it runs and why not, starting and stopping it, asking it things."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from labdock.client import engine as own_engine
from labdock.client.caller import Query, decode, encode_query
from labdock.errors import EngineUnreachable, InvalidRequest, LabdockError, Unavailable
from labdock.jupyter import presence, wire
from labdock.jupyter.shapes import Engine, Finding
from labdock.jupyter.wire import Body, Headers, Reply

#: Seconds: for an engine that takes connections to say its version; for its own programs (start, stop) to end.
ANSWERING, PROGRAM = 30.0, 120.0
#: Seconds for which the doctor's words are good.
FRESH = 60.0


class Link:
    """One server's way to the engine that its environment names. Raises :mod:`labdock.errors`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self.problem: LabdockError | None = None
        try:
            self.path, self.own = own_engine.find_socket(self.environment)
        except LabdockError as error:
            # An address that labdock does not speak to: said whenever somebody asks.
            self.path, self.own, self.problem = Path("/nonexistent/docker.sock"), False, error
        self.nudge = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None
        self._failed: LabdockError | None = None
        self._advice: tuple[float, dict[str, Any]] | None = None

    async def send(self, method: str, target: str, headers: Headers = (), body: Body = None) -> Reply:
        """The answer's head, whatever the status; an engine of labdock's own is started when there is none."""
        await self.ensure()
        return await wire.send(self.path, method, target, headers, body)

    async def fetch(self, target: str, query: Query | None = None) -> Any:
        """The JSON that the engine answers to a GET; the engine is not started."""
        return decode(await wire.call(self.path, "GET", target + encode_query(query)), target)

    async def stream(self, method: str, target: str, query: Query | None = None, headers: Headers = ()) -> Reply:
        """An answer to read as it comes; the engine is not started."""
        return await wire.open_stream(self.path, method, target + encode_query(query), headers)

    async def ensure(self) -> None:
        """Start the engine if it does not run and is labdock's own; callers at the same time share one start."""
        if self.problem is not None:
            raise self.problem
        if presence.listens(self.path) or not self.own:
            return
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start(), name="labdock-start")
        # A caller that goes away does not stop it for the others.
        await asyncio.shield(self._starting)

    @property
    def starting(self) -> bool:
        return self._starting is not None and not self._starting.done()

    async def _start(self) -> None:
        self._failed = None
        self.nudge.set()
        try:
            await self._run("labdock.daemon.start")
        except LabdockError as error:
            self._failed = error
            raise
        finally:
            self._advice = None
            self.nudge.set()

    async def stop(self) -> None:
        """Stop labdock's own engine; what runs in it stops, and stays."""
        self._refuse_foreign()
        self._failed = None
        await self._run("labdock.daemon.stop")

    def _refuse_foreign(self) -> None:
        if self.problem is not None:
            raise self.problem
        if not self.own:
            raise InvalidRequest(
                "this engine is not labdock's own: it was named by LABDOCK_HOST or DOCKER_HOST",
                hint="start and stop it the way it is run",
            )

    async def act(self, action: str) -> None:
        """start, stop or restart."""
        if action not in ("start", "stop", "restart"):
            raise InvalidRequest(f"{action!r} is nothing to do with an engine", hint="start, stop or restart")
        self._refuse_foreign()
        if action in ("stop", "restart"):
            await self.stop()
        if action in ("start", "restart"):
            await self.ensure()

    async def _run(self, module: str) -> str:
        """One of the engine's own small programs. Raises EngineUnreachable with its words."""
        code, out, errors = await run_program(self.environment, module)
        if code != 0:
            raise own_engine.diagnosis(errors, code)
        return out

    async def version(self) -> str:
        """What the engine says it is; waits for one that is still starting."""
        try:
            async with asyncio.timeout(ANSWERING):
                found = await self.fetch("/version")
        except TimeoutError as error:
            raise EngineUnreachable(
                f"the engine takes connections and answers nothing within {ANSWERING:g} s",
                hint="`labdock engine logs` shows its last words; `labdock engine stop` ends it",
            ) from error
        return str(found.get("Version") or "")

    async def describe(self) -> Engine:
        """How it is now. Starts nothing."""
        if self.problem is not None:
            return unavailable(self.problem)
        if presence.listens(self.path):
            try:
                return Engine(state="running", version=await self.version())
            except Unavailable as error:
                if presence.listens(self.path):
                    return Engine(state="starting", message=error.message, hint=error.hint or "")
        if self.starting:
            return Engine(state="starting")
        if self._failed is not None:
            return unavailable(self._failed, await self._findings())
        if not self.own:
            return Engine(
                state="stopped", message="nobody answers at the address that DOCKER_HOST or LABDOCK_HOST names"
            )
        advice = await self._doctor()
        if advice.get("fit") is False:
            return Engine(
                state="unavailable",
                message=str(advice.get("problem") or "this machine can't run the engine"),
                hint=str(advice.get("hint") or "`labdock doctor` says more"),
                findings=read_findings(advice),
            )
        return Engine(state="stopped", findings=read_findings(advice))

    async def _findings(self) -> tuple[Finding, ...]:
        return read_findings(await self._doctor()) if self.own else ()

    async def _doctor(self) -> dict[str, Any]:
        if self._advice is not None and time.monotonic() - self._advice[0] < FRESH:
            return self._advice[1]
        found: dict[str, Any] = {}
        with contextlib.suppress(LabdockError, msgspec.MsgspecError):
            _, out, _ = await run_program(self.environment, "labdock.host.doctor", "--json")
            found = msgspec.json.decode(out, type=dict[str, Any])
        self._advice = (time.monotonic(), found)
        return found


def unavailable(error: LabdockError, findings: tuple[Finding, ...] = ()) -> Engine:
    return Engine(state="unavailable", message=error.message, hint=error.hint or "", findings=findings)


def read_findings(advice: dict[str, Any]) -> tuple[Finding, ...]:
    """What the doctor found wanting, and what it notes."""
    wanting = [
        Finding(level="problem", text=f"{probe.get('name')}: {probe.get('detail')}", hint=str(probe.get("lift") or ""))
        for probe in advice.get("probes") or ()
        if not probe.get("ok")
    ]
    return (*wanting, *(Finding(level="note", text=str(text)) for text in advice.get("notices") or ()))


async def run_program(environment: Mapping[str, str], module: str, *arguments: str) -> tuple[int, str, str]:
    """``python -m MODULE``: (exit code, stdout, stderr). Raises EngineUnreachable when it does not end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        env=dict(environment),
        # Not a notebook's folder: what is imported from there would be a surprise.
        cwd=os.sep,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PROGRAM):
            out, errors = await process.communicate()
    except TimeoutError as error:
        raise EngineUnreachable(f"{module} did not end within {PROGRAM:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode(errors="replace"), errors.decode(errors="replace")
