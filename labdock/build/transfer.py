"""Writing what COPY and ADD took into an image's tree. Blocking; stops between two files when told to.

As BuildKit: a folder's content is merged into the destination, file by file; a folder never replaces
something else or the other way round (an archive's may); links inside what is copied stay links.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from labdock.build.modes import Mode
from labdock.build.rootfs import Owner, is_folder, locate_file, make_folder
from labdock.build.selection import Source
from labdock.build.trees import FIFO, FILE, FOLDER, LINK, Data, Node, Tree
from labdock.errors import InvalidRequest, LabdockError, StorageFull, SystemFailure
from labdock.store.layers.rooted import FLAGS, remove_tree

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SMALL = 1 << 16
_PIECE = 8 << 20
#: From this size on a file's bytes are copied by the second thread, which may be this many files behind.
_LARGE = 4 << 20
_AHEAD = 4


class Stopped(Exception):
    """The build was told to stop."""


@dataclass(slots=True)
class Writer:
    """Writes below the folder fd *root*. ``owner`` None keeps owners; ``replace``: what is in the way is removed."""

    root: int
    owner: Owner | None
    mode: Mode | None = None
    replace: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    notices: list[str] = field(default_factory=list)
    _links: dict[object, tuple[str, str]] = field(default_factory=dict)
    _open: list[tuple[str, int, Node | None]] = field(default_factory=list)
    _pack: int = -1
    _helper: ThreadPoolExecutor | None = None
    _pending: deque[Future[None]] = field(default_factory=deque)

    def write(self, tree: Tree, sources: Sequence[Source], destination: str) -> None:
        """Write all *sources* to *destination*: absolute, with a slash at its end when it must be a folder.

        Raises InvalidRequest for what can't be put there, StorageFull, SystemFailure, Stopped.
        """
        path = os.fsencode(destination.strip("/"))
        try:
            with self._opened(tree):
                for source in sources:
                    self._links.clear()
                    try:
                        if source.is_folder:
                            self._write_folder(tree, source, path)
                        else:
                            self._write_file(tree, source, path, destination.endswith("/"))
                    finally:
                        for _, fd, _ in self._open:
                            os.close(fd)
                        self._open.clear()
        except OSError as error:
            raise _translate(error, destination) from error

    @contextmanager
    def _opened(self, tree: Tree) -> Iterator[None]:
        """*tree*'s pack, and a second thread for the bytes of large files while this one makes the small ones."""
        self._pack = -1 if tree.pack is None else os.open(tree.pack, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with ThreadPoolExecutor(1, "labdock-copy") as self._helper:
                yield
                while self._pending:
                    self._pending.popleft().result()
        finally:
            self._pending.clear()
            if self._pack >= 0:
                os.close(self._pack)

    def _write_file(self, tree: Tree, source: Source, path: bytes, must_be_folder: bool) -> None:
        name = os.fsencode(source.name)
        if must_be_folder or is_folder(self.root, path):
            folder = make_folder(self.root, path, self.owner or (0, 0))
        else:
            folder, name = locate_file(self.root, path)
        self._open.append(("", folder, None))
        self._write_node(tree, source.node, folder, os.fsdecode(name))

    def _write_folder(self, tree: Tree, source: Source, path: bytes) -> None:
        known = is_folder(self.root, path)
        top = make_folder(self.root, path, self.owner or (0, 0))
        self._open.append(("", top, None if known else source.node))
        for relative, node in source.items[1:]:
            if self.stop.is_set():
                raise Stopped
            above, _, name = relative.rpartition("/")
            folder = self._enter(tree, source, above)
            if node.kind == FOLDER:
                self._make(folder, name, relative, node)
            else:
                self._write_node(tree, node, folder, name)
        while self._open:
            self._leave()

    def _enter(self, tree: Tree, source: Source, above: str) -> int:
        """The open folder *above*; those that it is not in are finished, those left out of the selection are made."""
        while self._open[-1][0] and above != self._open[-1][0] and not above.startswith(self._open[-1][0] + "/"):
            self._leave()
        while self._open[-1][0] != above:
            here, fd, _ = self._open[-1]
            name = above[len(here) :].lstrip("/").partition("/")[0]
            relative = f"{here}/{name}" if here else name
            node = tree.get(f"{source.node.path}/{relative}" if source.node.path else relative)
            assert node is not None
            self._make(fd, name, relative, node)
        return self._open[-1][1]

    def _make(self, folder: int, name: str, relative: str, node: Node) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                if not self.replace:
                    raise InvalidRequest(f"cannot copy to non-directory: {relative}") from None
                remove_tree(folder, os.fsencode(name))
                os.mkdir(name, 0o700, dir_fd=folder)
        self._open.append((relative, os.open(name, FLAGS | os.O_NOFOLLOW, dir_fd=folder), node))

    def _leave(self) -> None:
        """Folders get mode, owner and time last: filling them changed the time."""
        _, fd, node = self._open.pop()
        try:
            if node is not None:
                self._settle(fd, node)
        finally:
            os.close(fd)

    def _write_node(self, tree: Tree, node: Node, folder: int, name: str) -> None:
        if node.kind == FILE:
            if node.same is None or not self._link(node, folder, name):
                self._write_data(tree, node, folder, name)
        elif node.kind == LINK:
            self._place(folder, name, lambda: os.symlink(node.link, name, dir_fd=folder))
            self._settle_name(folder, name, node)
        elif node.kind == FIFO:
            self._place(folder, name, lambda: os.mkfifo(name, 0o600, dir_fd=folder))
            os.chmod(name, node.mode, dir_fd=folder)
            self._settle_name(folder, name, node)
        else:
            self.notices.append(f"{node.path}: a device or a socket is not copied")

    def _link(self, node: Node, folder: int, name: str) -> bool:
        """Make *name* a hard link to where the same file was written before; false when it was not."""
        before = self._links.get(node.same)
        here = self._open[-1][0]
        self._links.setdefault(node.same, (here, name))
        if before is None:
            return False
        try:
            source = os.open(before[0] or ".", FLAGS | os.O_NOFOLLOW, dir_fd=self._open[0][1])
        except OSError:
            return False
        try:
            self._place(folder, name, lambda: os.link(before[1], name, src_dir_fd=source, dst_dir_fd=folder))
        finally:
            os.close(source)
        return True

    def _place(self, folder: int, name: str, make: object) -> None:
        assert callable(make)
        try:
            make()
        except FileExistsError:
            self._clear(folder, name)
            make()

    def _clear(self, folder: int, name: str) -> None:
        if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
            if not self.replace:
                raise InvalidRequest(f"cannot copy a file onto the folder {name}") from None
            remove_tree(folder, os.fsencode(name))
        else:
            os.unlink(name, dir_fd=folder)

    def _write_data(self, tree: Tree, node: Node, folder: int, name: str) -> None:
        if self.stop.is_set():
            raise Stopped
        # A mode given at its creation is one change of the inode less (often: see _settle).
        mode = self._mode_of(node) & 0o777
        try:
            fd = os.open(name, _CREATE, mode, dir_fd=folder)
        except FileExistsError:
            self._clear(folder, name)
            fd = os.open(name, _CREATE, mode, dir_fd=folder)
        if node.size < _LARGE or self._helper is None:
            self._fill_data(tree, node, fd)
            return
        if len(self._pending) >= _AHEAD:
            self._pending.popleft().result()
        self._pending.append(self._helper.submit(self._fill_data, tree, node, fd))

    def _fill_data(self, tree: Tree, node: Node, fd: int) -> None:
        """Give the new file *fd* its bytes and what else it has; closes it."""
        try:
            if node.data is not None:
                _write_all(fd, node.data)
            else:
                with Data(tree, node, self._pack) as source:
                    self._copy_data(source, fd)
            self._settle(fd, node)
        finally:
            os.close(fd)

    def _copy_data(self, source: Data, target: int) -> None:
        if source.size > _SMALL:
            at, end = source.start, source.start + source.size
            try:
                while at < end and (copied := os.copy_file_range(source.fd, target, min(_PIECE, end - at), at)):
                    at += copied
                    if self.stop.is_set():
                        raise Stopped
                return
            except OSError as error:
                # quirk: not between all file systems (man 2 copy_file_range); nothing was copied then.
                if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
                    raise
        while data := source.read(_SMALL):
            _write_all(target, data)

    def _mode_of(self, node: Node) -> int:
        return self.mode.apply(node.mode, folder=node.kind == FOLDER) if self.mode else node.mode

    def _settle(self, fd: int, node: Node) -> None:
        uid, gid = self.owner or (node.uid, node.gid)
        found, mode = os.fstat(fd), self._mode_of(node)
        # What is so already is left alone: each change is an entry in the file system's journal.
        if (found.st_uid, found.st_gid) != (uid, gid):
            try:
                os.fchown(fd, uid, gid)
            except OSError as error:
                self._without_owner(error, node, uid, gid)
        if stat.S_IMODE(found.st_mode) != mode or mode & 0o7000:
            os.fchmod(fd, mode)
        for key, value in node.xattrs.items():
            try:
                os.setxattr(fd, key, value)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EACCES):
                    raise
                self.notices.append(f"{node.path}: attribute {os.fsdecode(key)} is left out ({error.strerror})")
        os.utime(fd, ns=(node.mtime_ns, node.mtime_ns))

    def _settle_name(self, folder: int, name: str, node: Node) -> None:
        uid, gid = self.owner or (node.uid, node.gid)
        try:
            os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            self._without_owner(error, node, uid, gid)
        os.utime(name, ns=(node.mtime_ns, node.mtime_ns), dir_fd=folder, follow_symlinks=False)

    def _without_owner(self, error: OSError, node: Node, uid: int, gid: int) -> None:
        """An owner that the user namespace has no id for (EINVAL) stays root; one that was asked for is an error."""
        if error.errno != errno.EINVAL:
            raise error
        if self.owner is not None:
            raise InvalidRequest(
                f"--chown={uid}:{gid}: these ids are not among the ids of the sandbox",
                hint="an administrator can grant more ids in /etc/subuid and /etc/subgid",
            ) from error
        self.notices.append(f"{node.path}: its owner {uid}:{gid} is not among the ids of the sandbox; it is root's")


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _translate(error: OSError, destination: str) -> LabdockError:
    text = f"copying to {destination}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(text, hint="free some space on the disk that holds labdock's data")
    if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG, errno.EEXIST):
        where = f" ({os.fsdecode(error.filename)})" if error.filename else ""
        return InvalidRequest(f"{text}{where}")
    return SystemFailure(f"{text} ({error.filename})" if error.filename else text)
