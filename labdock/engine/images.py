"""Images: what the API asks of them, over the images room."""

from __future__ import annotations

import asyncio
import builtins
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

from labdock.build.changes import apply_changes
from labdock.build.job import format_time
from labdock.engine.conduits import read_in_thread, write_in_thread
from labdock.engine.events import Events
from labdock.engine.fetches import Fetches
from labdock.engine.filters import has_labels, read_moment
from labdock.engine.image_views import Parts, inspected, matches, measured, summarised
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import ALIVE
from labdock.engine.transfers import Transfers
from labdock.engine.views import read_time
from labdock.errors import Conflict, InvalidRequest, LabdockError
from labdock.images import archive, importing, platforms, references
from labdock.images.bootstrap import Bootstrap
from labdock.images.image import Image
from labdock.images.store import Images
from labdock.schema.ids import is_hex, short_id
from labdock.schema.oci import ImageConfig, RuntimeConfig

log = logging.getLogger("labdock.engine")

Wire = dict[str, Any]
OnLine = Callable[[Wire], None]
Filters = dict[str, list[str]]

_FILTERS = frozenset({"dangling", "label", "label!", "before", "since", "until", "reference"})
_PRUNE_FILTERS = frozenset({"dangling", "label", "label!", "until"})
#: A pull that was cut may be tried again: what it left is spared by prune for so long. Seconds.
_IDLE = 60.0


class ImageService:
    """The image use cases. A *ref* is a name, an id or an unambiguous id prefix."""

    def __init__(
        self,
        images: Images,
        ledger: Ledger,
        events: Events,
        bootstrap: Bootstrap,
        transfers: Transfers,
        fetches: Fetches,
        scratch: Path,
    ) -> None:
        self._images = images
        self._ledger = ledger
        self._events = events
        self._bootstrap = bootstrap
        self._transfers = transfers
        self._fetches = fetches
        self._scratch = scratch

    def count(self) -> int:
        return len(self._images.list())

    def measure(self) -> Wire:
        """Where the images' bytes are, for ``/system/df``. Blocks."""
        return measured(self._images)

    # -- looking ----------------------------------------------------------------------------------

    def list(
        self, all: bool, filters: Filters, digests: bool, *, shared: bool = False, manifests: bool = False
    ) -> builtins.list[Wire]:
        """Newest first. *shared*: how much of each is in other images too; *manifests*: what platforms are here."""
        for name in filters:
            if name not in _FILTERS:
                raise InvalidRequest(f"invalid filter '{name}'")
        found = self._images.list()
        parts = Parts(found) if shared else None
        return [
            summarised(image, filters.get("reference"), self._users(image), parts, manifests=manifests)
            for image in found
            if self._passes(image, filters)
        ]

    def _passes(self, image: Image, filters: Filters) -> bool:
        if (wanted := filters.get("dangling")) and (not image.names) != (wanted[0].lower() in ("1", "true")):
            return False
        if not has_labels(image.config.config.labels, filters):
            return False
        if (wanted := filters.get("reference")) and not any(
            matches(name, pattern) for name in image.names for pattern in wanted
        ):
            return False
        if (wanted := filters.get("until")) and not _is_older(image, wanted):
            return False
        if (wanted := filters.get("before")) and image.config.created >= self._images.get(wanted[0]).config.created:
            return False
        return not (
            (wanted := filters.get("since")) and image.config.created <= self._images.get(wanted[0]).config.created
        )

    def _users(self, image: Image) -> builtins.list[str]:
        return [record.id for record in self._ledger if record.image_id == image.id]

    def inspect(self, ref: str) -> Wire:
        return inspected(self._images.get(ref), self._images.snapshotter.name)

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
        """Untagged images; with ``dangling=false`` all that no container uses. Filters: until, label, label!."""
        for name in filters:
            if name not in _PRUNE_FILTERS:
                raise InvalidRequest(f"invalid filter '{name}'")
        everything = (filters.get("dangling") or ["true"])[0].lower() in ("0", "false")
        rest = {name: values for name, values in filters.items() if name != "dangling"}
        for value in rest.get("until", ()):
            read_moment(value)
        pruned = await asyncio.to_thread(
            self._images.prune,
            everything=everything,
            in_use=self._in_use(),
            passes=lambda image: self._passes(image, rest),
        )
        freed = await asyncio.to_thread(self._images.content.forget_kept, _IDLE)
        return {"ImagesDeleted": self._tell_removed(pruned.actions) or None, "SpaceReclaimed": pruned.size + freed}

    # -- from and to elsewhere --------------------------------------------------------------------

    async def pull(self, name: str, tag: str, platform: str | None, auth: str, on_event: OnLine) -> None:
        """See :meth:`Transfers.pull`."""
        await self._transfers.pull(name, tag, platform, auth, on_event)

    async def push(self, name: str, tag: str, auth: str, on_event: OnLine) -> None:
        """See :meth:`Transfers.push`."""
        await self._transfers.push(name, tag, auth, on_event)

    async def import_tar(
        self,
        chunks: AsyncIterator[bytes],
        name: str,
        message: str,
        changes: builtins.list[str],
        platform: str | None,
        on_event: OnLine,
    ) -> None:
        """``docker import -``: an image of one layer from a tar. Raises InvalidRequest, Corrupt."""
        wanted = platforms.parse(platform) if platform else platforms.native()
        bare = ImageConfig(
            created=format_time(time.time_ns()),
            architecture=wanted.architecture,
            os=wanted.os,
            variant=wanted.variant,
            config=RuntimeConfig(),
        )
        config = apply_changes(bare, changes)
        names = (str(references.join(name)),) if name else ()
        image = await read_in_thread(
            chunks, lambda source: importing.import_tar(self._images, source, config, message, names)
        )
        on_event({"status": image.id})
        self._events.emit("image", "import", image.id, {"name": references.parse(name).familiar if name else image.id})

    async def fetched(self, url: str, on_event: OnLine) -> AsyncIterator[bytes]:
        """The file at *url* (http, https; without a scheme http), fetched over the host's network, in parts."""
        if "://" not in url:
            url = f"http://{url}"
        on_event({"status": f"Downloading from {url}"})
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            path = Path(folder) / "import"
            await self._fetches.fetch(url, path)
            with path.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, 1 << 20):
                    yield chunk

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


def _is_older(image: Image, moments: builtins.list[str]) -> bool:
    """Whether *image* was made before each of *moments*."""
    return all(read_time(image.config.created) < read_moment(text) for text in moments)
