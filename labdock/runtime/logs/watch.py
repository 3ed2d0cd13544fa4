"""Being woken when a log grows: one inotify instance for all followers. man 7 inotify."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
from pathlib import Path

from labdock.sys import libc

_IN_MODIFY = 0x2
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_NONBLOCK = os.O_NONBLOCK
_IN_CLOEXEC = os.O_CLOEXEC
_EVENT = 16


class FolderWatch:
    """Sets events when a file in a watched folder is written or made.

    A user may have few inotify instances (fs.inotify.max_user_instances, often 128), but many watches.
    """

    _shared: FolderWatch | None = None

    def __init__(self) -> None:
        self._fd = libc.call("inotify_init1", ctypes.c_int(_IN_NONBLOCK | _IN_CLOEXEC), subject="inotify")
        self._loop = asyncio.get_running_loop()
        self._events: dict[int, set[asyncio.Event]] = {}
        self._loop.add_reader(self._fd, self._readable)

    @classmethod
    def shared(cls) -> FolderWatch:
        """The one of the running loop; it lives as long as somebody watches."""
        if cls._shared is None or cls._shared._loop is not asyncio.get_running_loop():
            cls._shared = cls()
        return cls._shared

    def add(self, folder: Path, event: asyncio.Event) -> int:
        """Set *event* at each change in *folder*, until :meth:`remove` with the number that this returns."""
        number = libc.call(
            "inotify_add_watch",
            ctypes.c_int(self._fd),
            os.fsencode(folder),
            ctypes.c_uint32(_IN_MODIFY | _IN_CREATE | _IN_MOVED_TO),
            subject=str(folder),
        )
        self._events.setdefault(number, set()).add(event)
        return number

    def remove(self, number: int, event: asyncio.Event) -> None:
        events = self._events.get(number, set())
        events.discard(event)
        if events:
            return
        self._events.pop(number, None)
        # EINVAL: the folder is gone, and its watch with it.
        with contextlib.suppress(OSError):
            libc.call("inotify_rm_watch", ctypes.c_int(self._fd), ctypes.c_int(number))
        if not self._events:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            if FolderWatch._shared is self:
                FolderWatch._shared = None

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        position = 0
        while position + _EVENT <= len(data):
            number = int.from_bytes(data[position : position + 4], "little", signed=True)
            length = int.from_bytes(data[position + 12 : position + 16], "little")
            # -1: the kernel's queue overflowed; everybody looks.
            wanted = [number] if number >= 0 else list(self._events)
            for watched in wanted:
                for event in self._events.get(watched, ()):
                    event.set()
            position += _EVENT + length
