"""``labdock kernel launch``: a kernel for front ends that ignore provisioners and want TCP ports.

The front end chose five ports and wrote a connection file; each is listened on and joined to the kernel's unix socket,
byte by byte (ZMTP is the same on both). The container still has no port and needs no network.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from labdock.errors import InvalidRequest, SystemFailure
from labdock.kernels import launching, places
from labdock.kernels.launching import Watched
from labdock.kernels.places import Place
from labdock.kernels.specs import Settings

CHANNELS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
BLOCK = 1 << 16
#: Signals that a front end sends to end or interrupt a kernel: they are the kernel's.
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def read_connection(path: str) -> dict[str, Any]:
    """The connection file of a front end. Raises InvalidRequest for what is none."""
    try:
        found: dict[str, Any] = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidRequest(f"cannot read the connection file {path}: {error}") from error
    wrong = [name for name in CHANNELS if not isinstance(found.get(name), int)]
    if wrong or found.get("transport", "tcp") not in ("tcp", "ipc"):
        raise InvalidRequest(f"{path} is no kernel's connection file", hint="a front end writes it: -f FILE")
    return found


def inner_connection(connection: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The same for the kernel: sockets ``s-1`` … ``s-5`` in *place*, the same key."""
    numbers = {name: number for number, name in enumerate(CHANNELS, 1)}
    return {**connection, **numbers, "transport": "ipc", "ip": place.sockets}


def serve(settings: Settings, connection_file: str) -> int:
    """Run a kernel for *connection_file* until it ends; its exit code. Raises StartRefused, InvalidRequest."""
    connection = read_connection(connection_file)
    place = places.make(os.environ, others=bool(settings.user))
    try:
        return asyncio.run(_serve(settings, connection, place))
    finally:
        place.close()


async def _serve(settings: Settings, connection: Mapping[str, Any], place: Place) -> int:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    servers = [await _listen(place, ready)]
    servers += [await _join(connection, name, place, number, ready) for number, name in enumerate(CHANNELS, 1)]
    environment = launching.chosen_environment(settings, os.environ)
    inner = msgspec.json.encode(inner_connection(connection, place))
    watched = await asyncio.to_thread(
        launching.launch, settings, place, inner, environment, Path.cwd(), name=f"kernel-{place.name}"
    )
    tasks: set[asyncio.Task[None]] = set()

    def forward(number: signal.Signals) -> None:
        task = loop.create_task(asyncio.to_thread(watched.signal, number.name))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    for number in FORWARDED:
        loop.add_signal_handler(number, forward, number)
    try:
        return await asyncio.wrap_future(watched.ended)
    finally:
        for server in servers:
            server.close()
        if not watched.ended.done():
            await asyncio.to_thread(watched.remove)
        if watched.ended.done() and watched.ended.result():
            _tell(watched)


def _tell(watched: Watched) -> None:
    print(f"labdock: the kernel's container ended with {watched.ended.result()}", file=sys.stderr)


async def _listen(place: Place, ready: asyncio.Event) -> asyncio.Server:
    """Set *ready* when the kernel says that its sockets are there."""

    async def hear(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ready.set()
        writer.close()

    path = place.folder / places.READY
    server = await asyncio.start_unix_server(hear, path)
    path.chmod(0o777)
    return server


async def _join(
    connection: Mapping[str, Any], name: str, place: Place, number: int, ready: asyncio.Event
) -> asyncio.Server:
    """Listen where the front end will connect, and lead each connection to the kernel's socket *number*."""
    inner = f"{place.sockets}-{number}"
    port = connection[name]
    try:
        if connection.get("transport", "tcp") == "ipc":
            return await asyncio.start_unix_server(_relay(inner, ready), f"{connection['ip']}-{port}")
        return await asyncio.start_server(_relay(inner, ready), connection.get("ip") or "127.0.0.1", port)
    except OSError as error:
        where = f"{connection.get('ip')}:{port}"
        raise SystemFailure(f"cannot listen on {where} for the front end: {error.strerror}") from error


def _relay(inner: str, ready: asyncio.Event) -> Any:
    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # The front end's channels wait here, so that all of them are there at once: one that came late
            # would miss what the kernel says first.
            await ready.wait()
            kernel_reader, kernel_writer = await asyncio.open_unix_connection(inner)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, kernel_writer))
                group.create_task(_copy(kernel_reader, writer))
        finally:
            writer.close()
            kernel_writer.close()

    return relay


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Until the end of *source*; no more is read than *target* takes."""
    with contextlib.suppress(OSError):
        while data := await source.read(BLOCK):
            target.write(data)
            await target.drain()
    with contextlib.suppress(OSError, RuntimeError):
        target.write_eof()
