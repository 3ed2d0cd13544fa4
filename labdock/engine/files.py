"""Files in and out of containers: their archive endpoints, export, and what a container changed."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labdock.engine.changes import Change, Hidden, find_changes
from labdock.engine.conduits import read_in_thread, write_in_thread
from labdock.engine.ledger import Ledger
from labdock.engine.records import ContainerRecord
from labdock.engine.roots import Root, Roots
from labdock.engine.supervisor import Supervisor
from labdock.errors import Corrupt, Forbidden, InvalidRequest, NotFound, SystemFailure
from labdock.runtime import users
from labdock.schema import files as wire
from labdock.schema.files import PathStat
from labdock.store.layers import rooted
from labdock.store.layers.archive import Identity, write_archive
from labdock.store.layers.compression import Plain
from labdock.store.layers.extract import Owner, extract
from labdock.store.snapshots import Snapshotter
from labdock.sys import beneath

Wire = dict[str, Any]
_MOST_PATH = 4096

# Docker's words.
NOT_A_FOLDER = "extraction point is not a directory"
ROOT_IS_READ_ONLY = "container rootfs is marked read-only"
MOUNT_IS_READ_ONLY = "mounted volume is marked read-only"


@dataclass(frozen=True, slots=True)
class Found:
    """A path of a container: the fd of the folder that holds it, its name there, and what it is."""

    folder: int
    name: bytes
    stat: PathStat


class Files:
    """The use cases. A *ref* is a name, an id or an unambiguous id prefix; *path* is one inside the container."""

    def __init__(self, ledger: Ledger, roots: Roots, supervisor: Supervisor, snapshotter: Snapshotter) -> None:
        self._ledger = ledger
        self._roots = roots
        self._supervisor = supervisor
        self._snapshotter = snapshotter

    async def stat(self, ref: str, path: str) -> PathStat:
        """What *path* is. NotFound in Docker's words when it is not there."""
        record = self._ledger.get(ref)
        async with self._roots.opened(record.id) as root:
            found = await asyncio.to_thread(find, root.fd, path, ref)
            os.close(found.folder)
            return found.stat

    async def list_folder(self, ref: str, path: str) -> Wire:
        """The folder *path*: ``Path``, ``Entries`` (Name, Kind, Size, Mode, Mtime, Target), ``Truncated``."""
        record = self._ledger.get(ref)
        async with self._roots.opened(record.id) as root:
            from labdock.engine import folders

            return await asyncio.to_thread(folders.list_folder, root.fd, path, ref)

    async def archive(self, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        """What *path* is, and it as a tar, with all below it, under its own name."""
        record = self._ledger.get(ref)
        pieces = self._archive(record, ref, path)
        first = await anext(pieces)
        assert isinstance(first, PathStat)
        self._supervisor.emit(record, "archive-path")
        return first, pieces  # type: ignore[return-value]

    async def _archive(self, record: ContainerRecord, ref: str, path: str) -> AsyncGenerator[PathStat | bytes, None]:
        async with self._roots.opened(record.id) as root:
            found = await asyncio.to_thread(find, root.fd, path, ref)
            try:
                yield found.stat
                shown = show_name(path)
                closed = await asyncio.to_thread(list_kernel_mounts, root)
                work = write_in_thread(lambda out: write_archive(found.folder, found.name, shown, out, closed=closed))
                with translated(path, ref):
                    async with aclosing(work):
                        async for piece in work:
                            yield piece
            finally:
                os.close(found.folder)

    async def extract(self, ref: str, path: str, pieces: AsyncIterator[bytes], *, replace: bool, own: bool) -> None:
        """Unpack a tar, compressed or not, into the folder *path*.

        *replace* false: folders and other things do not replace each other. *own*: all belongs to the container's
        user. Raises NotFound, InvalidRequest, Forbidden (read-only), in Docker's words.
        """
        record = self._ledger.get(ref)
        async with self._roots.opened(record.id, write=True) as root:
            base = await asyncio.to_thread(find_folder, root.fd, path, ref)
            check_writable(record, os.fsdecode(base), root)
            owner = await asyncio.to_thread(self._owner, record, root) if own else mapped
            try:
                await read_in_thread(
                    pieces, lambda source: extract(Plain(source), root.fd, base, owner=owner, replace=replace)
                )
            except Corrupt as error:
                raise InvalidRequest(error.message) from error
        self._supervisor.emit(record, "extract-to-dir")

    @staticmethod
    def _owner(record: ContainerRecord, root: Root) -> Owner:
        if not record.config.user:
            return mapped
        user = users.resolve(Path(f"/proc/self/fd/{root.fd}"), record.config.user)
        return lambda uid, gid: (user.uid, user.gid)

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        """All its files as a tar, without what is mounted in it. Raises NoSuchContainer before the first piece."""
        record = self._ledger.get(ref)
        self._supervisor.emit(record, "export")
        return self._export(record, ref)

    async def _export(self, record: ContainerRecord, ref: str) -> AsyncIterator[bytes]:
        async with self._roots.bare(record.id) as fd:
            work = write_in_thread(lambda out: write_archive(fd, b".", b"", out))
            with translated("/", ref):
                async with aclosing(work):
                    async for piece in work:
                        yield piece

    async def changes(self, ref: str) -> list[Wire]:
        """What it added (1), changed (0) and deleted (2) in its image's files, without the places of mounts."""
        record = self._ledger.get(ref)
        hidden = Hidden.of(record)
        async with self._supervisor.live(record.id).lock, self._roots.below(record.id) as below:
            found: list[Change] = await asyncio.to_thread(self._changes, record.id, below, hidden)
        return [{"Path": change.path, "Kind": change.kind} for change in found]

    def _changes(self, container: str, below: int | None, hidden: Hidden) -> list[Change]:
        fd = os.open(self._snapshotter.changes(container), rooted.FLAGS)
        try:
            return find_changes(fd, below, hidden)
        finally:
            os.close(fd)


def find(root: int, path: str, ref: str) -> Found:
    """*path* below the folder fd *root*; a link at its end is not followed, but when a ``/`` or ``/.`` follows.

    The caller closes ``folder``. Raises NotFound, InvalidRequest.
    """
    wanted = clean(path)
    parent, _, name = os.fsencode(wanted).rpartition(b"/")
    with translated(path, ref):
        folder = beneath.open_beneath(root, os.fsdecode(parent) or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            name = name or b"."
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            link = "/" + os.fsdecode(rooted.follow(root, os.fsencode(wanted))) if stat.S_ISLNK(found.st_mode) else ""
        except BaseException:
            os.close(folder)
            raise
    shown = PathStat(
        name=os.fsdecode(show_name(path)) or "/",
        size=found.st_size,
        mode=wire.show_mode(found.st_mode),
        mtime=wire.show_time(found.st_mtime_ns),
        link_target=link,
    )
    return Found(folder, name, shown)


def list_kernel_mounts(root: Root) -> frozenset[Identity]:
    """The folders of a running container whose files are the kernel's, made up while they are read."""
    found = set()
    for name in ("dev", "proc", "sys") if root.runs else ():
        with suppress(OSError):
            place = os.stat(name, dir_fd=root.fd, follow_symlinks=False)
            if place.st_dev != os.fstat(root.fd).st_dev:
                found.add((place.st_dev, place.st_ino))
    return frozenset(found)


def find_folder(root: int, path: str, ref: str) -> bytes:
    """The folder that *path* leads to, as a path without links. Raises NotFound, InvalidRequest."""
    with translated(path, ref):
        base = rooted.follow(root, os.fsencode(clean(path)))
        try:
            os.close(rooted.open_folder(root, base, links=False))
        except NotADirectoryError as error:
            raise InvalidRequest(NOT_A_FOLDER) from error
        return base


def clean(path: str) -> str:
    """*path* from the container's root, with its ``/.`` or ``/`` at the end kept. Raises InvalidRequest."""
    if not path:
        raise InvalidRequest("bad parameter: 'path' is missing", hint="name a path in the container: path=/etc")
    if "\0" in path or len(os.fsencode(path)) > _MOST_PATH:
        raise InvalidRequest("bad parameter: 'path' is no path")
    return path if path.startswith("/") else f"/{path}"


def show_name(path: str) -> bytes:
    """What a tar calls *path*: its last part; "." of ``DIR/.``, and "/" of the root, as Docker has it."""
    name = os.fsencode(path).rstrip(b"/").rpartition(b"/")[2]
    return name or b"/"


def mapped(uid: int, gid: int) -> tuple[int, int]:
    """These ids where the sandbox has them, root's where not."""
    return uid if uid < _first_gap("uid") else 0, gid if gid < _first_gap("gid") else 0


_gaps: dict[str, int] = {}


def _first_gap(kind: str) -> int:
    """The first id that is not mapped; ids are mapped from 0 on."""
    if kind not in _gaps:
        with open(f"/proc/self/{kind}_map", "rb") as file:
            ranges = sorted(tuple(map(int, line.split())) for line in file)
        end = 0
        for first, _, count in ranges:
            if first == end:
                end += count
        _gaps[kind] = end
    return _gaps[kind]


def check_writable(record: ContainerRecord, path: str, root: Root) -> None:
    """Refuse to write to *path* where it was asked to be read-only (the mounts are so too). Raises Forbidden."""
    inside = f"/{path.strip('/')}/"
    over = [mount for mount in record.mounts if inside.startswith(mount.target.rstrip("/") + "/")]
    over = [mount for mount in over if mount.type != "tmpfs" or root.runs]
    if over:
        if max(over, key=lambda mount: len(mount.target)).read_only:
            raise Forbidden(MOUNT_IS_READ_ONLY)
    elif record.host.readonly_rootfs:
        raise Forbidden(ROOT_IS_READ_ONLY)


class translated:
    """What looking for a path of a container can fail with, in Docker's words."""

    def __init__(self, path: str, ref: str = "") -> None:
        self._path = path
        self._ref = ref

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError):
            return
        if error.errno == errno.ENOENT:
            raise NotFound(f"Could not find the file {self._path} in container {self._ref}") from error
        if error.errno == errno.ENOTDIR:
            raise InvalidRequest(f"{self._path}: not a directory") from error
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise InvalidRequest(f"{self._path}: {error.strerror}") from error
        raise SystemFailure(f"{self._path}: {error.strerror}") from error
