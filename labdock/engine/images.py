"""Images: what the API asks of them, over the images room."""

from __future__ import annotations

import asyncio
import builtins
import fnmatch
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from labdock.build import BaseImage
from labdock.engine.conduits import read_in_thread, write_in_thread
from labdock.engine.events import Events
from labdock.engine.filters import has_labels
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import ALIVE
from labdock.engine.views import read_time
from labdock.errors import Conflict, InvalidRequest, LabdockError, NoSuchImage, NotFound
from labdock.images import archive, bundled, references
from labdock.images.bootstrap import Bootstrap
from labdock.images.image import Image
from labdock.images.store import Images
from labdock.schema.ids import is_hex, short_id

log = logging.getLogger("labdock.engine")

Wire = dict[str, Any]
OnLine = Callable[[Wire], None]
Filters = dict[str, list[str]]

_FILTERS = frozenset({"dangling", "label", "label!", "before", "since", "until", "reference"})


class ImageService:
    """The image use cases. A *ref* is a name, an id or an unambiguous id prefix."""

    def __init__(
        self, images: Images, ledger: Ledger, events: Events, bootstrap: Bootstrap, busybox: str | None, scratch: Path
    ) -> None:
        self._images = images
        self._ledger = ledger
        self._events = events
        self._bootstrap = bootstrap
        self._busybox = busybox
        self._scratch = scratch
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)

    def count(self) -> int:
        return len(self._images.list())

    def layers_size(self) -> int:
        """Bytes of all layer blobs, each counted once."""
        return sum({layer.digest: layer.size for image in self._images.list() for layer in image.layers}.values())

    # -- looking ----------------------------------------------------------------------------------

    def list(self, all: bool, filters: Filters, digests: bool) -> builtins.list[Wire]:
        """Newest first."""
        for name in filters:
            if name not in _FILTERS:
                raise InvalidRequest(f"invalid filter '{name}'")
        patterns = filters.get("reference")
        return [self._summarise(image, patterns) for image in self._images.list() if self._passes(image, filters)]

    def _passes(self, image: Image, filters: Filters) -> bool:
        if (wanted := filters.get("dangling")) and (not image.names) != (wanted[0].lower() in ("1", "true")):
            return False
        if not has_labels(image.config.config.labels, filters):
            return False
        if (wanted := filters.get("reference")) and not any(
            _matches(name, pattern) for name in image.names for pattern in wanted
        ):
            return False
        if (wanted := filters.get("before")) and image.config.created >= self._images.get(wanted[0]).config.created:
            return False
        return not (
            (wanted := filters.get("since")) and image.config.created <= self._images.get(wanted[0]).config.created
        )

    def _users(self, image: Image) -> builtins.list[str]:
        return [record.id for record in self._ledger if record.image_id == image.id]

    def _summarise(self, image: Image, patterns: builtins.list[str] | None) -> Wire:
        """*patterns*: only the names that fit one of them are told (``docker images NAME``)."""
        names = [n for n in image.names if not patterns or any(_matches(n, pattern) for pattern in patterns)]
        return {
            "Id": image.id,
            "ParentId": "",
            "RepoTags": [name.familiar for name in names],
            "RepoDigests": [],
            "Created": read_time(image.config.created) // 10**9,
            "Size": image.size,
            "SharedSize": -1,
            "VirtualSize": image.size,
            "Labels": dict(image.config.config.labels) or None,
            "Containers": len(self._users(image)),
        }

    def inspect(self, ref: str) -> Wire:
        image = self._images.get(ref)
        config = image.config
        shown = {"Env": None, "Cmd": None, "Entrypoint": None, "Labels": None, "WorkingDir": "", "User": ""}
        return {
            "Id": image.id,
            "RepoTags": [name.familiar for name in image.names],
            "RepoDigests": [],
            "Parent": "",
            "Comment": "",
            "Created": config.created,
            "DockerVersion": "",
            "Author": config.author,
            "Config": {**shown, **msgspec.to_builtins(config.config)},
            "Architecture": config.architecture,
            "Variant": config.variant,
            "Os": config.os,
            "Size": image.size,
            "VirtualSize": image.size,
            "GraphDriver": {"Name": self._images.snapshotter.name, "Data": None},
            "RootFS": {"Type": "layers", "Layers": list(config.rootfs.diff_ids)},
            "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
            "Descriptor": msgspec.to_builtins(image.manifest),
        }

    def history(self, ref: str) -> builtins.list[Wire]:
        return [
            {
                "Id": entry.id or "<missing>",
                "Created": read_time(entry.created) // 10**9,
                "CreatedBy": entry.created_by,
                "Tags": list(entry.names) or None,
                "Size": entry.size,
                "Comment": entry.comment,
            }
            for entry in self._images.history(ref)
        ]

    # -- changing ---------------------------------------------------------------------------------

    async def tag(self, ref: str, repo: str, tag: str) -> None:
        target = str(references.join(repo, tag))
        image = self._images.get(ref)
        name = self._images.tag(ref, target)
        self._events.emit("image", "tag", image.id, {"name": name.familiar})

    def _in_use(self) -> dict[str, builtins.list[str]]:
        """Image id → its containers, the running ones first."""
        found: dict[str, builtins.list[str]] = {}
        for record in sorted(self._ledger, key=lambda record: record.state.status not in ALIVE):
            found.setdefault(record.image_id, []).append(record.id)
        return found

    async def remove(self, ref: str, force: bool, no_prune: bool) -> builtins.list[Wire]:
        """Untag, and delete what no name holds. Conflict while a container stands on it."""
        image = self._images.get(ref)
        running = [r.id for r in self._ledger if r.image_id == image.id and r.state.status in ALIVE]
        if running and (len(image.names) < 2 or is_hex(ref.removeprefix("sha256:"))):
            raise Conflict(
                f"conflict: unable to delete {short_id(image.id)} (cannot be forced) - "
                f"image is being used by running container {short_id(running[0])}",
                hint=f"docker rm -f {short_id(running[0])}",
            )
        done = await asyncio.to_thread(self._images.remove, ref, force=force, in_use=self._in_use())
        return self._tell_removed(done)

    def _tell_removed(self, actions: Iterable[tuple[str, str]]) -> builtins.list[Wire]:
        shown: builtins.list[Wire] = []
        for kind, text in actions:
            self._events.emit("image", "untag" if kind == "Untagged" else "delete", text, {"name": text})
            shown.append({kind: text})
        return shown

    async def prune(self, filters: Filters) -> Wire:
        """Untagged images; with ``dangling=false`` all that no container uses."""
        everything = (filters.get("dangling") or ["true"])[0].lower() in ("0", "false")
        pruned = await asyncio.to_thread(self._images.prune, everything=everything, in_use=self._in_use())
        return {"ImagesDeleted": self._tell_removed(pruned.actions) or None, "SpaceReclaimed": pruned.size}

    async def pull(self, name: str, tag: str, platform: str | None, on_event: OnLine) -> None:
        """An image from elsewhere. For now: the bundled busybox, and what is here already."""
        wanted = references.join(name, tag)
        image = await self.find(str(wanted))
        if image is None:
            raise self._unknown(wanted)
        on_event({"status": f"Pulling from {wanted.name.partition('/')[2]}", "id": wanted.tag or wanted.digest})
        on_event({"status": f"Digest: {image.manifest.digest}"})
        on_event({"status": f"Status: Image is up to date for {wanted.familiar}"})
        self._events.emit("image", "pull", wanted.familiar, {"name": wanted.familiar_name})

    @staticmethod
    def _unknown(wanted: references.Reference) -> NotFound:
        return NotFound(
            f"pull access denied for {wanted.familiar_name}, repository does not exist or may require "
            f"'docker login': this engine can't reach registries yet",
            hint="busybox is bundled; `labdock images bootstrap debian:bookworm` makes a Debian base; "
            "`labdock load` takes an archive",
        )

    async def find(self, name: str) -> Image | None:
        """The image *name*, from here or from what is bundled; None when there is none."""
        try:
            return self._images.get(name)
        except NoSuchImage:
            pass
        if references.parse(name).familiar != bundled.NAME or self._busybox is None:
            return None
        return await asyncio.to_thread(bundled.ensure_busybox, self._images, Path(self._busybox))

    async def resolve(self, name: str, platform: str | None, *, pull: bool) -> BaseImage:
        """For FROM and COPY --from: the build room's Puller."""
        image = await self.find(name)
        if image is None:
            raise self._unknown(references.parse(name))
        snapshot = await asyncio.to_thread(self._images.unpack, image)
        return BaseImage(id=image.id, config=image.config, snapshot=snapshot)

    async def collect(self, others: set[str]) -> None:
        """Free what a killed process left: blobs and snapshots that no image, lease and none of *others* needs."""
        gone = await asyncio.to_thread(self._images.collect, others)
        if gone.blobs or gone.snapshots:
            log.info("collected %d blobs and %d snapshots, %d bytes", len(gone.blobs), len(gone.snapshots), gone.size)

    # -- archives ---------------------------------------------------------------------------------

    async def load(self, chunks: AsyncIterator[bytes], on_event: OnLine) -> None:
        """``docker load``: progress and errors go into the stream, as Docker has it."""
        loop = asyncio.get_running_loop()

        def tell(line: Wire) -> None:
            loop.call_soon_threadsafe(on_event, line)

        try:
            loaded = await read_in_thread(chunks, lambda source: archive.load(self._images, source, tell))
        except LabdockError as error:
            on_event({"error": str(error), "errorDetail": {"message": str(error)}})
            return
        for image in loaded:
            self._events.emit("image", "load", image.id, {"name": image.names[0].familiar if image.names else image.id})

    async def save(self, refs: builtins.list[str]) -> AsyncIterator[bytes]:
        """``docker save``. Raises NoSuchImage before the first byte."""
        for ref in refs:
            self._images.get(ref)
        return write_in_thread(lambda out: archive.save(self._images, refs, out))

    async def bootstrap(self, name: str, on_event: OnLine) -> None:
        """Make a base image from the distribution's packages; progress as status lines."""
        wanted = references.parse(name)
        if wanted.familiar_name != "debian":
            raise InvalidRequest(
                f"no base image called {wanted.familiar_name} can be made here",
                hint="write debian:SUITE, for example debian:bookworm",
            )
        image = await self._bootstrap.bootstrap(
            wanted.familiar, wanted.tag, lambda line: on_event({"status": line, "id": wanted.familiar})
        )
        on_event({"status": f"Made {wanted.familiar}", "id": wanted.familiar})
        self._events.emit("image", "import", image.id, {"name": wanted.familiar})


def _matches(name: references.Reference, pattern: str) -> bool:
    """The ``reference`` filter: a shell pattern over the familiar name, with or without its tag."""
    return any(fnmatch.fnmatchcase(text, pattern) for text in (name.familiar, name.familiar_name))
