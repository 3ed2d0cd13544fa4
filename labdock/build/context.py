"""Build contexts: a tar as it arrives, kept as one file; and what ``.dockerignore`` leaves of it.

Nothing is unpacked: the tree is in memory, and the files' bytes lie one after the other in a single file, the
*pack*. So no name and no link of a hostile tar can lead anywhere, owners that the user namespace has no ids for
don't matter, and a file is created only once, in the image that COPY puts it into (thousands of files cost
more by their number than by their bytes).
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import posixpath
import queue
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from labdock.build.patterns import BadPattern, PathMatcher, read_ignore_file
from labdock.build.trees import FIFO, FILE, FOLDER, LINK, Data, MemoryTree, Node, follow
from labdock.errors import Corrupt, InvalidRequest, LabdockError, StorageFull, SystemFailure
from labdock.store.layers import headers
from labdock.store.layers.compression import Plain
from labdock.store.layers.headers import Entry
from labdock.store.layers.reader import Limits, Reader, Source
from labdock.store.layers.unpack import OVERLAY_XATTRS

_WAITING = 32
_MOST_ENTRIES = 2_000_000
_LONGEST_IGNORE = 4 << 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


async def receive(chunks: AsyncIterator[bytes], folder: Path) -> MemoryTree:
    """Take in the tar that *chunks* are, plain or compressed, while it arrives; its files' bytes go into *folder*.

    Raises InvalidRequest for what is no tar, StorageFull, SystemFailure. Cancelling it ends the worker first.
    """
    loop = asyncio.get_running_loop()
    pipe = _Pipe(loop)
    # A thread of its own: a client that sends slowly must not hold one of those that others wait for.
    executor = ThreadPoolExecutor(1, "labdock-context")
    worker = loop.run_in_executor(executor, _unpack_pipe, pipe, folder)
    try:
        async for chunk in chunks:
            if worker.done():
                break
            if chunk:
                await pipe.put(chunk)
        await pipe.put(b"")
        return await asyncio.shield(worker)
    except BaseException:
        pipe.cut()
        await asyncio.wait([worker])
        worker.exception()
        raise
    finally:
        executor.shutdown(wait=False)


class _Pipe:
    """Chunks from the event loop to a worker thread, a bounded number of them on the way; an empty one ends it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._room = asyncio.Event()
        self._rest = b""
        self._ended = False
        self._cut = False

    async def put(self, chunk: bytes) -> None:
        while self._chunks.qsize() >= _WAITING and not self._ended:
            self._room.clear()
            await self._room.wait()
        self._chunks.put(chunk)

    def cut(self) -> None:
        """Make the reading side fail at once."""
        self._cut = True
        self._chunks.put(b"")

    def drain(self) -> None:
        """The reader is done: a writer must wait no more."""
        self._ended = True
        self._make_room()

    def _make_room(self) -> None:
        with suppress(RuntimeError):
            # The loop may be closed by now.
            self._loop.call_soon_threadsafe(self._room.set)

    def _take(self) -> bytes:
        chunk = self._chunks.get()
        if self._chunks.qsize() < _WAITING // 2:
            self._make_room()
        return chunk

    def read(self, size: int = -1, /) -> bytes:
        if not self._rest and not self._ended:
            self._rest = self._take()
            self._ended = not self._rest
        if self._cut:
            raise InvalidRequest("the build context was cut short")
        if size < 0:
            parts = [self._rest]
            self._rest = b""
            while not self._ended:
                parts.append(self.read(1 << 20))
            return b"".join(parts)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _unpack_pipe(pipe: _Pipe, folder: Path) -> MemoryTree:
    try:
        return unpack(Plain(pipe), folder)
    except Corrupt as error:
        raise InvalidRequest(f"the build context can't be read: {error.message}", hint=error.hint) from error
    finally:
        pipe.drain()


def unpack(source: Source, folder: Path) -> MemoryTree:
    """The tree in the plain tar *source*, with the tar's modes, owners and times; its bytes in ``folder/pack``.

    Raises Corrupt, StorageFull, SystemFailure.
    """
    reader = Reader(source, Limits(entries=_MOST_ENTRIES))
    tree = MemoryTree(folder, pack=folder / "pack")
    with open(folder / "pack", "xb", buffering=0) as pack:
        unpacker = _Unpacker(reader, tree, pack.fileno())
        for entry in reader:
            try:
                unpacker.add(entry)
            except OSError as error:
                raise _translate(error, entry) from error
            except ValueError as error:
                raise Corrupt(f"{os.fsdecode(entry.name)[:200]!r}: {error}") from error
    return MemoryTree(folder, tree.nodes, tree.pack)


