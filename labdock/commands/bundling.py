"""``images bundle``: chosen images as an OCI image layout, a folder or a tar, for machines without a network.

The folder is made by hand from the engine's ``save`` archive, which is such a layout in a tar. Blobs are checked
against their digests on the way, and ``index.json`` comes last: a bundle that is broken off lists nothing new.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click
import msgspec

from labdock.commands import units
from labdock.commands.results import Result, Text
from labdock.commands.tree import command
from labdock.errors import Corrupt, InvalidRequest, SystemFailure

if TYPE_CHECKING:
    from labdock.commands.face import Face

BLOCK = 1 << 20
MOST_INDEX = 4 << 20
#: How index.json names an image in full (containerd) and by its tag (image-spec, annotations).
FULL_NAME, REF_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'

Wire = dict[str, Any]


@command("bundle")
@click.option("-o", "--output", required=True, help="A folder (images are added to it), or a file that ends in .tar")
@click.argument("images", nargs=-1, required=True)
@click.pass_obj
def bundle(face: Face, /, images: tuple[str, ...], output: str) -> Result:
    """Write images to an OCI layout: a folder or a .tar that engines find images in (LABDOCK_BUNDLES)."""
    chunks = face.client.images.save(images)
    if output.endswith(".tar"):
        from labdock.commands.images import write_file

        write_file(output, chunks)
        return Text(f"{output}: {units.size(os.path.getsize(output), 3)}")
    return Text(f"{output}: {units.size(unpack(chunks, Path(output).expanduser()), 3)}")


def unpack(chunks: Iterable[bytes], folder: Path) -> int:
    """The layout in the tar *chunks*, added to the one in *folder* (made when it is not there); its blobs' bytes.

    Raises Corrupt for a blob that is not what its name says, InvalidRequest for a folder of something else.
    """
    _check(folder)
    index: Wire | None = None
    size = 0
    try:
        (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=cast("IO[bytes]", Pipe(chunks)), mode="r|", bufsize=BLOCK) as archive:
            for member in archive:
                source = archive.extractfile(member) if member.isreg() else None
                if source is None:
                    continue
                if member.name == "index.json":
                    index = _index(source.read(MOST_INDEX))
                elif member.name.startswith("blobs/sha256/"):
                    size += _keep(source, folder, member.name.removeprefix("blobs/sha256/"))
        if index is None:
            raise Corrupt("the engine's archive has no index.json")
        known = folder / "index.json"
        if known.exists():
            index = join(_index(known.read_bytes()), index)
        _replace(folder / "oci-layout", LAYOUT)
        _replace(known, msgspec.json.encode(index))
    except tarfile.TarError as error:
        raise Corrupt(f"the engine's archive can't be read: {error}") from error
    except OSError as error:
        raise SystemFailure(f"cannot write the bundle {folder}: {error.strerror or error}") from error
    return size


def _check(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InvalidRequest(f"{folder} is a file", hint="a bundle is a folder, or a file whose name ends in .tar")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "oci-layout").exists():
        raise InvalidRequest(f"{folder} has something else in it", hint="name a new folder, or one with a bundle")


def _index(data: bytes) -> Wire:
    try:
        return msgspec.json.decode(data, type=Wire)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"an index.json does not parse: {error}") from error


def join(old: Wire, new: Wire) -> Wire:
    """*old* with the images of *new*: a name means its newest image."""
    entries = list(new.get("manifests") or ())
    taken = {name for entry in entries if (name := _name(entry))}
    digests = {entry.get("digest") for entry in entries}
    kept = [
        entry
        for entry in old.get("manifests") or ()
        if (_name(entry) not in taken if _name(entry) else entry.get("digest") not in digests)
    ]
    return {**new, "manifests": [*kept, *entries]}


def _name(entry: Wire) -> str:
    known = entry.get("annotations") or {}
    return str(known.get(FULL_NAME) or known.get(REF_NAME) or "")


def _keep(source: IO[bytes], folder: Path, digest: str) -> int:
    """Write one blob under its name when it is what the name says; its size."""
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise Corrupt(f"the engine's archive has a blob with an odd name: {digest[:80]!r}")
    target = folder / "blobs/sha256" / digest
    if target.exists():
        return target.stat().st_size
    partial = target.with_suffix(f".part{os.getpid()}")
    found, size = hashlib.sha256(), 0
    try:
        with partial.open("xb") as out:
            while data := source.read(BLOCK):
                found.update(data)
                size += out.write(data)
        if found.hexdigest() != digest:
            raise Corrupt(f"the blob {digest[:12]} came with other bytes than its digest says")
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    return size


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.part{os.getpid()}")
    partial.write_bytes(data)
    partial.rename(path)


class Pipe:
    """Chunks as a file to read from, for tarfile's stream mode."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (more := next(self._chunks, b"")):
            self._rest += more
        data, self._rest = self._rest[:size], self._rest[size:]
        return data
