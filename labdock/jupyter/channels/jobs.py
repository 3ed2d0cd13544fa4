"""Long work: pulls, Compose, bootstraps. Closing the channel ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

from labdock.client.images import quoted, registry_auth
from labdock.client.keyring import Keyring
from labdock.client.names import parse
from labdock.client.progress import JobLine, job_lines
from labdock.errors import InvalidRequest, LabdockError
from labdock.jupyter import places
from labdock.jupyter.channels import Channel, Opened, text
from labdock.jupyter.desk import LABDOCK

#: Seconds between two frames of one pull's progress.
PACE = 0.1
#: Seconds for a compose that was interrupted to end by itself.
ENDING = 10.0
ACTIONS = {"up": ("up", "-d"), "down": ("down",), "stop": ("stop",), "restart": ("restart",)}
BLOCK = 16_384


async def pull(channel: Channel, frame: Opened) -> dict[str, Any]:
    """Kind ``pull``."""
    reference = text(frame, "reference")
    link = channel.desk.link
    await link.ensure()
    name = parse(reference)
    auth = await asyncio.to_thread(registry_auth, Keyring(link.environment), reference, None)
    query = {"fromImage": name.repository, "tag": name.wanted, "platform": text(frame, "platform", "")}
    async with await link.stream("POST", "/images/create", query, auth) as reply, Progress(channel) as progress:
        async for raw in reply.lines():
            for line in job_lines([raw]):
                if line is not None:
                    progress.take(line)
    found = await link.fetch(f"/images/{quoted(str(name))}/json")
    return {"id": found["Id"]}


class Progress:
    """Layers' progress, in few frames; each has all that changed since the one before. A context: it has a task."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._changed: dict[str, dict[str, Any]] = {}
        self._stirred = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._telling = asyncio.create_task(self._tell(), name="labdock-progress")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *failure: object) -> None:
        self._telling.cancel()
        await asyncio.gather(self._telling, return_exceptions=True)
        if kind is not asyncio.CancelledError:  # Then nobody would acknowledge it.
            await self._flush()

    def take(self, line: JobLine) -> None:
        if not line.id and not line.status:
            return
        detail = line.detail
        self._changed[line.id or "status"] = {
            "status": line.status,
            "current": detail.current if detail else 0,
            "total": detail.total if detail else 0,
        }
        self._stirred.set()

    async def _tell(self) -> None:
        # Also what came just before a silence: a download that hangs is seen to hang, and where.
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            await self._flush()
            await asyncio.sleep(PACE)

    async def _flush(self) -> None:
        if self._changed:
            changed, self._changed = self._changed, {}
            await self._channel.data(layers=changed)


async def bootstrap(channel: Channel, frame: Opened) -> dict[str, Any]:
    """Kind ``bootstrap``: a base image made of a distribution's packages."""
    link = channel.desk.link
    await link.ensure()
    async with await link.stream("POST", "/labdock/images/bootstrap", {"name": text(frame, "name")}) as reply:
        async for raw in reply.lines():
            for line in job_lines([raw]):
                if line is not None and (words := line.stream or line.status):
                    await channel.data(text=words)
    return {}


async def compose(channel: Channel, frame: Opened) -> dict[str, Any]:
    """Kind ``compose``: the command itself, so that it means what it means in a shell."""
    place = places.locate(channel.desk.settings, text(frame, "path"))
    action = text(frame, "action")
    if action not in ACTIONS:
        raise InvalidRequest(f"{action!r} is nothing to do with a project", hint=", ".join(ACTIONS))
    project = text(frame, "project", "")
    options = [] if place.is_dir() else ["-f", str(place)]
    options += ["-p", project] if project else []
    await channel.desk.link.ensure()
    folder = place if place.is_dir() else place.parent
    command = ["compose", *options, *ACTIONS[action]]
    last = ""
    async with run(channel.desk.environment, folder, *command) as process:
        assert process.stdout is not None
        while data := await process.stdout.read(BLOCK):
            words = data.decode("utf-8", "replace")
            last = (last + words)[-2000:]
            await channel.data(text=words)
        code = await process.wait()
    if code != 0:
        message, _, hint = last.strip().partition("\nhint: ")
        lines = [line for line in message.splitlines() if line.strip()]
        raise LabdockError(lines[-1] if lines else f"compose ended with {code}", hint=hint.strip() or None)
    return {}


@contextlib.asynccontextmanager
async def run(environment: dict[str, str], folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """``labdock ARGUMENTS`` in *folder*; interrupted, then killed, when the context is left early."""
    process = await asyncio.create_subprocess_exec(
        *LABDOCK,
        *arguments,
        cwd=folder,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            await asyncio.shield(_end(process))


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        async with asyncio.timeout(ENDING):
            # Its output is read away, so that it can end.
            await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
