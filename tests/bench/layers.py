"""The image whose travels are measured: 8,000 small files, then 128 MiB that don't compress, then 256 MiB that do.

The same bytes on every machine and in every run.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SMALL_FILES = 8_000
DENSE_MIB = 128
LOOSE_MIB = 256
_MIB = 1 << 20
_FILES_PER_FOLDER = 80
_LINES = 2_000


@dataclass(frozen=True, slots=True)
class BigImage:
    """Where its ``docker save`` archive is (plain layers), and its id."""

    archive: Path
    image_id: str


def write_big_archive(target: Path, name: str) -> BigImage:
    """Write the image as an archive to *target*, named *name* in it."""
    diff_ids, parts = [], []
    for number, make in enumerate((_small, _dense, _loose)):
        part = target.with_suffix(f".layer{number}")
        with part.open("wb") as file:
            make(file)
        with part.open("rb") as file:
            diff_ids.append(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
        parts.append(part)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Cmd": ["none"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": f"layer {n}"} for n in range(len(parts))],
        }
    ).encode()
    image_id = hashlib.sha256(config).hexdigest()
    entry = {"Config": f"{image_id}.json", "RepoTags": [name], "Layers": [f"{n}/layer.tar" for n in range(len(parts))]}
    with tarfile.open(target, "w") as archive:
        for number, part in enumerate(parts):
            archive.add(part, f"{number}/layer.tar")
            part.unlink()
        for path, data in ((f"{image_id}.json", config), ("manifest.json", json.dumps([entry]).encode())):
            _add(archive, path, data)
    return BigImage(target, f"sha256:{image_id}")


def _small(out: io.BufferedWriter) -> None:
    source = random.Random(1)
    text = b"".join(_lines(source, 4_000))
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(SMALL_FILES):
            if number % _FILES_PER_FOLDER == 0:
                _add_folder(tar, f"small/{number // _FILES_PER_FOLDER}")
            size = source.randint(100, 8_000)
            start = source.randrange(len(text) - size)
            _add(tar, f"small/{number // _FILES_PER_FOLDER}/file{number}.py", text[start : start + size])


def _dense(out: io.BufferedWriter) -> None:
    source = random.Random(2)
    with tarfile.open(fileobj=out, mode="w") as tar:
        _add_folder(tar, "dense")
        for number in range(4):
            _add(tar, f"dense/{number}.bin", source.randbytes(DENSE_MIB * _MIB // 4))


def _loose(out: io.BufferedWriter) -> None:
    source = random.Random(3)
    with tarfile.open(fileobj=out, mode="w") as tar:
        _add_folder(tar, "loose")
        for number in range(4):
            size = LOOSE_MIB * _MIB // 4
            pool = list(_lines(source, _LINES))
            mean = sum(map(len, pool)) // len(pool)
            data = b"".join(source.choices(pool, k=size // mean * 11 // 10))
            _add(tar, f"loose/{number}.log", data[:size])


def _lines(source: random.Random, count: int) -> Iterator[bytes]:
    words = ["".join(source.choices("etaoinshrdlu", k=source.randint(2, 9))) for _ in range(400)]
    for _ in range(count):
        yield (f"{source.randrange(10**9)} " + " ".join(source.choices(words, k=10)) + "\n").encode()


def _add_folder(tar: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, 1_600_000_000
    tar.addfile(entry)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), 0o644, 1_600_000_000
    tar.addfile(entry, io.BytesIO(data))
