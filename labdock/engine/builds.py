"""Builds: a request and its context's bytes to an image, over the build room."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from labdock.build import BuildRequest, StepRecord
from labdock.build.caches import CacheFolders
from labdock.build.solve import Builder
from labdock.build.sources import FetchRecord
from labdock.build.traces import StageTrace
from labdock.engine import build_limits
from labdock.engine.buildcache import BuildCache, read_policy
from labdock.engine.events import Events
from labdock.engine.exports import OUTPUTS, Exports, Handover
from labdock.engine.fetches import Fetches
from labdock.engine.intake import DialPath, Given, Intake, Part
from labdock.engine.limits import check_limits
from labdock.engine.registries import build_keychain
from labdock.engine.steps import StepRunner
from labdock.engine.transfers import Transfers
from labdock.engine.views import show_time
from labdock.errors import InvalidRequest, LabdockError
from labdock.images import references
from labdock.images.store import Images
from labdock.registry.credentials import read_config
from labdock.schema.build import BuildDone, BuildEvent
from labdock.schema.build_query import BuildQuery
from labdock.store.content import ContentStore
from labdock.store.metadata import Database
from labdock.store.snapshots import Snapshotter

OnEvent = Callable[[BuildEvent], None]
#: Builds that run at a time; more wait.
AT_ONCE = 4
#: Seconds between two looks at the size and age of the cache.
TEND_PAUSE = 600.0

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

log = logging.getLogger("labdock.engine")


class Builds:
    """The build use case. *folder* is on the data disk: contexts and work trees are there for a build's time."""

    def __init__(
        self,
        database: Database,
        images: Images,
        transfers: Transfers,
        snapshotter: Snapshotter,
        content: ContentStore,
        runner: StepRunner,
        events: Events,
        folder: Path,
        spawn: Spawn,
        fetches: Fetches | None = None,
        dial_agent: DialPath | None = None,
    ) -> None:
        self._contexts = folder / "contexts"
        self._events = events
        self._runner = runner
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._records = database.records("steps", StepRecord)
        self.caches = CacheFolders(folder / "caches")
        self._builder = Builder(
            images,
            snapshotter,
            content,
            runner,
            transfers,
            self._records,
            folder / "work",
            caches=self.caches,
            traces=database.records("traces", StageTrace),
            fetcher=fetches,
            fetched=database.records("fetched", FetchRecord),
        )
        self.cache = BuildCache(self._records, self.caches, images, self.roots, read_policy(os.environ, folder.parent))
        self._spawn = spawn
        self._tended: float | None = None
        self._images = images
        self._snapshotter = snapshotter
        self.exports = Exports(folder / "contexts")
        self._intake = Intake(images, self._records, fetches, dial_agent)
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

        async def parts() -> AsyncIterator[Part]:
            yield "main", "", context

        await self.build_parts(query, parts(), on_event)

    async def build_parts(self, query: BuildQuery, parts: AsyncIterator[Part], on_event: OnEvent) -> None:
        """As :meth:`build`, with secrets, contexts and caches among the *parts*; see schema/build_query.py."""
        _check(query)
        told = False

        def tell(event: BuildEvent) -> None:
            nonlocal told
            told = True
            if isinstance(event, BuildDone):
                familiar = tuple(references.parse(name).familiar for name in event.names)
                event = msgspec.structs.replace(event, names=familiar)
            on_event(event)

        # The build's own task has it from here on, and the pulls that it makes.
        build_keychain.set(read_config(query.registry_config))
        async with self._turns:
            folder = Path(tempfile.mkdtemp(dir=self._contexts))
            try:
                given = await self._intake.take(query, parts, folder)
                request = self._request(query, given, folder)
                if query.check:
                    for finding in await self._builder.check(request):
                        tell(finding.notice())
                    tell(BuildDone(image=""))
                    return
                image = await self._builder.build(request, tell)
            except LabdockError as error:
                if not told:
                    raise
                self._events.emit("builder", "fail", query.names[0] if query.names else "", {"error": str(error)})
                return
            finally:
                # Nobody has to wait for it: it is in no other build's way, and what a crash leaves goes at the start.
                self._spawn(asyncio.to_thread(shutil.rmtree, folder, True), "removing a build's context")
        self.tend()
        if image:
            self._events.emit("image", "build", image, {"name": query.names[0] if query.names else image})
        for name in query.names:
            self._events.emit("image", "tag", image, {"name": references.parse(name).familiar})

    def tend(self) -> None:
        """Have the cache kept to its policy, off the builds' way; at most once in TEND_PAUSE."""
        now = time.monotonic()
        if self._tended is None or now - self._tended >= TEND_PAUSE:
            self._tended = now
            self._spawn(self._tend(), "keeping the build cache to its policy")

    async def _tend(self) -> None:
        gone = await self.cache.tend()
        if gone:
            log.info("the build cache gave up %d entries", len(gone))

    def _request(self, query: BuildQuery, given: Given, folder: Path) -> BuildRequest:
        started = show_time(time.time_ns())
        handover = Handover(self._images, self._snapshotter, self.exports, query, folder, started)
        return BuildRequest(
            context=folder,
            tree=given.tree,
            dockerfile=given.dockerfile,
            names=query.names,
            build_args=query.build_args,
            labels=query.labels,
            target=query.target,
            no_cache=query.no_cache,
            pull=query.pull,
            network=query.network,
            platform=query.platform,
            cache_from=query.cache_from,
            secrets=given.secrets,
            agents=given.agents,
            contexts=given.contexts,
            hosts=query.extra_hosts,
            shm_size=query.shm_size,
            limits=query.limits,
            notices=build_limits.warn(query, self._runner.controls),
            explain=query.explain,
            debug=query.debug,
            reproducible=query.reproducible,
            wants_image=not query.outputs or "oci" in query.outputs,
            finish=handover.finish if query.outputs or query.cache_to else None,
        )

    async def prune(self, all: bool, keep: int, unused_ns: int | None, ids: tuple[str, ...]) -> dict[str, object]:
        """``POST /build/prune``; see :meth:`BuildCache.prune`."""
        return await self.cache.prune(everything=all, keep=keep, unused_ns=unused_ns, ids=ids)

    def take_export(self, token: str) -> AsyncIterator[bytes]:
        """What a build left to be fetched. Raises NotFound."""
        return self.exports.take(token)


def _check(query: BuildQuery) -> None:
    check_limits(query.limits, os.sched_getaffinity(0))
    if query.squash:
        raise InvalidRequest("squash is only supported with experimental mode")
    for kind in query.outputs:
        if kind not in OUTPUTS:
            raise InvalidRequest(f"unknown output type {kind!r}", hint=f"it is one of: {', '.join(OUTPUTS)}")
    for mode in query.cache_to:
        if mode not in ("min", "max"):
            raise InvalidRequest(f"unknown cache mode {mode!r}", hint="it is min or max")
    for name in query.names:
        references.parse(name)
