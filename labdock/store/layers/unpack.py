"""Unpacking a layer into a tree, as hostile input.

Every folder is found below the root by :mod:`~labdock.store.layers.rooted`, and the last name of a path is never
followed, so nothing outside is touched whatever names and links the tar holds. AUFS whiteouts
(image-spec layer.md, "Whiteouts") remove what lower layers brought, never what this layer itself brings.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from labdock.errors import Corrupt, LabdockError, StorageFull, SystemFailure
from labdock.store.layers import headers
from labdock.store.layers.hashing import Sha256
from labdock.store.layers.headers import Entry
from labdock.store.layers.reader import GENEROUS, Limits, Reader, Source
from labdock.store.layers.rooted import FLAGS, open_folder, remove_tree

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
_META = b".wh..wh."
#: Attributes that mean something to an overlay file system, whoever's: they never come from or go into a tar.
OVERLAY_XATTRS = (b"trusted.overlay.", b"user.overlay.", b"user.fuseoverlayfs.")
_OPEN_FOLDERS = 48
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_NOTICES = 20


@dataclass(frozen=True, slots=True)
class Unpacked:
    """``diff_id`` and ``size`` (bytes) of the plain tar; ``notices``: what could not be had here."""

    diff_id: str
    size: int
    entries: int
    notices: tuple[str, ...]


def unpack(source: Source, root: int, *, merged: bool, limits: Limits = GENEROUS, known: str | None = None) -> Unpacked:
    """Unpack the plain tar *source* into the folder fd *root*.

    *merged*: the tree shows lower layers, and whiteouts remove from it; else there is nothing to remove. *known*: the
    tar's digest where it was verified just before; else it is taken on the way.
    Raises Corrupt, with the entry's name, for a tar that can't be taken; StorageFull and SystemFailure from
    the disk. What was unpacked before stays: the caller drops the tree.
    """
    with Sha256() as hasher:
        reader = Reader(source, limits, None if known else hasher)
        unpacker = Unpacker(reader, root, merged)
        try:
            for entry in reader:
                guard(entry, unpacker.add)
            unpacker.finish()
        finally:
            unpacker.close()
        diff_id = known or f"sha256:{hasher.hexdigest()}"
    return Unpacked(diff_id, reader.size, reader.entries, tuple(unpacker.notices))


def guard(entry: Entry, add: Callable[[Entry], None]) -> None:
    """Add *entry*; what goes wrong is said with its name."""
    try:
        add(entry)
    except OSError as error:
        raise translate_entry(error, entry) from error
    except ValueError as error:
        # An embedded NUL, in a name or an attribute's name.
        raise Corrupt(f"{show(entry.name)}: {error}") from error


class Unpacker:
    """Puts entries into the tree below *root*. :mod:`~labdock.store.layers.extract` has a further one."""

    def __init__(self, reader: Reader, root: int, merged: bool) -> None:
        self.reader = reader
        self._root = root
        self._merged = merged
        self._folders: dict[bytes, int] = {}
        self._times: dict[bytes, int] = {}
        self._own: set[bytes] = set()
        self.notices: list[str] = []

    def add(self, entry: Entry) -> None:
        path = clean(entry.name)
        parent, _, name = path.rpartition(b"/")
        if not name:
            self._add_root(entry)
            return
        if name.startswith(WHITEOUT):
            self._whiteout(parent, name, path)
            return
        if self._merged:
            self._own.add(path)
        self.place(entry, self._open(parent), name, path)

    def place(self, entry: Entry, folder: int, name: bytes, path: bytes) -> None:
        """Make *entry*, called *name*, in the folder fd *folder*; *path* is both, from the root."""
        kind = entry.type
        if kind == headers.FILE:
            self._add_file(entry, folder, name)
        elif kind == headers.FOLDER:
            self._add_folder(entry, folder, name, path)
        elif kind == headers.SYMLINK:
            self._retry(folder, name, lambda: os.symlink(entry.link, name, dir_fd=folder))
            os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
            _set_time(name, folder, entry.mtime_ns)
        elif kind == headers.LINK:
            self._add_link(entry, folder, name, path)
        elif kind in (headers.CHAR, headers.BLOCKDEV, headers.FIFO):
            self._add_node(entry, folder, name)
        else:
            raise Corrupt(f"{show(entry.name)}: entries of type {kind!r} are not taken")

    def _add_root(self, entry: Entry) -> None:
        if entry.type != headers.FOLDER:
            raise Corrupt(f"{show(entry.name)}: the root of a layer is a folder")
        self._settle(entry, self._root)
        self._times[b""] = entry.mtime_ns

    def _add_file(self, entry: Entry, folder: int, name: bytes) -> None:
        try:
            fd = os.open(name, _CREATE, 0o600, dir_fd=folder)
        except FileExistsError:
            self._clear(folder, name)
            fd = os.open(name, _CREATE, 0o600, dir_fd=folder)
        try:
            self._write(fd, entry.size)
            if entry.mode & 0o6000 or entry.xattrs:
                # quirk: a write takes setuid and file capabilities away, and a FUSE file system writes at close.
                os.close(fd)
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            self._settle(entry, fd)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        except BaseException:
            # Half a file would look like a whole one to whoever finds it.
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
            raise
        finally:
            os.close(fd)

    def _write(self, fd: int, size: int) -> None:
        hole = False
        while piece := self.reader.take():
            hole = self.reader.is_hole(piece)
            if hole:
                os.lseek(fd, len(piece), os.SEEK_CUR)
                continue
            while piece:
                piece = piece[os.write(fd, piece) :]
        if hole:
            os.ftruncate(fd, size)

    def _add_folder(self, entry: Entry, folder: int, name: bytes, path: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                self._clear(folder, name)
                os.mkdir(name, 0o700, dir_fd=folder)
        fd = os.open(name, FLAGS | os.O_NOFOLLOW, dir_fd=folder)
        self._keep(path, fd)
        self._settle(entry, fd)
        self._times[path] = entry.mtime_ns

    def _add_link(self, entry: Entry, folder: int, name: bytes, path: bytes) -> None:
        target = clean(entry.link)
        if target == path:
            return
        parent, _, target_name = target.rpartition(b"/")
        source = open_folder(self._root, parent)
        try:
            self._retry(
                folder,
                name,
                lambda: os.link(target_name, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False),
            )
        except (FileNotFoundError, PermissionError) as error:
            what = "is not there" if isinstance(error, FileNotFoundError) else "can't be linked to"
            raise Corrupt(f"{show(entry.name)}: a hard link to {show(entry.link)}, which {what}") from error
        finally:
            os.close(source)

    def _add_node(self, entry: Entry, folder: int, name: bytes) -> None:
        if entry.type == headers.FIFO:
            self._retry(folder, name, lambda: os.mkfifo(name, 0o600, dir_fd=folder))
        else:
            device = os.makedev(entry.major, entry.minor)
            if entry.type == headers.CHAR and device == 0:
                # To an overlay this node would be a whiteout: the tar would hide what it can't name.
                raise Corrupt(f"{show(entry.name)}: a character device 0:0 is not taken")
            mode = (stat.S_IFCHR if entry.type == headers.CHAR else stat.S_IFBLK) | 0o600
            try:
                self._retry(folder, name, lambda: os.mknod(name, mode, device, dir_fd=folder))
            except PermissionError:
                # quirk: mknod(2) of a device is EPERM in every user namespace but the first.
                self._notice(f"{show(entry.name)}: device {entry.major}:{entry.minor} left out (not allowed here)")
                return
        os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
        node = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            # By its fd: a name could be a link by now, where somebody else works in the tree.
            os.chmod(f"/proc/self/fd/{node}", entry.mode)
        finally:
            os.close(node)
        _set_time(name, folder, entry.mtime_ns)

    def _whiteout(self, parent: bytes, name: bytes, path: bytes) -> None:
        hidden = name[len(WHITEOUT) :]
        if name != OPAQUE and name.startswith(_META):
            return
        if name != OPAQUE and hidden in (b"", b".", b".."):
            raise Corrupt(f"{show(path)}: a whiteout of no name")
        if not self._merged:
            return
        try:
            folder = self._open(parent, make=False)
        except (FileNotFoundError, NotADirectoryError):
            return
        for victim in os.listdir(folder) if name == OPAQUE else [os.fsdecode(hidden)]:
            gone = os.fsencode(victim)
            if (parent + b"/" + gone if parent else gone) not in self._own:
                # A whiteout of what is not there is no error: layers are moved onto other bases.
                with contextlib.suppress(FileNotFoundError):
                    self._clear(folder, gone)

    def _settle(self, entry: Entry, fd: int) -> None:
        """Owner, mode and attributes, in the order in which none undoes another."""
        os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode)
        for key, value in entry.xattrs.items():
            if key.startswith(OVERLAY_XATTRS):
                continue
            try:
                os.setxattr(fd, key, value)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EACCES):
                    raise
                self._notice(f"{show(entry.name)}: attribute {show(key)} left out ({error.strerror})")

    def _retry(self, folder: int, name: bytes, make: Callable[[], None]) -> None:
        try:
            make()
        except FileExistsError:
            self._clear(folder, name)
            make()

    def _clear(self, folder: int, name: bytes) -> None:
        """Remove what stands at *name*, a whole tree if need be. Links are removed, never followed."""
        remove_tree(folder, name)
        # Any other cached folder may have been in that tree, or been found through what stood there.
        for path, fd in list(self._folders.items()):
            if fd != folder:
                os.close(self._folders.pop(path))

    def _open(self, path: bytes, *, make: bool = True) -> int:
        if not path:
            return self._root
        fd = self._folders.get(path)
        if fd is None:
            try:
                fd = open_folder(self._root, path)
            except FileNotFoundError:
                if not make:
                    raise
                fd = self._make(path)
            self._keep(path, fd)
        return fd

    def _make(self, path: bytes) -> int:
        """Folders that the tar uses without having named them: 0755, root's; a name may have thousands."""
        missing = [path]
        while True:
            above = missing[-1].rpartition(b"/")[0]
            try:
                fd = open_folder(self._root, above)
                break
            except FileNotFoundError:
                missing.append(above)
        while missing:
            path = missing.pop()
            name = path.rpartition(b"/")[2]
            try:
                os.mkdir(name, 0o755, dir_fd=fd)
                inner = os.open(name, FLAGS | os.O_NOFOLLOW, dir_fd=fd)
            finally:
                os.close(fd)
            fd = inner
            if self._merged:
                self._own.add(path)
        return fd

    def _keep(self, path: bytes, fd: int) -> None:
        old = self._folders.pop(path, None)
        if old is not None:
            os.close(old)
        elif len(self._folders) >= _OPEN_FOLDERS:
            os.close(self._folders.pop(next(iter(self._folders))))
        self._folders[path] = fd

    def _notice(self, text: str) -> None:
        if len(self.notices) < _MOST_NOTICES:
            self.notices.append(text)

    def finish(self) -> None:
        """Folders get their times last: filling them changed them."""
        for path, time_ns in self._times.items():
            parent, _, name = path.rpartition(b"/")
            try:
                folder = os.open(name or b".", FLAGS | os.O_NOFOLLOW, dir_fd=self._open(parent, make=False))
            except OSError:
                # A later entry replaced the folder, or one above it.
                continue
            os.utime(folder, ns=(time_ns, time_ns))
            os.close(folder)

    def close(self) -> None:
        for fd in self._folders.values():
            os.close(fd)
        self._folders.clear()