class _Unpacker:
    def __init__(self, reader: Reader, tree: MemoryTree, pack: int) -> None:
        self._reader = reader
        self._tree = tree
        self._pack = pack
        self._end = 0
        self.nodes = tree.nodes
        self._real: dict[str, str] = {"": ""}

    def add(self, entry: Entry) -> None:
        path = posixpath.normpath("/" + os.fsdecode(entry.name)).lstrip("/")
        above, _, name = path.rpartition("/")
        if "\0" in path:
            raise ValueError("a NUL character in a name")
        if not name:
            if entry.type == headers.FOLDER:
                self.nodes[""] = _node("", FOLDER, entry)
            return
        real_above = self._real.get(above)
        if real_above is None:
            real_above = self._real[above] = self._make(above)
        real = f"{real_above}/{name}" if real_above else name
        before = self.nodes.get(real)
        if before is not None and not (entry.type == headers.FOLDER and before.kind == FOLDER):
            self._clear(real, before)
        self._put(real, entry)

    def _put(self, real: str, entry: Entry) -> None:
        kind = entry.type
        if kind == headers.FOLDER:
            self.nodes[real] = _node(real, FOLDER, entry)
        elif kind == headers.FILE:
            self.nodes[real] = self._read_file(_node(real, FILE, entry))
        elif kind == headers.SYMLINK:
            node = _node(real, LINK, entry)
            node.link = os.fsdecode(entry.link)
            self.nodes[real] = node
        elif kind == headers.LINK:
            self._add_link(real, entry)
        elif kind == headers.FIFO:
            self.nodes[real] = _node(real, FIFO, entry)
        # Devices of a context are nothing to build from: they are left out, as sockets are in every tar.

    def _make(self, path: str) -> str:
        """The real path of the folder *path*, its links followed, made where the tar did not name it."""
        try:
            real = follow(self._tree, path)
        except FileNotFoundError:
            above, _, name = path.rpartition("/")
            real_above = self._make(above) if above else ""
            real = f"{real_above}/{name}" if real_above else name
            # What is there is a file, or a link to nowhere.
            if real not in self.nodes:
                self.nodes[real] = Node(real, FOLDER, 0o755)
        if self.nodes[real].kind != FOLDER:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return real

    def _read_file(self, node: Node) -> Node:
        hashed = hashlib.sha256()
        node.offset = self._end
        while piece := self._reader.take():
            hashed.update(piece)
            node.size += len(piece)
            while piece:
                piece = piece[os.write(self._pack, piece) :]
        self._end += node.size
        node.digest = hashed.hexdigest()
        return node

    def _add_link(self, real: str, entry: Entry) -> None:
        target = follow(self._tree, posixpath.normpath("/" + os.fsdecode(entry.link)), last=False)
        other = self.nodes[target]
        if other.kind == FOLDER:
            raise IsADirectoryError(errno.EISDIR, "a hard link to a folder", target)
        other.same = other.same or target
        self.nodes[real] = replace(other, path=real)

    def _clear(self, real: str, before: Node) -> None:
        """What is at *real* goes: the last entry of a name counts."""
        if before.kind == FOLDER:
            inside = real + "/"
            for path in [path for path in self.nodes if path.startswith(inside)]:
                del self.nodes[path]
        del self.nodes[real]
        if before.kind in (FOLDER, LINK):
            self._real = {"": ""}


def _node(path: str, kind: str, entry: Entry) -> Node:
    xattrs = {key: value for key, value in entry.xattrs.items() if not key.startswith(OVERLAY_XATTRS)}
    return Node(path, kind, entry.mode, entry.uid, entry.gid, 0, entry.mtime_ns, xattrs=xattrs)


def ignore(tree: MemoryTree, dockerfile: str) -> MemoryTree:
    """*tree* without what ``DOCKERFILE.dockerignore``, else ``.dockerignore``, names. Raises InvalidRequest."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        data = read_file(tree, name, _LONGEST_IGNORE)
        if data is None:
            continue
        try:
            matcher = PathMatcher(read_ignore_file(data))
        except BadPattern as error:
            raise InvalidRequest(f"{name}: {error}") from None
        return tree.without(_ignored(tree, matcher)) if matcher else tree
    return tree


def _ignored(tree: MemoryTree, matcher: PathMatcher) -> set[str]:
    """The paths that are gone. A folder that is ignored stays when something in it is taken back."""
    gone: set[str] = set()
    kept: set[str] = set()
    todo: list[tuple[str, tuple[bool, ...]]] = [(name, ()) for name in tree.names("")]
    while todo:
        path, above = todo.pop()
        matched, own = matcher.descend(path, above)
        if matched:
            gone.add(path)
        elif above:
            kept.add(path)
        todo += [(f"{path}/{name}", own) for name in tree.names(path)]
    for path in kept:
        above_path = path.rpartition("/")[0]
        while above_path and above_path in gone:
            gone.discard(above_path)
            above_path = above_path.rpartition("/")[0]
    return gone


def read_file(tree: MemoryTree, path: str, limit: int) -> bytes | None:
    """The file *path* of *tree*, links followed inside; None when there is none. Raises InvalidRequest over *limit*."""
    try:
        node = tree.get(follow(tree, posixpath.normpath("/" + path)))
    except OSError:
        return None
    if node is None or node.kind != FILE:
        return None
    if node.size > limit:
        raise InvalidRequest(f"{path} has {node.size} bytes; at most {limit} are taken")
    if node.data is not None:
        return node.data
    with Data(tree, node) as data:
        return data.read()


def _translate(error: OSError, entry: Entry) -> LabdockError:
    name = os.fsdecode(entry.name)[:200].encode("utf-8", "backslashreplace").decode()
    text = f"{name}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"unpacking {text}", hint="free some space on the disk that holds labdock's data")
    if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG):
        return Corrupt(text)
    return SystemFailure(f"unpacking {text}")
