"""Waiting for an engine to appear: inotify on the folder of its socket, not a look now and then. man 7 inotify."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator
from pathlib import Path

_IN_ATTRIB = 0x4
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_DELETE_SELF = 0x400
_IN_MOVE_SELF = 0x800
_MASK = _IN_ATTRIB | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE_SELF | _IN_MOVE_SELF
#: A socket is bound before it listens: after a change these many seconds pass between looks.
_PATIENCE = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
#: Seconds between looks on a machine whose inotify instances are used up.
_WITHOUT = 10.0


def listens(path: Path) -> bool:
    """Whether somebody listens at *path*. Nothing is said to them."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    with probe:
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # Its backlog is full: it is there and busy.
        except OSError:
            return False
        return True


async def wait_for(path: Path, nudge: asyncio.Event) -> None:
    """Until somebody listens at *path*, or *nudge* is set, which it then clears."""
    while True:
        with _watching(path) as changed:
            for pause in _PATIENCE:
                await asyncio.sleep(pause)
                if listens(path):
                    return
            await _either(changed, nudge)
            if nudge.is_set():
                nudge.clear()
                return


async def _either(changed: asyncio.Event | None, nudge: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in (changed, nudge) if event is not None]
    try:
        await asyncio.wait(waits, timeout=_WITHOUT if changed is None else None, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()


def _nearest_folder(path: Path) -> Path:
    return next(folder for folder in path.parents if folder.is_dir())


@contextlib.contextmanager
def _watching(path: Path) -> Iterator[asyncio.Event | None]:
    """Set when something is made in the folder of *path*, or in the nearest that exists; None without inotify."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        yield None
        return
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def read() -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(descriptor, 65_536)
        changed.set()

    try:
        folder = os.fsencode(_nearest_folder(path))
        if libc.inotify_add_watch(descriptor, folder, ctypes.c_uint32(_MASK)) < 0:
            yield None
            return
        loop.add_reader(descriptor, read)
        try:
            yield changed
        finally:
            loop.remove_reader(descriptor)
    finally:
        os.close(descriptor)
