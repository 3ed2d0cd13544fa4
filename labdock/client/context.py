"""Build contexts: a folder as a tar stream, ``.dockerignore`` honoured, guarded against sending a whole home.

The tar is made as it is sent: sorted, owned by 0:0 (as Docker's client sends it), no more than a block in memory.
"""

from __future__ import annotations

import json
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labdock.client.ignore import Matcher, read_patterns
from labdock.errors import InvalidRequest

BLOCK = 1 << 20
MAX_CONTEXT = 500 * 1000 * 1000
#: The name under which a Dockerfile from outside the context travels; constant, so that it changes no cache.
OUTSIDE_DOCKERFILE = ".dockerfile.labdock"
IGNORE_FILE = ".dockerignore"


@dataclass(frozen=True, slots=True)
class Context:
    """What to send: files by their names in the tar, texts that replace or add files, and the Dockerfile's name."""

    folder: Path | None
    names: tuple[str, ...]
    extra: dict[str, bytes]
    dockerfile: str
    size: int

    def __iter__(self) -> Iterator[bytes]:
        return _pack(self)


def from_text(dockerfile: bytes) -> Context:
    """A context that is nothing but a Dockerfile."""
    return Context(None, (), {"Dockerfile": dockerfile}, "Dockerfile", len(dockerfile))


def from_folder(
    folder: Path, *, dockerfile: Path | None = None, text: bytes | None = None, force: bool = False
) -> Context:
    """The context *folder* with its Dockerfile: ``Dockerfile`` in it, *dockerfile* anywhere, or *text*.

    Raises InvalidRequest when there is no such folder or Dockerfile, and unless *force* when the folder is a
    home or the root or holds more than 500 MB after ``.dockerignore``.
    """
    if not folder.is_dir():
        raise InvalidRequest(
            f"unable to prepare context: path {str(folder)!r} not found"
            if not folder.exists()
            else f"unable to prepare context: {str(folder)!r} is no folder",
            hint="name the folder with the files that the Dockerfile copies; . is the current one",
        )
    root = folder.resolve()
    if not force:
        _refuse_whole_worlds(root)
    name, extra = _dockerfile(root, dockerfile, text)
    patterns = _patterns(root, name)
    if name == OUTSIDE_DOCKERFILE:
        ignore_file = root / IGNORE_FILE
        before = ignore_file.read_bytes() if ignore_file.is_file() else IGNORE_FILE.encode()
        extra[IGNORE_FILE] = before + f"\n{name}\n".encode()
    names, size = _choose(root, Matcher(patterns), None if force else MAX_CONTEXT)
    return Context(root, names, extra, name, size)


def from_named(folder: Path, *, force: bool = False) -> Context:
    """A further context (``--build-context NAME=FOLDER``): the folder, its own ``.dockerignore`` honoured.

    Raises InvalidRequest as :func:`from_folder`.
    """
    if not folder.is_dir():
        raise InvalidRequest(f"unable to prepare context: {str(folder)!r} is no folder")
    root = folder.resolve()
    if not force:
        _refuse_whole_worlds(root)
    path = root / IGNORE_FILE
    patterns = read_patterns(path.read_text(errors="replace")) if path.is_file() else []
    names, size = _choose(root, Matcher(patterns), None if force else MAX_CONTEXT)
    return Context(root, names, {}, "", size)


