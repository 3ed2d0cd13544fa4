"""Volumes as tar streams: ``labdock volume export`` and ``import``. An import is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from labdock.engine.conduits import read_in_thread, write_in_thread
from labdock.engine.files import mapped
from labdock.engine.volumes import Volumes
from labdock.errors import Corrupt, InvalidRequest, NoSuchVolume
from labdock.schema.ids import new_id
from labdock.store.layers.archive import write_archive
from labdock.store.layers.compression import Plain
from labdock.store.layers.extract import extract
from labdock.store.layers.headers import BLOCK
from labdock.store.layers.reader import Source
from labdock.store.layers.rooted import FLAGS

Wire = dict[str, Any]


class _Ended:
    """A tar that is read, which must end as tars end: a stream that was cut off between two files does not."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._tail = b""

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self._tail = (self._tail + data)[-BLOCK:]
        return data

    def check(self) -> None:
        """Raises Corrupt."""
        while self.read(1 << 20):
            pass
        if len(self._tail) < BLOCK or self._tail.strip(b"\0"):
            raise Corrupt("the tar has no end: it was cut off")


class VolumeTransfers:
    """The use cases."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes

    async def export(self, name: str) -> AsyncIterator[bytes]:
        """The volume *name* as a plain tar, "./" first. Raises NoSuchVolume before the first piece."""
        self._volumes.get(name)
        return self._export(name)

    async def _export(self, name: str) -> AsyncIterator[bytes]:
        holder = new_id()
        with self._volumes.hold([name], "export"):
            folder = os.open(await self._volumes.acquire(name, holder), FLAGS)
            try:
                async with aclosing(write_in_thread(lambda out: write_archive(folder, b".", b".", out))) as work:
                    async for piece in work:
                        yield piece
            finally:
                os.close(folder)
                await self._volumes.release(holder)

    async def take(self, name: str, pieces: AsyncIterator[bytes]) -> Wire:
        """Make the volume *name* of a tar (compressed or not), or fill it when it is there and empty.

        Raises Conflict (it is not empty), InvalidRequest (no tar, or a hostile one): then nothing has changed.
        """
        known = self._knows(name)
        if not known:
            await self._volumes.create(name, "", {}, {})

        def work(part: Path, source: Source) -> None:
            root = os.open(part, FLAGS)
            try:
                whole = _Ended(Plain(source))
                extract(whole, root, b"", owner=mapped, top=True)
                whole.check()
            except Corrupt as error:
                raise InvalidRequest(f"importing volume {name}: {error.message}") from error
            finally:
                os.close(root)

        async def bring(part: Path) -> None:
            await read_in_thread(pieces, lambda source: work(part, source))

        try:
            await self._volumes.fill_by(name, bring)
        except BaseException:
            if not known:
                await self._volumes.remove(name, force=True)
            raise
        return await self._volumes.inspect(name)

    def _knows(self, name: str) -> bool:
        try:
            self._volumes.get(name)
        except NoSuchVolume:
            return False
        return True
