"""What a build hands over: a tar saved as a file, or unpacked into a folder of the user's own.

The tar holds an image's files, so it is hostile: nothing is written through a symbolic link, and nothing outside
the folder. Owners are the user's own, set-id bits are dropped, devices are left out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labdock.errors import InvalidRequest, SystemFailure

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
BLOCK = 1 << 20


def save_tar(pieces: Iterable[bytes], target: Path) -> None:
    """Write *pieces* to *target*: all of it or nothing. Raises SystemFailure."""
    staged = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with staged.open("xb") as out:
            for piece in pieces:
                out.write(piece)
        staged.replace(target)
    except OSError as error:
        raise SystemFailure(f"writing {target}: {error.strerror or error}") from error
    finally:
        staged.unlink(missing_ok=True)


def unpack_tar(
    pieces: Iterable[bytes], folder: Path, begin: Callable[[Path], Unpacker] | None = None
) -> tuple[str, ...]:
    """Unpack the tar *pieces* into *folder*, over what is there; notices about what was left out.

    Raises InvalidRequest where something in the folder is in the way or the tar is broken, SystemFailure.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream: Any = _Stream(iter(pieces))
        with tarfile.open(fileobj=stream, mode="r|") as tar, (begin or Unpacker)(folder) as unpacker:
            for member in tar:
                unpacker.add(tar, member)
            unpacker.finish()
            return tuple(unpacker.notices)
    except tarfile.TarError as error:
        raise InvalidRequest(f"unpacking to {folder}: the engine's tar is broken: {error}") from error
    except OSError as error:
        where = f" ({os.fsdecode(error.filename)})" if isinstance(error.filename, str | bytes) else ""
        raise SystemFailure(f"unpacking to {folder}: {error.strerror or error}{where}") from error


class _Stream:
    """Pieces as tarfile reads them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        parts, left = [], size
        while left:
            if not self._rest:
                self._rest = next(self._pieces, b"")
                if not self._rest:
                    break
            part = self._rest if left < 0 else self._rest[:left]
            self._rest = self._rest[len(part) :]
            parts.append(part)
            left -= len(part) if left > 0 else 0
        return b"".join(parts)


class Unpacker:
    """One folder being filled, by descriptors: no name is looked up through a link."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._above: tuple[str, ...] = ()
        self._open = os.dup(self._root)
        self._later: list[tuple[tuple[str, ...], int, float]] = []
        self.notices: list[str] = []

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = _split(member.name)
        if not path:
            return
        *above, name = path
        parent = self._enter(tuple(above))
        if member.isdir():
            os.close(self.open_made(parent, name))
            self._later.append((path, member.mode & 0o777, member.mtime))
        elif member.isreg():
            self.clear(parent, name, member)
            self._write(tar, member, parent, name)
        elif member.issym():
            self.clear(parent, name, member)
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.islnk():
            self.clear(parent, name, member)
            self._link(_split(member.linkname), parent, name)
        else:
            self.notices.append(f"{member.name}: a device, pipe or socket is left out")

    def _enter(self, above: tuple[str, ...]) -> int:
        if above != self._above:
            opened = self._walk(above)
            os.close(self._open)
            self._open, self._above = opened, above
        return self._open

    def _walk(self, path: tuple[str, ...]) -> int:
        """The folder *path* as a descriptor, made where it is not one."""
        here = os.dup(self._root)
        for name in path:
            try:
                inner = self.open_made(here, name)
            finally:
                os.close(here)
            here = inner
        return here

    def open_made(self, parent: int, name: str) -> int:
        """See :func:`_open_made`."""
        return _open_made(parent, name)

    def clear(self, parent: int, name: str, member: tarfile.TarInfo) -> None:
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError) as error:
            raise InvalidRequest(
                f"unpacking to {self._folder}: {member.name} is a folder there and a file in the image",
                hint="remove it, or export to an empty folder",
            ) from error

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
        source = tar.extractfile(member)
        assert source is not None
        try:
            with open(os.open(name, _FILE, 0o600, dir_fd=parent), "wb") as out:
                shutil.copyfileobj(source, out, BLOCK)
                out.flush()
                os.fchmod(out.fileno(), member.mode & 0o777)
                os.utime(out.fileno(), (member.mtime, member.mtime))
        except BaseException:
            # Half a file, of an interrupted copy, would look like a whole one.
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=parent)
            raise

    def _link(self, target: tuple[str, ...], parent: int, name: str) -> None:
        above = self._walk(target[:-1])
        try:
            os.link(target[-1], name, src_dir_fd=above, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(above)

    def finish(self) -> None:
        """Folders get mode and time last: filling them needs the one and changes the other."""
        for path, mode, mtime in reversed(self._later):
            folder = self._walk(path)
            try:
                os.fchmod(folder, mode)
                os.utime(folder, (mtime, mtime))
            finally:
                os.close(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._open)
        os.close(self._root)


def _split(name: str) -> tuple[str, ...]:
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise InvalidRequest(f"the engine's tar has a path that leads out of the folder: {name!r}")
    return parts


def _open_made(parent: int, name: str) -> int:
    """The folder *name* in *parent*, made when there is none; a link or a file there is replaced."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except NotADirectoryError:
        # Linux answers so for a link as well (O_DIRECTORY with O_NOFOLLOW, man 2 open).
        os.unlink(name, dir_fd=parent)
        os.mkdir(name, 0o755, dir_fd=parent)
        return os.open(name, _FOLDER, dir_fd=parent)
