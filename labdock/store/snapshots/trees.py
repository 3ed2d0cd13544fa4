"""Whole trees: copying one, and finding what differs between two. By folder fds; links are never followed."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from labdock.store.layers.rooted import FLAGS, open_folder

_FICLONE = 0x40049409
_CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy(source: Path, target: Path) -> None:
    """Make the folder *target* (there, empty) the same as *source*: owners, modes, times, attributes, hard links.

    Raises OSError.
    """
    below, above = os.open(source, FLAGS), os.open(target, FLAGS)
    links: dict[tuple[int, int], bytes] = {}
    try:
        pending = [b""]
        folders = []
        while pending:
            path = pending.pop()
            folders.append(path)
            pending += _copy_folder(below, above, path, links)
        for path in reversed(folders):
            _copy_look(below, above, path)
    finally:
        os.close(below)
        os.close(above)


def _copy_folder(below: int, above: int, path: bytes, links: dict[tuple[int, int], bytes]) -> list[bytes]:
    source = open_folder(below, path, links=False)
    target = open_folder(above, path, links=False)
    inner = []
    try:
        for text in os.listdir(source):
            name = os.fsencode(text)
            whole = path + b"/" + name if path else name
            found = os.stat(name, dir_fd=source, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                os.mkdir(name, 0o700, dir_fd=target)
                inner.append(whole)
                continue
            if found.st_nlink > 1:
                first = links.setdefault((found.st_dev, found.st_ino), whole)
                if first != whole:
                    os.link(first, name, src_dir_fd=above, dst_dir_fd=target, follow_symlinks=False)
                    continue
            copy_leaf(source, target, name, found)
    finally:
        os.close(source)
        os.close(target)
    return inner


def copy_leaf(source: int, target: int, name: bytes, found: os.stat_result) -> None:
    """Copy what is no folder from the folder fd *source* to *target*, under the same *name*."""
    if stat.S_ISREG(found.st_mode):
        _copy_file(source, target, name)
        return
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
    elif stat.S_ISSOCK(found.st_mode):
        return
    else:
        os.mknod(name, found.st_mode, found.st_rdev, dir_fd=target)
        os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
        os.chmod(name, found.st_mode & 0o7777, dir_fd=target)
    os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def _copy_file(source: int, target: int, name: bytes) -> None:
    reading = os.open(name, _READ, dir_fd=source)
    try:
        writing = os.open(name, _CREATE, 0o600, dir_fd=target)
        try:
            _copy_bytes(reading, writing)
            settle(reading, writing)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _copy_bytes(reading: int, writing: int) -> None:
    try:
        fcntl.ioctl(writing, _FICLONE, reading)
        return
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.EPERM):
            raise
    while os.sendfile(writing, reading, None, 1 << 30):
        pass


def settle(reading: int, writing: int) -> None:
    """Give *writing* the owner, mode, attributes and times of *reading*."""
    found = os.fstat(reading)
    os.fchown(writing, found.st_uid, found.st_gid)
    os.fchmod(writing, found.st_mode & 0o7777)
    for key, value in _xattrs(reading).items():
        os.setxattr(writing, key, value)
    os.utime(writing, ns=(found.st_atime_ns, found.st_mtime_ns))


def _copy_look(below: int, above: int, path: bytes) -> None:
    reading, writing = open_folder(below, path, links=False), open_folder(above, path, links=False)
    try:
        settle(reading, writing)
    finally:
        os.close(reading)
        os.close(writing)


def _xattrs(fd: int) -> dict[str, bytes]:
    try:
        return {key: os.getxattr(fd, key) for key in os.listxattr(fd)}
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise


def compare(old: Path, new: Path, out: Path, since_ns: int) -> None:
    """Put into the folder *out* what *new* has that *old* has not, in overlay's terms; files are linked, not copied.

    What did not change since *since_ns* (change time of the inode) is taken as the same without a look inside.
    Raises OSError.
    """
    below, above, result = os.open(old, FLAGS), os.open(new, FLAGS), os.open(out, FLAGS)
    try:
        _Comparison(below, above, result, since_ns).run()
    finally:
        for fd in (below, above, result):
            os.close(fd)


def share(below: Path, above: Path, since_ns: int) -> int:
    """Replace files of *above* that are as in *below* by hard links to those; returns how many.

    As :func:`compare`: what did not change since *since_ns* and looks the same is the same. Neither tree may be written
    to afterwards. Raises OSError.
    """
    shared = 0
    old, new = os.open(below, FLAGS), os.open(above, FLAGS)
    try:
        pending = [b""]
        while pending:
            path = pending.pop()
            here = open_folder(new, path, links=False)
            there = -1
            try:
                there = open_folder(old, path, links=False)
                shared += _share_folder(there, here, since_ns)
                pending += [path + b"/" + name if path else name for name in _folders(here, there)]
            finally:
                os.close(here)
                if there >= 0:
                    os.close(there)
    finally:
        os.close(old)
        os.close(new)
    return shared


def _folders(here: int, there: int) -> list[bytes]:
    """The names of folders that are in both."""
    names = []
    for text in os.listdir(here):
        name = os.fsencode(text)
        before = _stat(there, name)
        if before is not None and stat.S_ISDIR(before.st_mode) and stat.S_ISDIR(_lstat(here, name).st_mode):
            names.append(name)
    return names


def _lstat(folder: int, name: bytes) -> os.stat_result:
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def _stat(folder: int, name: bytes) -> os.stat_result | None:
    try:
        return _lstat(folder, name)
    except FileNotFoundError:
        return None


def _share_folder(there: int, here: int, since_ns: int) -> int:
    shared = 0
    times = os.fstat(here)
    for text in os.listdir(here):
        name = os.fsencode(text)
        found, before = _lstat(here, name), _stat(there, name)
        if before is None or not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or not found.st_size:
            continue
        if _same(there, here, name, before, found, since_ns):
            moment = b".labdock-" + os.urandom(8).hex().encode()
            os.link(name, moment, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
            os.rename(moment, name, src_dir_fd=here, dst_dir_fd=here)
            shared += 1
    if shared:
        os.utime(here, ns=(times.st_atime_ns, times.st_mtime_ns))
    return shared


def weigh_own(below: Path, above: Path) -> tuple[int, int]:
    """Bytes on the disk and inodes of *above* that are not *below*'s, by the same path. Raises OSError."""
    size = inodes = 0
    seen: set[tuple[int, int]] = set()
    pending = [""]
    while pending:
        path = pending.pop()
        with os.scandir(above / path) as entries:
            for entry in entries:
                inner = f"{path}/{entry.name}" if path else entry.name
                found = entry.stat(follow_symlinks=False)
                identity = (found.st_dev, found.st_ino)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(inner)
                elif found.st_nlink > 1:
                    if identity in seen or _identity(below / inner) == identity:
                        continue
                    seen.add(identity)
                size += found.st_blocks * 512
                inodes += 1
    return size, inodes


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _Comparison:
    def __init__(self, below: int, above: int, result: int, since_ns: int) -> None:
        self._below, self._above, self._result, self._since = below, above, result, since_ns
        self._made: set[bytes] = {b""}
        # Names of files with several, by inode: those that are as before, and whether one of them is new.
        self._twins: dict[int, list[tuple[bytes, bytes]]] = {}
        self._split: set[int] = set()

    def run(self) -> None:
        pending = [(b"", True)]
        while pending:
            pending += self._folder(*pending.pop())
        for inode in self._split:
            # One of its names changed: in the layer they must all be there to stay one file.
            for path, name in self._twins.get(inode, ()):
                fd = open_folder(self._above, path, links=False)
                self._link(fd, path, name)
                os.close(fd)
        # Deepest first: filling a folder changes its time.
        for path in sorted(self._made, reverse=True):
            _copy_look(self._above, self._result, path)

    def _folder(self, path: bytes, both: bool) -> list[tuple[bytes, bool]]:
        """Compare one folder; *both*: it is a folder in the old tree too. Gives the folders in it, likewise."""
        new = open_folder(self._above, path, links=False)
        old = open_folder(self._below, path, links=False) if both else -1
        inner = []
        try:
            olds = set(map(os.fsencode, os.listdir(old))) if both else set()
            names = sorted(map(os.fsencode, os.listdir(new)))
            for name in names:
                found = os.stat(name, dir_fd=new, follow_symlinks=False)
                before = os.stat(name, dir_fd=old, follow_symlinks=False) if name in olds else None
                same = before is not None and _same(old, new, name, before, found, self._since)
                if stat.S_ISDIR(found.st_mode):
                    whole = path + b"/" + name if path else name
                    if not same:
                        self._ensure(whole)
                    inner.append((whole, before is not None and stat.S_ISDIR(before.st_mode)))
                elif not same:
                    self._link(new, path, name)
                    self._split.add(found.st_ino)
                elif found.st_nlink > 1:
                    self._twins.setdefault(found.st_ino, []).append((path, name))
            for name in sorted(olds.difference(names)):
                self._white_out(path, name)
        finally:
            os.close(new)
            if both:
                os.close(old)
        return inner

    def _ensure(self, path: bytes) -> None:
        """Make the folder *path* in the result, with those above it."""
        above = b""
        for name in path.split(b"/") if path else ():
            whole = above + b"/" + name if above else name
            if whole not in self._made:
                fd = open_folder(self._result, above, links=False)
                os.mkdir(name, 0o700, dir_fd=fd)
                os.close(fd)
                self._made.add(whole)
            above = whole

    def _link(self, new: int, path: bytes, name: bytes) -> None:
        self._ensure(path)
        fd = open_folder(self._result, path, links=False)
        os.link(name, name, src_dir_fd=new, dst_dir_fd=fd, follow_symlinks=False)
        os.close(fd)

    def _white_out(self, path: bytes, name: bytes) -> None:
        self._ensure(path)
        fd = open_folder(self._result, path, links=False)
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=fd)
        os.close(fd)


def _same(old: int, new: int, name: bytes, before: os.stat_result, found: os.stat_result, since_ns: int) -> bool:
    if _look(before) != _look(found):
        return False
    if (before.st_dev, before.st_ino) == (found.st_dev, found.st_ino):
        return True
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFLNK:
        return os.readlink(name, dir_fd=old) == os.readlink(name, dir_fd=new)
    if kind not in (stat.S_IFREG, stat.S_IFDIR) or found.st_ctime_ns < since_ns:
        return True
    flags = _READ if kind == stat.S_IFREG else FLAGS | os.O_NOFOLLOW
    first, second = os.open(name, flags, dir_fd=old), os.open(name, flags, dir_fd=new)
    try:
        return _xattrs(first) == _xattrs(second) and (kind == stat.S_IFDIR or _same_bytes(first, second))
    finally:
        os.close(first)
        os.close(second)


def _look(found: os.stat_result) -> tuple[int, ...]:
    """What must be equal for two entries to be the same; a folder's size says nothing."""
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_rdev, size


def _same_bytes(first: int, second: int) -> bool:
    while True:
        data = os.read(first, _CHUNK)
        if data != os.read(second, _CHUNK):
            return False
        if not data:
            return True
