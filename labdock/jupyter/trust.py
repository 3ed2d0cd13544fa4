"""Images whose web applications a user has let onto this server's own origin; asked for once for each image.

Kept beside Jupyter's own memory of trusted notebooks, in its data folder, so that a restart does not ask again.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import msgspec

from labdock.client.caller import path as make_path
from labdock.errors import LabdockError
from labdock.jupyter.engine import Link

#: Images that are remembered; the one that was trusted first is forgotten first.
MOST = 1000
#: Containers whose image is known without asking the engine again; it never changes.
KNOWN = 256
FULL_ID = 64


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a container's program comes from: the image's id and the name that it was asked for by."""

    container: str
    image: str
    name: str


class Trust:
    """The file is read again when another server of this user has written it."""

    def __init__(self, file: Path, link: Link) -> None:
        self.file = file
        self._link = link
        self._images: tuple[str, ...] = ()
        self._stamp: tuple[int, int] | None = None
        self._origins: OrderedDict[str, Origin] = OrderedDict()

    async def find(self, container: str) -> Origin:
        """Raises what the engine says (no such container) and EngineUnreachable."""
        known = self._origins.get(container)
        if known is not None:
            return known
        found = await self._link.fetch(make_path("containers", container, "json"))
        config = found.get("Config") or {}
        origin = Origin(str(found.get("Id") or ""), str(found.get("Image") or ""), str(config.get("Image") or ""))
        if not origin.image:
            raise LabdockError(f"the engine does not say which image {container} was made of")
        # A short id or a name may be another container's tomorrow.
        if len(container) == FULL_ID and origin.container == container:
            self._origins[container] = origin
            while len(self._origins) > KNOWN:
                self._origins.popitem(last=False)
        return origin

    def has(self, image: str) -> bool:
        self._read()
        return image in self._images

    def add(self, image: str) -> None:
        self._read()
        if image not in self._images:
            self._write((*self._images, image)[-MOST:])

    def forget(self) -> None:
        """Ask again for every image."""
        self._write(())

    def _read(self) -> None:
        try:
            found = self.file.stat()
        except OSError:
            self._images, self._stamp = (), None
            return
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp == self._stamp:
            return
        # What can't be read trusts nobody.
        self._images = ()
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            self._images = msgspec.json.decode(self.file.read_bytes(), type=tuple[str, ...])[-MOST:]
        self._stamp = stamp

    def _write(self, images: tuple[str, ...]) -> None:
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.file.parent, prefix=".trusted-")
        with os.fdopen(descriptor, "wb") as out:
            out.write(msgspec.json.encode(images))
        os.replace(name, self.file)
        self._read()
