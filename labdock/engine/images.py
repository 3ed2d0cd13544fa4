"""Images: what the API asks of them, over the images room."""

from __future__ import annotations

import asyncio
import builtins
import queue
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from labdock.build import BaseImage
from labdock.engine.events import Events
from labdock.engine.filters import has_labels
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import ALIVE
from labdock.errors import InvalidRequest, LabdockError, NoSuchImage, NotFound, Unsupported
from labdock.images import archive, bundled
from labdock.images.catalog import Image, Images
from labdock.images.references import parse_reference

Wire = dict[str, Any]
OnLine = Callable[[Wire], None]
Filters = dict[str, list[str]]

_FILTERS = frozenset({"dangling", "label", "label!", "before", "since", "until", "reference"})


class ImageService:
    """The image use cases. A *ref* is a name, an id or an unambiguous id prefix."""

    def __init__(self, images: Images, ledger: Ledger, events: Events, busybox: str | None, scratch: Path) -> None:
        self._images = images
        self._ledger = ledger
        self._events = events
        self._busybox = busybox
        self._scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)

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
        found = sorted(self._images.list(), key=lambda image: image.config.created, reverse=True)
        return [self._summarise(image) for image in found if self._passes(image, filters)]

    def _passes(self, image: Image, filters: Filters) -> bool:
        if (wanted := filters.get("dangling")) and (not image.names) != (wanted[0].lower() in ("1", "true")):
            return False
        if not has_labels(image.config.config.labels, filters):
            return False
        if (wanted := filters.get("reference")) and not any(
            name.matches(pattern) for name in map(parse_reference, image.names) for pattern in wanted
        ):
            return False
        if (wanted := filters.get("before")) and image.config.created >= self._images.get(wanted[0]).config.created:
            return False
        return not (
            (wanted := filters.get("since")) and image.config.created <= self._images.get(wanted[0]).config.created
        )

    def _users(self, image: Image) -> builtins.list[str]:
        return [record.id for record in self._ledger if record.image_id == image.id]

    def _summarise(self, image: Image) -> Wire:
        return {
            "Id": image.id,
            "ParentId": "",
            "RepoTags": [parse_reference(name).familiar for name in image.names],
            "RepoDigests": [],
            "Created": image.created,
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
            "RepoTags": [parse_reference(name).familiar for name in image.names],
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
            "GraphDriver": {"Name": self._images.driver, "Data": None},
            "RootFS": {"Type": "layers", "Layers": list(config.rootfs.diff_ids)},
            "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
            "Descriptor": msgspec.to_builtins(image.manifest),
        }

    def history(self, ref: str) -> builtins.list[Wire]:
        return self._images.history(ref)

    # -- changing ---------------------------------------------------------------------------------

    async def tag(self, ref: str, repo: str, tag: str) -> None:
        name = f"{repo}:{tag}" if tag else repo
        image = self._images.tag(ref, name)
        self._events.emit("image", "tag", image.id, {"name": parse_reference(name).familiar})

    async def remove(self, ref: str, force: bool, no_prune: bool) -> builtins.list[Wire]:
        """Untag, and delete what no name holds. Conflict while a container stands on it."""
        in_use: dict[str, builtins.list[str]] = {}
        for record in self._ledger:
            in_use.setdefault(record.image_id, []).append(record.id)
        running = {record.image_id for record in self._ledger if record.state.status in ALIVE}
        done = await asyncio.to_thread(self._images.remove, ref, force, in_use, running)
        for kind, text in done:
            self._events.emit("image", "untag" if kind == "Untagged" else "delete", text, {"name": text})
        return [{kind: text} for kind, text in done]

    async def prune(self, filters: Filters) -> Wire:
        """Untagged images; all that no container uses with ``dangling=false``."""
        everything = (filters.get("dangling") or ["true"])[0].lower() in ("0", "false")
        gone: builtins.list[Wire] = []
        freed = 0
        for image in self._images.list():
            if self._users(image) or (image.names and not everything):
                continue
            for name in image.names or (image.id,):
                gone += await self.remove(name, force=False, no_prune=False)
            freed += image.size
        return {"ImagesDeleted": gone or None, "SpaceReclaimed": freed}

    async def pull(self, name: str, tag: str, platform: str | None, on_event: OnLine) -> None:
        """An image from elsewhere. For now: the bundled busybox, and what ``bootstrap`` made before."""
        wanted = parse_reference(f"{name}:{tag}" if tag and ":" not in name.rpartition("/")[2] else name)
        on_event({"status": f"Pulling from {wanted.path}", "id": wanted.tag or "latest"})
        image = await self.find(str(wanted))
        if image is None:
            raise NotFound(
                f"pull access denied for {wanted.familiar_name}, repository does not exist or may require "
                f"'docker login': this engine can't reach registries yet",
                hint="busybox is bundled; `labdock images bootstrap debian:bookworm` makes a Debian base; "
                "`docker load` takes an archive",
            )
        on_event({"status": f"Digest: {image.manifest.digest}"})
        on_event({"status": f"Status: Image is up to date for {wanted.familiar}"})
        self._events.emit("image", "pull", wanted.familiar, {"name": wanted.familiar_name})

    async def find(self, name: str) -> Image | None:
        """The image *name*, from here or from what is bundled; None when there is none."""
        try:
            return self._images.get(name)
        except NoSuchImage:
            pass
        try:
            wanted = parse_reference(name)
        except LabdockError:
            return None
        if wanted.familiar in bundled.NAMES and self._busybox:
            return await asyncio.to_thread(bundled.ensure_busybox, self._images, Path(self._busybox))
        return None

    async def resolve(self, name: str, platform: str | None, *, pull: bool) -> BaseImage:
        """For FROM and COPY --from: the build room's Puller."""
        image = await self.find(name)
        if image is None:
            familiar = parse_reference(name).familiar_name
            raise NotFound(
                f"pull access denied for {familiar}, repository does not exist or may require 'docker login': "
                f"No such image: {name}",
                hint="busybox is bundled; `labdock images bootstrap debian:bookworm` makes a Debian base",
            )
        snapshot = await asyncio.to_thread(self._images.unpack, image)
        return BaseImage(id=image.id, config=image.config, snapshot=snapshot)

    # -- archives ---------------------------------------------------------------------------------

    async def load(self, chunks: AsyncIterator[bytes], on_event: OnLine) -> None:
        """``docker load``: progress and errors go into the stream, as Docker has it."""
        loop = asyncio.get_running_loop()

        def tell(line: Wire) -> None:
            loop.call_soon_threadsafe(on_event, line)

        with tempfile.TemporaryFile(dir=self._scratch) as file:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
            file.seek(0)
            try:
                names = await asyncio.to_thread(archive.load, self._images, file, tell)
            except LabdockError as error:
                on_event({"error": str(error), "errorDetail": {"message": str(error)}})
                return
        for name in names:
            self._events.emit("image", "load", name, {"name": name})

    async def save(self, refs: builtins.list[str]) -> AsyncIterator[bytes]:
        """``docker save``. Raises NoSuchImage before the first byte."""
        images = [self._images.get(ref) for ref in refs]
        pipe: queue.Queue[bytes | BaseException | None] = queue.Queue(maxsize=8)

        def work() -> None:
            try:
                archive.save(self._images, images, refs, _QueueWriter(pipe))
                pipe.put(None)
            except BaseException as error:
                pipe.put(error)

        return self._pump(pipe, work)

    async def _pump(
        self, pipe: queue.Queue[bytes | BaseException | None], work: Callable[[], None]
    ) -> AsyncIterator[bytes]:
        task = asyncio.create_task(asyncio.to_thread(work))
        while (piece := await asyncio.to_thread(pipe.get)) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
        await task

    async def bootstrap(self, name: str, on_event: OnLine) -> None:
        """A base image from the distribution's packages."""
        raise Unsupported(name)