def from_layout(folder: Path, reference: str = "") -> Context:
    """An OCI image layout, whole, its index reduced to the image *reference* (a tag or a digest; "": the only one).

    Raises InvalidRequest when it is no layout or has no such image.
    """
    index_file = folder / "index.json"
    try:
        index = json.loads(index_file.read_bytes())
        manifests = list(index["manifests"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"{folder} is no OCI image layout: {index_file} can't be read ({error})") from error
    if reference:
        manifests = [each for each in manifests if reference in (each.get("digest"), _tag(each))]
    if not manifests or (not reference and len(manifests) > 1):
        known = ", ".join(sorted({_tag(each) or str(each.get("digest")) for each in index["manifests"]})) or "none"
        raise InvalidRequest(
            f"the OCI layout {folder} has no image {reference!r}" if reference else f"{folder}: which image is meant?",
            hint=f"it has: {known}",
        )
    root = folder.resolve()
    names, size = _choose(root, Matcher([]), None)
    return Context(root, names, {"index.json": json.dumps(index | {"manifests": manifests}).encode()}, "", size)


def from_cache(folder: Path) -> Context | None:
    """A cache that ``--cache-to type=local`` wrote; None while there is none in *folder*."""
    if not (folder / "index.json").is_file():
        return None
    root = folder.resolve()
    names, size = _choose(root, Matcher([]), None)
    return Context(root, names, {}, "", size)


def _tag(manifest: dict[str, Any]) -> str:
    return str((manifest.get("annotations") or {}).get("org.opencontainers.image.ref.name", ""))


def _refuse_whole_worlds(root: Path) -> None:
    home = Path.home().resolve()
    if root == home or root in home.parents:
        what = "your home folder" if root == home else "a folder that holds your home"
        raise InvalidRequest(
            f"the build context {root} is {what}: all of it would be sent to the engine",
            hint="use a folder with just the files the Dockerfile copies, or say --force-context if you mean it",
        )


def _dockerfile(root: Path, dockerfile: Path | None, text: bytes | None) -> tuple[str, dict[str, bytes]]:
    if text is not None:
        return OUTSIDE_DOCKERFILE, {OUTSIDE_DOCKERFILE: text}
    # As Docker: -f is looked up from the current folder, but a bare name may also mean one in the context.
    path = root / "Dockerfile" if dockerfile is None else dockerfile
    if dockerfile is not None and not path.exists() and (root / dockerfile).exists():
        path = root / dockerfile
    try:
        found = path.resolve(strict=True)
        if found.is_relative_to(root):
            return found.relative_to(root).as_posix(), {}
        return OUTSIDE_DOCKERFILE, {OUTSIDE_DOCKERFILE: found.read_bytes()}
    except OSError as error:
        raise InvalidRequest(
            f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: {path}: {error.strerror}",
            hint="-f names a Dockerfile with another name or place; -f - reads it from standard input",
        ) from error


def _patterns(root: Path, dockerfile: str) -> list[str]:
    """The folder's patterns, without ever losing the Dockerfile or the .dockerignore on the way to the engine."""
    own = root / f"{dockerfile}{IGNORE_FILE}"
    path = own if own.is_file() else root / IGNORE_FILE
    if not path.is_file():
        return []
    patterns = read_patterns(path.read_text(errors="replace"))
    matcher = Matcher(patterns)
    return patterns + [f"!{name}" for name in (IGNORE_FILE, dockerfile) if matcher.ignores(name)]


def _choose(root: Path, matcher: Matcher, limit: int | None) -> tuple[tuple[str, ...], int]:
    names: list[str] = []
    size = 0
    for name, entry in _walk(root, "", matcher):
        names.append(name)
        information = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(information.st_mode):
            size += information.st_size
        if limit is not None and size > limit:
            raise InvalidRequest(
                f"the build context {root} holds more than {limit // 1_000_000} MB",
                hint=f"leave files out with {IGNORE_FILE} (data/, .git, .venv …), or say --force-context",
            )
    return tuple(names), size


def _walk(root: Path, prefix: str, matcher: Matcher) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(root / prefix) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InvalidRequest(
            f"cannot read {error.filename} for the build context: {error.strerror}",
            hint=f"leave it out with {IGNORE_FILE}",
        ) from error
    for entry in found:
        name = f"{prefix}{entry.name}"
        ignored = matcher.ignores(name)
        folder = entry.is_dir(follow_symlinks=False)
        if not ignored:
            yield name, entry
        if folder and (not ignored or matcher.may_keep_below(name)):
            yield from _walk(root, f"{name}/", matcher)


def _pack(context: Context) -> Iterator[bytes]:
    for name in context.names:
        if name not in context.extra and context.folder is not None:
            yield from _entry(context.folder / name, name)
    for name, data in context.extra.items():
        info = tarfile.TarInfo(name)
        info.size = len(data)
        info.mode = 0o644
        yield _header(info) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _entry(path: Path, name: str) -> Iterator[bytes]:
    try:
        status = path.lstat()
        info = tarfile.TarInfo(name)
        info.mode = stat.S_IMODE(status.st_mode)
        info.mtime = int(status.st_mtime)
        if stat.S_ISDIR(status.st_mode):
            info.type = tarfile.DIRTYPE
        elif stat.S_ISLNK(status.st_mode):
            info.type = tarfile.SYMTYPE
            info.linkname = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            yield from _file(path, info)
            return
        elif stat.S_ISFIFO(status.st_mode):
            info.type = tarfile.FIFOTYPE
        else:
            return  # Sockets and devices can't be copied by a Dockerfile.
        yield _header(info)
    except FileNotFoundError:
        return  # It went away between the walk and now, as temporary files do.
    except OSError as error:
        raise InvalidRequest(
            f"cannot read {path} for the build context: {error.strerror}", hint=f"leave it out with {IGNORE_FILE}"
        ) from error


def _file(path: Path, info: tarfile.TarInfo) -> Iterator[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb", buffering=0) as source:
        info.size = left = os.fstat(descriptor).st_size
        yield _header(info)
        while left:
            data = source.read(min(left, BLOCK)) or b""
            # A file that shrinks meanwhile keeps the size its header promised.
            data = data or bytes(min(left, BLOCK))
            left -= len(data)
            yield data
        yield bytes(-info.size % tarfile.BLOCKSIZE)
