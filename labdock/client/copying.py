"""``docker cp``: between a container and this machine, with all of its rules about what ends up where.

(docker/cli cli/command/container/cp.go, moby pkg/archive/copy.go.) What comes out of a container is hostile: nothing
is written through a link, or outside of the folder it goes to.
"""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labdock.client import exports
from labdock.errors import InvalidRequest, SystemFailure
from labdock.schema.files import PathStat

if TYPE_CHECKING:
    from labdock.client.files import Files

BLOCK = 1 << 20
#: Small pieces are gathered to this size: each is one chunk on the wire.
_GATHER = 256 << 10
# Docker's words.
CANT_COPY_FOLDER = "cannot copy directory"
NO_FOLDER = "no such directory"


@dataclass(frozen=True, slots=True)
class Place:
    """One end of a copy. ``path`` as it was written; ``rename``: the name that a followed link had."""

    path: str
    exists: bool = False
    folder: bool = False
    rename: str = ""


def read_place(text: str) -> tuple[str, str]:
    """(container, path) of ``CONTAINER:PATH``; the container is "" for a path of this machine."""
    head, colon, rest = text.partition(":")
    if text.startswith(("/", ".")) or not colon:
        return "", text
    return head, rest


class Copied:
    """Bytes that went by, for the last line."""

    def __init__(self) -> None:
        self.size = 0

    def count(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.size += len(piece)
            yield piece


def copy_in(
    files: Files, source: str, container: str, path: str, *, follow: bool, own: bool, standard: Iterator[bytes] | None
) -> int:
    """Copy *source*, or with *standard* a tar, into *container*; the tar's bytes. Raises InvalidRequest, NotFound."""
    target = _find_target(files, container, path)
    copied = Copied()
    if standard is not None:
        if not target.folder:
            raise InvalidRequest(f'destination "{container}:{path}" must be a directory')
        files.extract(container, target.path, copied.count(standard), replace=False, own=own)
        return copied.size
    there = _find_local(source, follow=follow)
    folder, old, new = prepare(there, target)
    local = Path(there.path)
    name = "." if _is_inside(there.path) else local.name or "/"
    tar = pack(local, rebase(there.rename or name, old, new))
    files.extract(container, folder, copied.count(tar), replace=False, own=own)
    return copied.size


def copy_out(files: Files, container: str, path: str, target: str, *, follow: bool) -> int:
    """Copy *path* of *container* to *target* on this machine; the tar's bytes. Raises InvalidRequest, NotFound."""
    above = os.path.dirname(os.path.normpath(target))
    if above and not os.path.isdir(above):
        raise InvalidRequest(f'invalid output path: directory "{above}" does not exist')
    path, rename = resolve(files, container, path) if follow else (path, "")
    found, pieces = files.archive(container, path)
    copied = Copied()
    try:
        source = Place(path, exists=True, folder=found.is_folder, rename=rename)
        folder, old, new = prepare(source, _find_local_target(target))
        name = split(path)[1]

        def named(text: str) -> str:
            text = rebase(text, name, rename) if rename else text
            return rebase(text, old, new)

        unpack(copied.count(pieces), Path(folder), named)
        return copied.size
    finally:
        pieces.close()  # type: ignore[attr-defined]


def resolve(files: Files, container: str, path: str) -> tuple[str, str]:
    """Where the link *path* leads, and the name that what is there should keep ("": its own)."""
    found = files.stat(container, path)
    if found is None or not found.is_link:
        return path, ""
    target = posixpath.join(posixpath.dirname(path), found.link_target)
    name = posixpath.basename(posixpath.normpath(path))
    return target, name if posixpath.basename(posixpath.normpath(target)) != name else ""


def prepare(source: Place, target: Place) -> tuple[str, str, str]:
    """The folder to unpack in, and how a first name in the tar changes: from what to what. Raises InvalidRequest."""
    folder, name = split(target.path)
    old = source.rename or split(source.path)[1]
    if target.exists and target.folder:
        return target.path, "", ""
    if target.exists and source.folder:
        raise InvalidRequest(CANT_COPY_FOLDER, hint="the destination is a file")
    if not target.exists and not source.folder and (target.path.endswith("/") or _is_inside(target.path)):
        raise InvalidRequest(NO_FOLDER, hint=f"{target.path} is not there")
    return folder, old, name


def split(path: str) -> tuple[str, str]:
    """(folder, last name); the last name of ``DIR/.`` is "."."""
    clean = posixpath.normpath(path)
    if _is_inside(path):
        return clean, "."
    return posixpath.dirname(clean) or ".", posixpath.basename(clean) or "/"


def rebase(text: str, old: str, new: str) -> str:
    """*text* with *old* at its beginning replaced by *new*; as it is when both are empty."""
    if not old:
        return text
    if old == "/":
        return f"{new}/{text.lstrip('/')}"
    if text == old or text.startswith(f"{old}/"):
        return new + text[len(old) :]
    return text


def _is_inside(path: str) -> bool:
    """Whether *path* says "what is in the folder": it ends in ``/.``, or is "."."""
    return posixpath.basename(path) == "."


def _find_target(files: Files, container: str, path: str) -> Place:
    place = path
    found: PathStat | None = files.stat(container, path)
    if found is not None and found.is_link:
        place = posixpath.join(split(path)[0], found.link_target)
        found = files.stat(container, place)
    if found is None:
        return Place(place)
    if not found.is_folder and found.mode & ~0o777 & ~(0b1101 << 20):
        raise InvalidRequest(f'destination "{container}:{path}" must be a directory or a regular file')
    return Place(place, exists=True, folder=found.is_folder)


def _find_local(text: str, *, follow: bool) -> Place:
    """The source *text* of this machine. A link at its end is followed when told, or when ``/`` or ``/.`` follow."""
    try:
        status = os.stat(text) if follow or text.endswith("/") or _is_inside(text) else os.lstat(text)
    except OSError as error:
        why = (error.strerror or "").lower()
        raise InvalidRequest(f"lstat {os.path.abspath(text)}: {why}") from error
    place = Place(text, exists=True, folder=stat.S_ISDIR(status.st_mode))
    if follow and os.path.islink(text.rstrip("/")):
        return replace(place, path=os.path.realpath(text), rename=os.path.basename(text.rstrip("/")))
    return place


def _find_local_target(text: str) -> Place:
    path = os.path.realpath(text) + ("/." if _is_inside(text) else "/" if text.endswith("/") else "")
    return Place(path, exists=os.path.lexists(path.rstrip("/.") or "/"), folder=os.path.isdir(path))


def pack(source: Path, shown: str) -> Iterator[bytes]:
    """The file or folder *source* as a tar, in which it is called *shown*. Raises SystemFailure."""
    links: dict[tuple[int, int], str] = {}
    gathered = bytearray()
    try:
        for path, name in _walk(os.fspath(source), shown):
            for data in _entry(path, name, links):
                if len(data) >= _GATHER and gathered:
                    yield bytes(gathered)
                    gathered.clear()
                if len(data) >= _GATHER:
                    yield data
                    continue
                gathered += data
                if len(gathered) >= _GATHER:
                    yield bytes(gathered)
                    gathered.clear()
    except OSError as error:
        raise SystemFailure(f"reading {error.filename or source}: {error.strerror}") from error
    yield bytes(gathered) + bytes(2 * tarfile.BLOCKSIZE)


def _walk(path: str, shown: str) -> Iterator[tuple[str, str]]:
    pending = [(path, shown)]
    while pending:
        path, shown = pending.pop()
        yield path, shown
        if stat.S_ISDIR(os.lstat(path).st_mode):
            names = sorted(os.listdir(path), reverse=True)
            pending += [(os.path.join(path, name), f"{shown.rstrip('/')}/{name}") for name in names]


def _entry(path: str, name: str, links: dict[tuple[int, int], str]) -> Iterator[bytes]:
    status = os.lstat(path)
    info = tarfile.TarInfo(name)
    info.mode, info.uid, info.gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    info.mtime = status.st_mtime_ns // 10**9
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        info.type = tarfile.DIRTYPE
    elif status.st_nlink > 1 and links.setdefault((status.st_dev, status.st_ino), name) != name:
        info.type, info.linkname = tarfile.LNKTYPE, links[status.st_dev, status.st_ino]
    elif stat.S_ISLNK(mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif stat.S_ISREG(mode):
        yield from _file(path, info)
        return
    elif stat.S_ISFIFO(mode):
        info.type = tarfile.FIFOTYPE
    else:
        return  # A socket or a device: neither can be had in a container.
    yield _header(info)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _file(path: str, info: tarfile.TarInfo) -> Iterator[bytes]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        info.size = left = os.fstat(fd).st_size
        yield _header(info)
        while left:
            # A file that shrinks meanwhile keeps the size that its header promised.
            data = os.read(fd, min(left, BLOCK)) or bytes(min(left, BLOCK))
            left -= len(data)
            yield data
        yield bytes(-info.size % tarfile.BLOCKSIZE)
    finally:
        os.close(fd)


def unpack(pieces: Iterator[bytes], folder: Path, named: Callable[[str], str]) -> tuple[str, ...]:
    """Unpack a container's tar into *folder*, each name changed by *named*; notices about what was left out."""
    return exports.unpack_tar(pieces, folder, lambda root: _Unpacker(root, named))


class _Unpacker(exports.Unpacker):
    """As for a build's files, but a folder and something else never replace each other."""

    def __init__(self, folder: Path, named: Callable[[str], str]) -> None:
        super().__init__(folder)
        self._named = named

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        member.name = self._named(member.name)
        if member.islnk():
            member.linkname = self._named(member.linkname)
        super().add(tar, member)

    def open_made(self, parent: int, name: str) -> int:
        self._refuse(parent, name, name, folder=True)
        return super().open_made(parent, name)

    def clear(self, parent: int, name: str, member: tarfile.TarInfo) -> None:
        self._refuse(parent, name, member.name, folder=False)
        super().clear(parent, name, member)

    @staticmethod
    def _refuse(parent: int, name: str, brought: str, *, folder: bool) -> None:
        try:
            there: Any = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        is_folder = stat.S_ISDIR(there.st_mode)
        if is_folder and not folder:
            raise InvalidRequest(f'cannot overwrite directory "{name}" with non-directory "{brought}"')
        if not is_folder and folder:
            raise InvalidRequest(f'cannot overwrite non-directory "{name}" with directory "{brought}"')
