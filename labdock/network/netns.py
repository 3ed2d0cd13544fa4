"""Network namespaces that outlive the thread that made them: bind-mounted on a file. man 7 network_namespaces.

All of it happens in one thread of its own, :class:`Corner`: unshare(2) and setns(2) move the calling thread only,
so no other thread ever finds itself in a container's namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from labdock.network.netlink import Netlink
from labdock.sys import mounts, namespaces

T = TypeVar("T")


class Corner:
    """The one thread that changes namespaces and talks netlink. ``folder`` holds one file per namespace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="labdock-net")
        self._home_fd = -1
        self._home: Netlink | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Call *work* in the thread, at home in the sandbox's own namespace."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        await self.run(self._leave)
        self._thread.shutdown(wait=True)

    def _leave(self) -> None:
        if self._home is not None:
            self._home.close()
            self._home = None
        if self._home_fd >= 0:
            os.close(self._home_fd)
            self._home_fd = -1

    # -- below: in the thread only

    @property
    def home(self) -> Netlink:
        """Netlink to the sandbox's own namespace."""
        if self._home is None:
            self._home = Netlink()
        return self._home

    def path(self, name: str) -> Path:
        return self.folder / name

    def create(self, name: str, prepare: Callable[[], None] | None = None) -> Netlink:
        """Make the namespace *name*, call *prepare* in it; gives netlink to it. Raises OSError (EEXIST)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(name)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o600))
        try:
            self._remember_home()
            namespaces.unshare(namespaces.NEWNET)
            try:
                mounts.mount("/proc/thread-self/ns/net", str(path), None, mounts.BIND)
                if prepare is not None:
                    prepare()
                return Netlink()
            finally:
                self._go_home()
        except BaseException:
            self.remove(name)
            raise

    def enter(self, name: str, prepare: Callable[[], None] | None = None) -> Netlink:
        """Netlink to the existing namespace *name*, after *prepare* was called in it. Raises OSError."""
        fd = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._remember_home()
            namespaces.setns(fd, namespaces.NEWNET)
            try:
                if prepare is not None:
                    prepare()
                return Netlink()
            finally:
                self._go_home()
        finally:
            os.close(fd)

    def peek(self, look: Callable[[], T]) -> T:
        """What *look* sees in a fresh namespace that is gone again afterwards."""
        self._remember_home()
        namespaces.unshare(namespaces.NEWNET)
        try:
            return look()
        finally:
            self._go_home()

    def within(self, name: str, work: Callable[[], T]) -> T:
        """Call *work* in the existing namespace *name*; a socket made there stays of it. Raises OSError."""
        fd = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._remember_home()
            namespaces.setns(fd, namespaces.NEWNET)
            try:
                return work()
            finally:
                self._go_home()
        finally:
            os.close(fd)

    def remove(self, name: str) -> None:
        """Let go of *name*: it ends with its last process. No error when there is none."""
        path = str(self.path(name))
        try:
            mounts.unmount(path, mounts.MNT_DETACH)
        except OSError as error:
            # EINVAL: a file on which nothing is mounted, from a moment cut short.
            if error.errno not in (errno.ENOENT, errno.EINVAL):
                raise
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def names(self) -> set[str]:
        """The namespaces there are."""
        with contextlib.suppress(FileNotFoundError):
            return set(os.listdir(self.folder))
        return set()

    def is_mounted(self, name: str) -> bool:
        """Whether *name* is a namespace and not a mere file left by a moment cut short."""
        try:
            return os.stat(self.path(name)).st_dev != os.stat(self.folder).st_dev
        except FileNotFoundError:
            return False

    def _remember_home(self) -> None:
        if self._home_fd < 0:
            self._home_fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def _go_home(self) -> None:
        namespaces.setns(self._home_fd, namespaces.NEWNET)
