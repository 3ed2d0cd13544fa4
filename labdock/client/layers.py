"""What each layer of an image adds, and what is wasted: read from the image's archive, entry by entry.

A byte is wasted when a later layer replaces or removes the file it is in: it is carried about and never seen.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from labdock.errors import Corrupt

#: Files that are told by name for each layer, the largest first; and entries that are followed at most.
SHOWN_FILES = 20
MOST_ENTRIES = 2_000_000
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"


@dataclass(slots=True)
class LayerReport:
    """One layer: bytes of its files, how many, the largest; ``wasted`` bytes of it that later layers hide."""

    size: int = 0
    files: int = 0
    removed: int = 0
    wasted: int = 0
    largest: list[tuple[str, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Tree:
    """Which layer each visible file is from."""

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    folders: dict[str, set[str]] = field(default_factory=dict)


def explore(archive: Iterator[bytes]) -> list[LayerReport]:
    """A report for each layer of the only image in *archive* (``images.save``), the lowest first. Raises Corrupt."""
    layers: dict[str, list[tuple[str, int]]] = {}
    order: list[str] | None = None
    count = 0
    try:
        with tarfile.open(fileobj=cast("BinaryIO", _Reader(archive)), mode="r|") as outer:
            for member in outer:
                body = outer.extractfile(member) if member.isreg() else None
                if body is None:
                    continue
                if member.name == "manifest.json":
                    order = list(json.loads(body.read())[0]["Layers"])
                    continue
                entries = _entries(cast("BinaryIO", body), MOST_ENTRIES - count)
                if entries is not None:
                    layers[member.name] = entries
                    count += len(entries)
        if order is None:
            raise Corrupt("the image's archive has no manifest")
        return _account([layers[name] for name in order])
    except (tarfile.TarError, ValueError, LookupError, TypeError) as error:
        raise Corrupt(f"the image's archive can't be read: {error}") from error


def _entries(body: BinaryIO, room: int) -> list[tuple[str, int]] | None:
    """(path, bytes) of a layer's entries (-1: a folder); None for what is no tar (a config)."""
    found: list[tuple[str, int]] = []
    try:
        with tarfile.open(fileobj=body, mode="r|*") as layer:
            for entry in layer:
                found.append((_clean(entry.name), -1 if entry.isdir() else entry.size if entry.isreg() else 0))
                if len(found) > room:
                    raise Corrupt(f"the image has more than {MOST_ENTRIES} files")
    except tarfile.ReadError:
        return None
    return found


def _clean(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def _account(layers: list[list[tuple[str, int]]]) -> list[LayerReport]:
    tree, reports = _Tree(), [LayerReport() for _ in layers]
    for number, entries in enumerate(layers):
        report = reports[number]
        # What is taken away is of the layers below, wherever its mark stands.
        for path, size in sorted(entries, key=lambda each: WHITEOUT not in each[0]):
            folder, _, name = path.rpartition("/")
            if name == OPAQUE:
                for below in tuple(tree.folders.get(folder, ())):
                    _hide(tree, reports, f"{folder}/{below}" if folder else below, before=number)
            elif name.startswith(WHITEOUT):
                report.removed += 1
                hidden = name.removeprefix(WHITEOUT)
                _hide(tree, reports, f"{folder}/{hidden}" if folder else hidden, before=number)
            elif size >= 0:
                report.size += size
                report.files += 1
                if size:
                    report.largest.append((path, size))
                _hide(tree, reports, path, before=number)
                _add(tree, path, number, size)
        report.largest = sorted(report.largest, key=lambda each: -each[1])[:SHOWN_FILES]
    return reports


def _add(tree: _Tree, path: str, number: int, size: int) -> None:
    tree.files[path] = number, size
    while path:
        path, _, name = path.rpartition("/")
        known = tree.folders.setdefault(path, set())
        if name in known:
            return
        known.add(name)


def _hide(tree: _Tree, reports: list[LayerReport], path: str, *, before: int) -> None:
    """*path*, and all below it, of layers before number *before* are seen no more."""
    waiting = [path]
    while waiting:
        each = waiting.pop()
        known = tree.files.get(each)
        if known is not None and known[0] < before:
            del tree.files[each]
            reports[known[0]].wasted += known[1]
        waiting += [f"{each}/{name}" for name in tree.folders.pop(each, ())]


class _Reader(io.RawIOBase):
    """Chunks as a file that is read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, length = [self._rest], len(self._rest)
        while size < 0 or length < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            parts.append(chunk)
            length += len(chunk)
        data = b"".join(parts)
        self._rest = data[size:] if size >= 0 else b""
        return data[:size] if size >= 0 else data
