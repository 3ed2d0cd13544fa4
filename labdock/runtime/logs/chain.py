"""The files of one log, oldest first, read as one: ``log.2``, ``log.1``, ``log``, of which only the last one grows.

A log is rotated by renaming (engine/rotation.py): each file keeps its inode, which is how a reader that holds one
finds the next, however many rotations happened meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

#: In the middle of a rotation one number may be missing, not two.
_GAP = 2


class Chain:
    """What a reader of a log needs of a file, over all of its files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: list[BinaryIO] = []
        self._at = 0

    @classmethod
    def open(cls, path: Path) -> Chain | None:
        """All that is there now; None when nothing is."""
        chain = cls(path)
        return chain if chain.grow() else None

    def grow(self) -> bool:
        """Take in the files that are newer than those here; whether there were any. Read on after it."""
        last = os.fstat(self._files[-1].fileno()).st_ino if self._files else 0
        newer: list[BinaryIO] = []
        seen: set[int] = set()
        for file in _open_files(self._path):
            inode = os.fstat(file.fileno()).st_ino
            if inode == last:
                file.close()
                break
            if inode in seen:
                # Renamed while we looked.
                file.close()
                continue
            seen.add(inode)
            newer.append(file)
        self._files += reversed(newer)
        return bool(newer)

    def read(self, size: int) -> bytes:
        """The next bytes; b"" when there are no more now."""
        while True:
            if data := self._files[self._at].read(size):
                return data
            # A file that has a newer one is not written to any more, and it was read to its end after that was known.
            if self._at == len(self._files) - 1:
                return b""
            self._at += 1

    def end(self) -> int:
        """Go to the end; how many bytes there are."""
        sizes = self._sizes()
        self.seek(sum(sizes))
        return sum(sizes)

    def seek(self, position: int) -> None:
        for number, size in enumerate(self._sizes()):
            if position < size or number == len(self._files) - 1:
                self._at = number
                self._files[number].seek(position)
                for later in self._files[number + 1 :]:
                    later.seek(0)
                return
            position -= size

    def _sizes(self) -> list[int]:
        return [os.fstat(file.fileno()).st_size for file in self._files]

    def close(self) -> None:
        for file in self._files:
            file.close()


def numbered(path: Path, number: int) -> Path:
    """The file of the log at *path* that was rotated *number* times."""
    return path.with_name(f"{path.name}.{number}") if number else path


def _open_files(path: Path) -> Iterator[BinaryIO]:
    """The newest first."""
    number, missing = 0, 0
    while missing < _GAP:
        try:
            yield open(numbered(path, number), "rb", buffering=0)  # noqa: SIM115
            missing = 0
        except FileNotFoundError:
            missing += 1
        number += 1
