"""One build on its way: its stages side by side, where they start, the image that the target becomes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from labdock.build import (
    BaseImage,
    BuildRequest,
    Finished,
)
from labdock.build.config import DEFAULT_PATH, Draft
from labdock.build.mounts import Origin, StepMounts
from labdock.build.opening import native_platform
from labdock.build.patterns import PathMatcher
from labdock.build.plan import SCRATCH, Plan, PlannedStage, Source, check_supported
from labdock.build.progress import Progress, StageProgress
from labdock.build.selection import find_sources
from labdock.build.sources import Remotes
from labdock.build.stages import Shared, StageBuilder, StageState
from labdock.build.traces import Memory
from labdock.build.transfer import Writer
from labdock.build.trees import MemoryTree
from labdock.build.workspace import Workspace
from labdock.errors import DockerfileError, LabdockError, NoSuchImage
from labdock.schema.oci import ImageConfig, RootFS, RuntimeConfig
from labdock.store.leases import Hold
from labdock.store.snapshots import Layer

if TYPE_CHECKING:
    from labdock.build.solve import Builder

#: RUN steps of one build at a time.
_AT_ONCE = max(2, min(8, os.cpu_count() or 2))


def format_time(time_ns: int) -> str:
    """RFC 3339 with nanoseconds, as Docker writes times."""
    seconds, nanoseconds = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


class Job:
    """One build on its way."""

    def __init__(
        self,
        builder: Builder,
        request: BuildRequest,
        plan: Plan,
        context: MemoryTree,
        workspace: Workspace,
        progress: Progress,
        hold: Hold,
        folder: Path,
    ) -> None:
        self._builder = builder
        self._request = request
        self._plan = plan
        self._workspace = workspace
        self._hold = hold
        self._progress = progress
        self._folder = folder
        self._stages: dict[int, asyncio.Task[StageState]] = {}
        self._images: dict[tuple[str, str], asyncio.Task[BaseImage]] = {}
        self._failed: StageBuilder | None = None
        self._memory = Memory(builder.traces, "\0".join((request.dockerfile, *request.names)), request.explain)
        find = self._find_origin
        mounts = StepMounts(workspace, builder.caches, folder, context, find, hold, request.secrets, request.agents)
        mounts.no_cache = request.no_cache
        self._shared = Shared(
            workspace=workspace,
            images=builder.images,
            cache=builder.cache,
            runner=builder.runner,
            context=context,
            clock=self._clock,
            find_origin=find,
            hold=hold,
            mounts=mounts,
            remotes=Remotes(builder.fetcher, builder.fetched, self._make_folder),
            turns=asyncio.Semaphore(_AT_ONCE),
            memory=self._memory,
            network=request.network or "default",
            hosts=request.hosts,
            shm_size=request.shm_size,
            limits=request.limits,
            no_cache=request.no_cache,
        )

    def _make_folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="fetched-", dir=self._folder))

    def _clock(self) -> str:
        epoch = self._workspace.epoch
        return format_time(self._builder.now() if epoch is None else epoch * 10**9)

    async def run(self) -> str:
        plan, progress = self._plan, self._progress
        self._shared.allowed = await self._find_allowed()
        top = progress.stage(0)
        for argument in plan.dockerfile.arguments:
            top.start(argument)
            top.done("")
        state = await self._build_stages(top.step)
        config = self._finish_config(state)
        layers = tuple(state.layers)
        id = ""
        if self._request.wants_image or self._request.names:
            assemble = self._builder.images.assemble
            id = (await self._workspace.work(assemble, config, layers, self._request.names)).id
        self._memory.keep()
        for text in self._request.notices:
            progress.notice(text)
        if plan.unused:
            progress.notice(f"[Warning] One or more build-args [{' '.join(plan.unused)}] were not consumed")
        if self._request.finish is not None:
            await self._request.finish(await self._finished(id, state))
        progress.built(id, self._request.names)
        return id

    async def _finished(self, image: str, state: StageState) -> Finished:
        target = self._plan.target.stage.index
        records = sorted(self._shared.records, key=lambda entry: entry[0] == target)
        sources = {name: (await task).id for (name, _), task in self._images.items()}
        kept = tuple((record, layers, stage == target) for stage, record, layers in records)
        return Finished(image, state.snapshot, kept, sources, self._progress.exported)

    async def _build_stages(self, before: int) -> StageState:
        """All stages side by side; each waits for what it stands on or copies from. Gives the target's state."""
        for entry in self._plan.stages:
            self._begin(entry, before)
            before += 1 + len(entry.stage.instructions)
        tasks = tuple(self._stages.values())
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            tasks = tuple(self._stages.values())
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        # The stage that failed by itself says why; those that waited for it say the same.
        failed = [task for task in tasks if not task.cancelled() and task.exception() is not None]
        for task in failed:
            await task
        return await self._stages[self._plan.target.stage.index]

    def _begin(self, entry: PlannedStage, before: int) -> asyncio.Task[StageState]:
        name = f"stage {entry.stage.name or entry.stage.index}"
        own = self._progress.stage(before, entry.stage.name)
        task = asyncio.create_task(self._stage(entry, own), name=name)
        self._stages[entry.stage.index] = task
        return task

    async def _stage_state(self, index: int) -> StageState:
        """The state of stage *index* when it is built; one that only a base image's trigger needs begins now."""
        task = self._stages.get(index)
        if task is None:
            entry = self._plan.every[index]
            for instruction in entry.stage.instructions:
                check_supported(instruction)
            task = self._begin(entry, self._progress.total)
        return await asyncio.shield(task)

    async def keep_failed(self) -> str:
        """An image, without a name, of the state before the step that failed, if the request wants it; its id."""
        builder = self._failed
        if builder is None or not self._request.debug:
            return ""
        config = self._finish_config(builder.state)
        env = builder.state.draft.scope.run_env()
        config = msgspec.structs.replace(config, config=msgspec.structs.replace(config.config, env=env))
        image = await asyncio.to_thread(self._builder.images.assemble, config, tuple(builder.state.layers), ())
        return image.id

    async def close(self) -> None:
        """Drop what was made for this build alone."""
        await asyncio.shield(self._shared.mounts.close())

    async def _find_allowed(self) -> frozenset[str] | None:
        """The snapshots of the images in ``cache_from``; an unknown name brings none."""
        if self._request.cache_from is None:
            return None
        found: set[str] = set()
        for name in self._request.cache_from:
            with suppress(NoSuchImage):
                found |= set((await asyncio.to_thread(self._builder.images.get, name)).chain_ids)
        return frozenset(found)

    async def _stage(self, entry: PlannedStage, progress: StageProgress) -> StageState:
        builder: StageBuilder | None = None
        try:
            waits = isinstance(entry.base, int)
            state = await self._start(entry) if waits else None
            progress.start(entry.stage.start)
            state = state or await self._start(entry)
            builder = StageBuilder(self._shared, entry.stage, state, progress)
            await builder.run()
        except (LabdockError, OSError):
            self._progress.blame(progress)
            self._failed = self._failed or builder
            raise
        return builder.state

    async def _start(self, entry: PlannedStage) -> StageState:
        if isinstance(entry.base, int):
            return (await self._stage_state(entry.base)).child()
        if entry.base == SCRATCH:
            return self._start_empty()
        try:
            context = self._request.contexts.get(entry.base)
            if isinstance(context, MemoryTree):
                return await self._start_context(context)
            base = await self._image(context or entry.base, entry.platform)
        except NoSuchImage as error:
            where = entry.stage.start.base.range
            raise DockerfileError(
                error.message,
                line=where.line,
                end_line=where.end_line,
                column=where.column,
                end_column=where.end_column,
                hint=error.hint,
            ) from error
        image = await asyncio.to_thread(self._builder.images.get, base.id)
        pairs = zip(image.layers, image.config.rootfs.diff_ids, strict=True)
        layers = [Layer(one.media_type, one.digest, one.size, diff_id) for one, diff_id in pairs]
        self._hold.add(*(layer.digest for layer in layers))
        return StageState(Draft.of_base(self._plan, base.config), base.snapshot, layers, base.id)

    async def _start_context(self, context: MemoryTree) -> StageState:
        """A stage whose base is a folder: its files are the one layer."""
        state = self._start_empty()
        (source,) = find_sources(context, "/", PathMatcher([]))
        workspace = self._workspace

        def fill(root: int) -> bool:
            Writer(root, (0, 0), stop=workspace.stop).write(context, (source,), "/")
            return True

        made = await workspace.work(workspace.make_layer, None, fill)
        assert made is not None
        layer, snapshot = made
        self._hold.add(snapshot, layer.digest)
        return StageState(state.draft, snapshot, [layer], snapshot)

    def _start_empty(self) -> StageState:
        os_name, _, rest = (self._request.platform or native_platform()).partition("/")
        architecture, _, variant = rest.partition("/")
        runtime = RuntimeConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/")
        config = ImageConfig(architecture=architecture, os=os_name, variant=variant, config=runtime)
        state = f"sha256:{hashlib.sha256(SCRATCH.encode()).hexdigest()}"
        return StageState(Draft.of_base(self._plan, config), None, [], state)

    async def _image(self, name: str, platform: str) -> BaseImage:
        task = self._images.get((name, platform))
        if task is None:
            resolving = self._resolve(name, platform)
            task = self._images[name, platform] = asyncio.create_task(resolving, name=f"image {name}")
        return await asyncio.shield(task)

    async def _resolve(self, name: str, platform: str) -> BaseImage:
        found = await self._builder.puller.resolve(name, platform or None, pull=self._request.pull)
        if found.snapshot is not None:
            self._hold.add(found.snapshot)
        return found

    async def _find_origin(self, source: Source) -> Origin:
        if isinstance(source, str):
            if source == SCRATCH:
                return Origin()
            context = self._request.contexts.get(source)
            if isinstance(context, MemoryTree):
                return Origin(tree=context)
            return Origin((await self._image(context or source, self._request.platform)).snapshot)
        return Origin((await self._stage_state(source)).snapshot)

    def _finish_config(self, state: StageState) -> ImageConfig:
        draft = state.draft
        labels = {**draft.config.labels, **self._request.labels}
        runtime = msgspec.structs.replace(draft.config, env=draft.scope.image_env(), labels=labels)
        created = draft.history[-1].created if draft.history else draft.base.created or self._clock()
        epoch = self._workspace.epoch
        return msgspec.structs.replace(
            draft.base,
            created=created if epoch is None else format_time(epoch * 10**9),
            author=draft.author,
            config=runtime,
            rootfs=RootFS(diff_ids=tuple(layer.diff_id for layer in state.layers)),
            history=tuple(draft.history),
        )
