"""Trees that COPY and ADD read from: an unpacked archive, known by heart, or a folder. Blocking."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from labdock.store.layers.unpack import OVERLAY_XATTRS

FILE, FOLDER, LINK, FIFO, OTHER = "file", "folder", "link", "fifo", "other"
_KINDS = {stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFLNK: LINK, stat.S_IFIFO: FIFO}
_MOST_LINKS = 40
_CHUNK = 1 << 20


@dataclass(slots=True)
class Node:
    """One entry of a tree. ``path`` is relative, "" the root; no part of it is a symbolic link.

    ``mode`` the low twelve bits; ``link`` a symbolic link's target; ``digest`` the sha256 of a file, hex, once
    known; ``same`` tells hard links to one file (None: the only one). A file's bytes are in the tree's folder at
    its path, or at ``offset`` of the tree's pack (-1: not there), or in ``data`` (None: not there).
    """

    path: str
    kind: str
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: str = ""
    digest: str = ""
    same: object = None
    offset: int = -1
    data: bytes | None = None
    xattrs: dict[bytes, bytes] = field(default_factory=dict)


class Tree(Protocol):
    """Where things are copied from. ``folder`` holds the files by their paths, ``pack`` those with an offset."""

    folder: Path
    pack: Path | None

    def get(self, path: str) -> Node | None:
        """What is at *path*, no link followed at its end (and none on the way: see :func:`follow`)."""

    def names(self, path: str) -> list[str]:
        """The names in folder *path*, sorted."""


class MemoryTree:
    """A tree whose nodes are all known: a context, an archive, heredocs."""

    def __init__(self, folder: Path, nodes: dict[str, Node] | None = None, pack: Path | None = None) -> None:
        self.folder = folder
        self.pack = pack
        self.nodes = nodes if nodes is not None else {}
        self.nodes.setdefault("", Node("", FOLDER, 0o755))
        self._names: dict[str, list[str]] | None = None

    def get(self, path: str) -> Node | None:
        return self.nodes.get(path)

    def names(self, path: str) -> list[str]:
        if self._names is None:
            self._names = {}
            for each in sorted(self.nodes):
                if each:
                    above, _, name = each.rpartition("/")
                    self._names.setdefault(above, []).append(name)
        return self._names.get(path, [])

    def without(self, gone: set[str]) -> MemoryTree:
        """This tree lacking the paths *gone*."""
        kept = {path: node for path, node in self.nodes.items() if path not in gone}
        return MemoryTree(self.folder, kept, self.pack)


class FolderTree:
    """The tree in a folder that nobody writes to meanwhile: a mounted snapshot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pack: Path | None = None
        self._known: dict[str, Node | None] = {}

    def get(self, path: str) -> Node | None:
        if path not in self._known:
            self._known[path] = read_node(self.folder, path)
        return self._known[path]

    def names(self, path: str) -> list[str]:
        return sorted(os.listdir(self.folder / path))


def read_node(folder: Path, path: str) -> Node | None:
    """The node of *path* below *folder*, from the file system; None when there is none."""
    full = os.path.join(folder, path) if path else str(folder)
    try:
        found = os.lstat(full)
    except (FileNotFoundError, NotADirectoryError):
        return None
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), OTHER)
    node = Node(path, kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, 0, found.st_mtime_ns)
    if kind == FILE:
        node.size = found.st_size
        if found.st_nlink > 1:
            node.same = (found.st_dev, found.st_ino)
    elif kind == LINK:
        node.link = os.readlink(full)
    if kind in (FILE, FOLDER):
        node.xattrs = {
            name: os.getxattr(full, name)
            for name in map(os.fsencode, os.listxattr(full))
            if not name.startswith(OVERLAY_XATTRS)
        }
    return node


def scan(folder: Path) -> MemoryTree:
    """The tree in *folder* now."""
    nodes: dict[str, Node] = {}
    todo = [""]
    while todo:
        path = todo.pop()
        node = read_node(folder, path)
        if node is None:
            continue
        nodes[path] = node
        if node.kind == FOLDER:
            todo += [f"{path}/{name}" if path else name for name in os.listdir(folder / path)]
    return MemoryTree(folder, nodes)


def follow(tree: Tree, path: str, *, last: bool = True) -> str:
    """*path* with every symbolic link on it followed inside the tree; *last* false: but the one at its end.

    Raises FileNotFoundError (with the asked path), or OSError ELOOP.
    """
    done: list[str] = []
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    followed = 0
    while todo:
        part = todo.pop()
        if part == "..":
            done = done[:-1]
            continue
        here = "/".join([*done, part])
        node = tree.get(here)
        if node is None or (todo and node.kind not in (FOLDER, LINK)):
            raise FileNotFoundError(errno.ENOENT, "file does not exist", path)
        if node.kind != LINK or (not todo and not last):
            done.append(part)
            continue
        followed += 1
        if followed > _MOST_LINKS:
            raise OSError(errno.ELOOP, "too many levels of symbolic links", path)
        if node.link.startswith("/"):
            done = []
        todo += [name for name in reversed(node.link.split("/")) if name not in ("", ".")]
    return "/".join(done)


class Data:
    """The bytes of a file of a tree, opened: ``fd`` at ``start``, ``size`` of them. A context manager, and a Source.

    *pack*: the tree's pack, where it is open already (-1: it is not); it stays open.
    """

    def __init__(self, tree: Tree, node: Node, pack: int = -1) -> None:
        packed = node.offset >= 0
        assert not packed or tree.pack is not None
        path = tree.pack if packed else tree.folder / node.path
        assert path is not None
        self._lent = packed and pack >= 0
        self.fd = pack if self._lent else os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.start = node.offset if packed else 0
        self.size = node.size
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        left = self.size - self._at
        data = os.pread(self.fd, left if size < 0 else min(size, left), self.start + self._at)
        self._at += len(data)
        return data

    def __enter__(self) -> Data:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._lent:
            os.close(self.fd)


def hash_node(tree: Tree, node: Node) -> str:
    """The sha256 of a file, hex; read at most once."""
    if not node.digest:
        hashed = hashlib.sha256()
        if node.data is not None:
            hashed.update(node.data)
        else:
            with Data(tree, node) as data:
                while chunk := data.read(_CHUNK):
                    hashed.update(chunk)
        node.digest = hashed.hexdigest()
    return node.digest