def clean(name: bytes) -> bytes:
    """*name* as a path below the root: no leading slash, no ``.``, no ``..``; the root is empty.

    Raises Corrupt for a name that goes above the root.
    """
    if name[:2] == b"./":
        name = name[2:]
    name = name.rstrip(b"/")
    if b"//" not in name and b"/." not in name and name[:1] not in (b"/", b"."):
        return name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part in (b"", b"."):
            continue
        if part != b"..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise Corrupt(f"{show(name)}: an entry outside of the layer's root")
    return b"/".join(parts)


def _set_time(name: bytes, folder: int, time_ns: int) -> None:
    os.utime(name, ns=(time_ns, time_ns), dir_fd=folder, follow_symlinks=False)


def show(name: bytes) -> str:
    return name[:200].decode(errors="backslashreplace")


def translate_entry(error: OSError, entry: Entry) -> LabdockError:
    name = show(entry.name)
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"unpacking {name}: {reason}", hint="free some space on the disk that holds labdock's data")
    if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENOENT, errno.EEXIST):
        return Corrupt(f"{name}: {reason}")
    if error.errno == errno.EINVAL and max(entry.uid, entry.gid) > 0:
        return SystemFailure(
            f"unpacking {name}: it belongs to {entry.uid}:{entry.gid}, which is not among the ids of the sandbox",
            hint="an administrator can grant more ids in /etc/subuid and /etc/subgid",
        )
    return SystemFailure(f"unpacking {name}: {reason}")
