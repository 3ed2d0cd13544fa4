"""Builds: a request and its context's bytes to an image, over the build room."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from labdock.build import BuildRequest, StepRecord
from labdock.build.caches import CacheFolders
from labdock.build.context import receive
from labdock.build.solve import Builder
from labdock.build.sources import FetchRecord
from labdock.build.traces import StageTrace
from labdock.engine.events import Events
from labdock.engine.fetches import Fetches
from labdock.engine.images import ImageService
from labdock.engine.steps import StepRunner
from labdock.errors import InvalidRequest, LabdockError, Unsupported
from labdock.images import references
from labdock.images.store import Images
from labdock.schema.build import BuildDone, BuildEvent
from labdock.schema.build_query import BuildQuery
from labdock.store.content import ContentStore
from labdock.store.metadata import Database
from labdock.store.snapshots import Snapshotter

OnEvent = Callable[[BuildEvent], None]
#: Builds that run at a time; more wait.
AT_ONCE = 4


class Builds:
    """The build use case. *folder* is on the data disk: contexts and work trees are there for a build's time."""

    def __init__(
        self,
        database: Database,
        images: Images,
        service: ImageService,
        snapshotter: Snapshotter,
        content: ContentStore,
        runner: StepRunner,
        events: Events,
        folder: Path,
        fetches: Fetches | None = None,
    ) -> None:
        self._contexts = folder / "contexts"
        self._events = events
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._records = database.records("steps", StepRecord)
        self.caches = CacheFolders(folder / "caches")
        self._builder = Builder(
            images,
            snapshotter,
            content,
            runner,
            service,
            self._records,
            folder / "work",
            caches=self.caches,
            traces=database.records("traces", StageTrace),
            fetcher=fetches,
            fetched=database.records("fetched", FetchRecord),
        )
        self._builder.recover()
        shutil.rmtree(self._contexts, ignore_errors=True)
        self._contexts.mkdir(parents=True)

    def roots(self) -> set[str]:
        """The snapshots and blobs that the step cache stands on."""
        found: set[str] = set()
        for record in self._records.all():
            if record.layer is not None:
                found.update((record.snapshot, record.layer.digest))
        return found

    async def build(self, query: BuildQuery, context: AsyncIterator[bytes], on_event: OnEvent) -> None:
        """Build what *query* and the tar *context* say; *on_event* hears of it. Cancelling stops the build.

        Raises InvalidRequest, DockerfileError or Unsupported before the first event; a failure after it is an event.
        """
        _check(query)
        told = False

        def tell(event: BuildEvent) -> None:
            nonlocal told
            told = True
            if isinstance(event, BuildDone):
                familiar = tuple(references.parse(name).familiar for name in event.names)
                event = msgspec.structs.replace(event, names=familiar)
            on_event(event)

        async with self._turns:
            folder = Path(tempfile.mkdtemp(dir=self._contexts))
            try:
                tree = await receive(context, folder)
                request = BuildRequest(
                    context=folder,
                    tree=tree,
                    dockerfile=query.dockerfile,
                    names=query.names,
                    build_args=query.build_args,
                    labels=query.labels,
                    target=query.target,
                    no_cache=query.no_cache,
                    pull=query.pull,
                    network=query.network,
                    platform=query.platform,
                    cache_from=query.cache_from,
                )
                image = await self._builder.build(request, tell)
            except LabdockError as error:
                if not told:
                    raise
                self._events.emit("builder", "fail", query.names[0] if query.names else "", {"error": str(error)})
                return
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, True)
        self._events.emit("image", "build", image, {"name": query.names[0] if query.names else image})
        for name in query.names:
            self._events.emit("image", "tag", image, {"name": references.parse(name).familiar})


def _check(query: BuildQuery) -> None:
    if query.remote:
        raise Unsupported(
            f"building from a remote context ({query.remote}) is not supported yet",
            hint="fetch it and build from the folder",
        )
    if query.squash:
        raise InvalidRequest("squash is only supported with experimental mode")
    for name in query.names:
        references.parse(name)
