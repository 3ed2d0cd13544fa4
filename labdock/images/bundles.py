"""Offline bundles: OCI image layouts, folders or plain tars of them, that are looked into before a network is asked.

Named by ``LABDOCK_BUNDLES``, a list of paths like PATH's. A path is a layout, a tar, or a folder of such. An image is
found by the full name that its descriptor in ``index.json`` is annotated with.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from labdock.errors import Corrupt, InvalidRequest, LabdockError, NotFound
from labdock.images import references
from labdock.images.catalog import FULL_NAME
from labdock.images.manifests import MOST_JSON, digest_of, read_index
from labdock.images.references import Reference
from labdock.schema import oci
from labdock.schema.ids import is_digest
from labdock.schema.oci import Descriptor

log = logging.getLogger(__name__)

VARIABLE = "LABDOCK_BUNDLES"
_PIECE = 1 << 20
_MOST_FILES = 100_000


def read_paths(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The absolute paths in ``LABDOCK_BUNDLES``."""
    listed = environment.get(VARIABLE, "").split(os.pathsep)
    return tuple(Path(text).expanduser() for text in listed if text and Path(text).expanduser().is_absolute())


class Layout:
    """Files of an OCI image layout by their path in it. Blocking."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, path: str, offset: int = 0) -> tuple[IO[bytes], int]:
        """The file, positioned at *offset*, and the bytes that follow there. Raises FileNotFoundError."""
        file = open(self.root / path, "rb", buffering=0)  # noqa: SIM115
        size = os.fstat(file.fileno()).st_size
        file.seek(offset)
        return file, max(0, size - offset)


class TarLayout(Layout):
    """As Layout, in a plain tar: where each file is was found by reading its headers once."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        import tarfile

        self._places: dict[str, tuple[int, int]] = {}
        try:
            with tarfile.open(root, "r:") as tar:
                for member in tar:
                    if member.isreg():
                        self._places[os.path.normpath(member.name)] = (member.offset_data, member.size)
                    if len(self._places) > _MOST_FILES:
                        raise Corrupt(f"{root} has more than {_MOST_FILES} files")
        except (tarfile.TarError, EOFError) as error:
            raise Corrupt(f"{root} is no plain tar: {error}") from error

    def open(self, path: str, offset: int = 0) -> tuple[IO[bytes], int]:
        if path not in self._places:
            raise FileNotFoundError(path)
        start, size = self._places[path]
        file = open(self.root, "rb", buffering=0)  # noqa: SIM115
        file.seek(start + offset)
        return file, max(0, size - offset)


@dataclass(slots=True)
class Bundles:
    """The bundles under *paths*. What they hold is looked at anew each time; tars are indexed once per change."""

    paths: tuple[Path, ...]
    _tars: dict[Path, tuple[tuple[int, int], TarLayout]] = field(default_factory=dict)

    async def find(self, wanted: Reference) -> BundleSource | None:
        """Where *wanted* is to be had, by its tag or digest; None when no bundle has it."""
        return await asyncio.to_thread(self._find, wanted) if self.paths else None

    def _find(self, wanted: Reference) -> BundleSource | None:
        for layout in self._layouts():
            try:
                found = _entries(layout)
            except (OSError, LabdockError) as error:
                log.warning("the bundle %s is passed over: %s", layout.root, error)
                continue
            for descriptor, name in found:
                if name is not None and _means(descriptor, name, wanted):
                    return BundleSource(layout, wanted, descriptor)
        return None

    def _layouts(self) -> Iterator[Layout]:
        for path in self.paths:
            try:
                inside = sorted(path.iterdir()) if path.is_dir() and not (path / "index.json").exists() else [path]
            except OSError as error:
                log.warning("the bundles in %s are passed over: %s", path, error)
                continue
            for entry in inside:
                try:
                    if (entry / "index.json").is_file():
                        yield Layout(entry)
                    elif entry.is_file() and entry.suffix in (".tar", ".oci"):
                        yield self._open_tar(entry)
                except (OSError, LabdockError) as error:
                    log.warning("the bundle %s is passed over: %s", entry, error)

    def _open_tar(self, path: Path) -> TarLayout:
        found = path.stat()
        stamp = (found.st_mtime_ns, found.st_size)
        known = self._tars.get(path)
        if known is None or known[0] != stamp:
            known = self._tars[path] = (stamp, TarLayout(path))
        return known[1]


def _entries(layout: Layout) -> list[tuple[Descriptor, Reference | None]]:
    index = read_index(_read(layout, "index.json"))
    return [(descriptor, _name(descriptor)) for descriptor in index.manifests]


def _name(descriptor: Descriptor) -> Reference | None:
    text = descriptor.annotations.get(FULL_NAME) or descriptor.annotations.get(oci.REF_NAME, "")
    if ":" not in text and "/" not in text:
        return None
    try:
        return references.parse(text)
    except InvalidRequest:
        return None


def _means(descriptor: Descriptor, name: Reference, wanted: Reference) -> bool:
    if name.name != wanted.name:
        return False
    return descriptor.digest == wanted.digest if wanted.digest else name.tag == wanted.tag


def _read(layout: Layout, path: str) -> bytes:
    file, size = layout.open(path)
    with file:
        if size > MOST_JSON:
            raise Corrupt(f"{layout.root}: {path} has {size} bytes; at most {MOST_JSON} are taken")
        data = bytearray()
        while len(data) < size and (piece := file.read(size - len(data))):
            data += piece
    return bytes(data)


class BundleSource:
    """A :class:`~labdock.images.sources.Source`: the image that *descriptor* is in *layout*, under one name."""

    def __init__(self, layout: Layout, wanted: Reference, descriptor: Descriptor) -> None:
        self._layout = layout
        self._wanted = wanted
        self._descriptor = descriptor

    @property
    def place(self) -> Path:
        return self._layout.root

    async def manifest(self, name: str) -> tuple[bytes, str]:
        digest = self._descriptor.digest if ":" not in name else name
        data = await asyncio.to_thread(self._read_blob, digest)
        if digest_of(data) != digest:
            raise Corrupt(f"the bundle {self.place} holds damaged bytes as {digest}")
        return data, self._descriptor.media_type if digest == self._descriptor.digest else ""

    def _read_blob(self, digest: str) -> bytes:
        try:
            return _read(self._layout, _path(digest))
        except FileNotFoundError as error:
            raise NotFound(f"the bundle {self.place} lacks the blob {digest} of {self._wanted.familiar}") from error

    async def blob(self, descriptor: Descriptor, offset: int) -> AsyncIterator[bytes]:
        try:
            file, left = await asyncio.to_thread(self._layout.open, _path(descriptor.digest), offset)
        except FileNotFoundError as error:
            raise NotFound(
                f"the bundle {self.place} lacks the blob {descriptor.digest} of {self._wanted.familiar}"
            ) from error
        with file:
            while left and (piece := await asyncio.to_thread(file.read, min(left, _PIECE))):
                left -= len(piece)
                yield piece

    def reject(self, descriptor: Descriptor) -> None:
        log.warning("the bundle %s holds damaged bytes as %s", self.place, descriptor.digest)


def _path(digest: str) -> str:
    if not is_digest(digest):
        raise Corrupt(f"a bundle names the blob {digest[:100]!r}")
    return f"blobs/{digest.replace(':', '/', 1)}"
