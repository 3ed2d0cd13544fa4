"""A container's file system as its own processes see it, whether it runs or not: the root to copy from and to.

Of a running container it is its first process's root, with all its mounts. Of any other the snapshot is mounted, and
volumes and binds on it, in a mount namespace of its own that nothing but the descriptors here keeps.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from labdock.build.rootfs import locate_file, make_folder
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.live import Live
from labdock.engine.records import ContainerRecord
from labdock.engine.stage import Stage
from labdock.engine.supervisor import Supervisor
from labdock.errors import Conflict, SystemFailure
from labdock.runtime import RuntimeDriver
from labdock.runtime.spec import SpecMount
from labdock.store.snapshots import Snapshotter, mounting
from labdock.sys import beneath, mounts, namespaces

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
#: An ended container's record follows its end at once; more than this is no end but a fault. Seconds.
_END = 10.0


@dataclass(frozen=True, slots=True)
class Root:
    """``fd`` is the root folder. ``runs``: processes may be at work in it, and all its mounts are there."""

    fd: int
    runs: bool


class Roots:
    """Opens containers' roots."""

    def __init__(
        self, ledger: Ledger, supervisor: Supervisor, stage: Stage, driver: RuntimeDriver, snapshotter: Snapshotter
    ) -> None:
        self._ledger = ledger
        self._supervisor = supervisor
        self._stage = stage
        self._driver = driver
        self._snapshotter = snapshotter

    @asynccontextmanager
    async def opened(self, container: str, *, write: bool = False) -> AsyncIterator[Root]:
        """The root of *container* with its mounts. *write*: not only to look."""
        live = self._supervisor.live(container)
        while True:
            async with live.lock:
                record = self._ledger.get(container)
                running = record.state.status in (Status.RUNNING, Status.PAUSED)
                root, close = (
                    await self._open_running(record) if running else await self._open_still(record, write=write)
                )
            if root is not None:
                break
            await self._wait_for_end(live)
        try:
            yield root
        finally:
            await asyncio.shield(close())

    async def _open_running(self, record: ContainerRecord) -> tuple[Root | None, Callable[[], Awaitable[None]]]:
        """None when it has just ended."""
        held: list[int] = []
        pid = record.state.pid
        try:
            held.append(os.open(f"/proc/{pid}/root", _FOLDER))
            # Kept open, so that the mounts stay together should the container end meanwhile.
            held.append(os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
            # It lives still: so the number was its own all the time.
            await self._driver.signal(record.id, 0)
        except (OSError, Conflict):
            _close(held)
            return None, _nothing
        return Root(held[0], True), lambda: asyncio.to_thread(_close, held)

    async def _wait_for_end(self, live: Live) -> None:
        try:
            async with asyncio.timeout(_END):
                await live.ended.wait()
        except TimeoutError:
            raise SystemFailure("the container's processes can't be looked at, though it has not ended") from None

    async def _open_still(self, record: ContainerRecord, *, write: bool) -> tuple[Root, Callable[[], Awaitable[None]]]:
        stage = self._stage
        if not write and not record.mounts:
            fd = self._look(record.id)
            return Root(fd, False), lambda: asyncio.to_thread(os.close, fd)
        place = await stage.borrow_root(record.id)
        held: list[int] = []
        holder = ""

        async def close() -> None:
            await asyncio.to_thread(_close, held)
            if holder:
                await stage.take_back_mounts(holder)
            await stage.give_back_root(record.id)

        try:
            wanted: tuple[SpecMount, ...] = ()
            if record.mounts:
                holder, wanted = await stage.lend_mounts(record, place)
            read_only = bool(record.host.readonly_rootfs)
            if wanted or read_only:
                held += namespaces.in_own_mounts(lambda: _assemble(place, wanted, read_only=read_only))
            else:
                held.append(os.open(place, _FOLDER))
        except BaseException:
            await asyncio.shield(close())
            raise
        return Root(held[0], False), close

    def _look(self, container: str) -> int:
        """A folder fd of the container's own files, without its mounts, to be read only."""
        wanted = mounting.read_only(self._snapshotter.mounts(container))
        point = Path(tempfile.mkdtemp(prefix="look-", dir=self._stage.box / "rootfs"))
        try:
            return mounting.open_mounted(wanted, point)
        finally:
            point.rmdir()

    @asynccontextmanager
    async def bare(self, container: str) -> AsyncIterator[int]:
        """A folder fd of its own files, without its mounts, to be read only."""
        async with self._supervisor.live(container).lock:
            record = self._ledger.get(container)
            running = record.state.status in (Status.RUNNING, Status.PAUSED)
            place = self._stage.rootfs(container)
            fd = os.open(place, _FOLDER) if running and os.path.ismount(place) else self._look(container)
        try:
            yield fd
        finally:
            await asyncio.shield(asyncio.to_thread(os.close, fd))

    @asynccontextmanager
    async def below(self, container: str) -> AsyncIterator[int | None]:
        """A folder fd of the image's files that *container* stands on; None: of an empty one."""
        parent = self._snapshotter.stat(container).parent
        if parent is None:
            yield None
            return
        key = f"below-{os.urandom(8).hex()}"
        point = Path(tempfile.mkdtemp(prefix="look-", dir=self._stage.box / "rootfs"))
        try:
            fd = mounting.open_mounted(self._snapshotter.view(key, parent), point)
        finally:
            point.rmdir()
        try:
            yield fd
        finally:
            os.close(fd)
            self._snapshotter.remove(key)


def _assemble(place: Path, wanted: Sequence[SpecMount], *, read_only: bool) -> list[int]:
    """In a mount namespace of its own: mount *wanted* on the root at *place*; its fd and the namespace's."""
    mounts.mount(str(place), str(place), None, mounts.BIND)
    root = os.open(place, _FOLDER)
    held = [root]
    try:
        for one in wanted:
            _bind(root, one)
        if read_only:
            mounts.mount("none", str(place), None, mounts.REMOUNT | mounts.BIND | mounts.RDONLY)
        held.append(os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
    except BaseException:
        _close(held)
        raise
    return held


def _bind(root: int, wanted: SpecMount) -> None:
    """Mount *wanted* at its target, found within *root*; a missing target is made, as the runtime would."""
    target = _open_target(root, wanted.target, folder=os.path.isdir(wanted.source))
    try:
        mounts.mount(wanted.source, f"/proc/self/fd/{target}", None, mounts.BIND | mounts.REC)
    finally:
        os.close(target)
    if "ro" in wanted.options:
        # What was mounted is on top of what was opened before.
        target = _open_target(root, wanted.target, folder=True)
        try:
            flags = mounts.REMOUNT | mounts.BIND | mounts.RDONLY
            mounts.mount("none", f"/proc/self/fd/{target}", None, flags)
        finally:
            os.close(target)


def _open_target(root: int, path: str, *, folder: bool) -> int:
    try:
        return beneath.open_beneath(root, path, os.O_PATH)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    where = os.fsencode(path.strip("/"))
    if folder:
        os.close(make_folder(root, where))
    else:
        parent, name = locate_file(root, where)
        try:
            os.close(os.open(name, os.O_CREAT | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
        finally:
            os.close(parent)
    return beneath.open_beneath(root, path, os.O_PATH)


def _close(held: Sequence[int]) -> None:
    for fd in held:
        os.close(fd)


async def _nothing() -> None:
    return
