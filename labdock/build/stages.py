"""Building one stage: its instructions in order, each found in the cache or carried out. On the event loop;
what blocks runs in the workspace's threads."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from labdock.build import ImageStore, Runner, StepRecord
from labdock.build.additions import copy_step
from labdock.build.cache import StepCache, make_key
from labdock.build.config import Draft, apply, move_workdir
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.parser import parse_trigger
from labdock.build.dockerfile.source import refuse
from labdock.build.mounts import FindOrigin, StepMounts
from labdock.build.plan import check_supported
from labdock.build.progress import StageProgress
from labdock.build.rootfs import find_user, is_folder, make_folder
from labdock.build.runs import run_step
from labdock.build.sources import Remotes
from labdock.build.traces import Memory, Trace
from labdock.build.trees import MemoryTree
from labdock.build.workspace import Workspace
from labdock.errors import DockerfileError, InvalidRequest
from labdock.schema.container import HostConfig
from labdock.schema.oci import History
from labdock.store.leases import Hold
from labdock.store.snapshots import Layer

Clock = Callable[[], str]


@dataclass(slots=True)
class Shared:
    """What all stages of a build have in common. ``allowed``: see StepCache.find; ``clock`` gives RFC 3339;
    ``hold`` keeps what the build stands on from being collected; ``turns`` bounds the RUN steps at a time;
    ``records``: what was made or found, with its stage and all layers up to it."""

    workspace: Workspace
    images: ImageStore
    cache: StepCache
    runner: Runner
    context: MemoryTree
    clock: Clock
    find_origin: FindOrigin
    hold: Hold
    mounts: StepMounts
    remotes: Remotes
    turns: asyncio.Semaphore
    memory: Memory
    network: str = "default"
    hosts: tuple[str, ...] = ()
    shm_size: int = 0
    limits: HostConfig = HostConfig()
    no_cache: bool = False
    allowed: frozenset[str] | None = None
    records: list[tuple[int, StepRecord, tuple[Layer, ...]]] = field(default_factory=list)


@dataclass(slots=True)
class StageState:
    """A stage as far as it is built. ``snapshot``: the chain id of its files; ``state`` names all of it."""

    draft: Draft
    snapshot: str | None
    layers: list[Layer]
    state: str

    def child(self) -> StageState:
        return StageState(self.draft.child(), self.snapshot, list(self.layers), self.state)


class StageBuilder:
    """Carries out instructions on one stage's state. ``progress.start`` was called for its FROM."""

    def __init__(self, shared: Shared, stage: ast.Stage, state: StageState, progress: StageProgress) -> None:
        self.shared = shared
        self.stage = stage
        self.progress = progress
        self.epoch = shared.workspace.epoch
        self.state = state
        self.traces = shared.memory.stage(stage)

    async def run(self) -> None:
        """All of the stage's instructions, ONBUILD triggers of its base first."""
        self.traces.base = self.state.state
        await self._run_triggers()
        self.progress.done(self.state.state)
        for instruction in self.stage.instructions:
            self.progress.start(instruction)
            size = await self.step(instruction)
            self.progress.done(self.state.state, size)

    async def _run_triggers(self) -> None:
        triggers = self.state.draft.config.on_build
        if not triggers:
            return
        many = "triggers" if len(triggers) > 1 else "trigger"
        self.progress.notice(f"# Executing {len(triggers)} build {many}", self.stage.start.range.line)
        self.state.draft.change(on_build=())
        for text in triggers:
            try:
                instruction = parse_trigger(text)
                check_supported(instruction)
                await self.step(instruction)
            except DockerfileError as error:
                problem = error.message.partition(": ")[2] or error.message
                message = f"the base image's ONBUILD trigger `{text}`: {problem}"
                raise refuse(self.stage.start.base.range, message, hint=error.hint) from error

    async def step(self, instruction: ast.Instruction) -> int:
        """One instruction; gives the bytes its layer added."""
        if isinstance(instruction, ast.Run):
            return await run_step(self, instruction)
        if isinstance(instruction, ast.Transfer):
            return await copy_step(self, instruction)
        if isinstance(instruction, ast.Workdir):
            return await self._workdir(instruction)
        shown = apply(self.state.draft, instruction)
        assert shown is not None, instruction
        key = make_key("config", self.state.state, shown, self.epoch)
        record = self.find(key, Trace(instruction.text, self.state.state, {"the instruction": shown}))
        if record is None:
            record = self.keep(StepRecord(key=key, created=self.shared.clock()))
        self.advance(shown, record)
        return 0

    def find(self, key: str, trace: Trace | None = None) -> StepRecord | None:
        """The record of *key*, if the cache may be used. *trace*: what the key is made of, to explain a miss by."""
        shared = self.shared
        record = None
        if not shared.no_cache and shared.allowed != frozenset():
            record = shared.cache.find(key, shared.allowed)
        if record is not None:
            self.progress.cached()
        elif trace is not None and shared.memory.wanted:
            reasons = ("the build was asked not to use the cache",) if shared.no_cache else self.traces.explain(trace)
            self.progress.explained(reasons)
        if trace is not None:
            self.traces.note(trace, key)
        return record

    def keep(self, record: StepRecord) -> StepRecord:
        self.shared.cache.keep(record)
        return record

    def advance(self, shown: str, record: StepRecord, apart: StepRecord | None = None) -> int:
        """Take what a step made into the state. *apart*: the record as the cache has it, of a layer of its own."""
        state, layer = self.state, record.layer
        if layer is not None:
            self.shared.hold.add(record.snapshot, layer.digest)
            state.layers.append(layer)
            state.snapshot = record.snapshot
        kept = (layer,) if apart is not None and layer is not None else tuple(state.layers)
        self.shared.records.append((self.stage.index, apart or record, kept))
        name = f"{state.state}\0{shown}\0{record.snapshot}".encode("utf-8", "surrogateescape")
        state.state = f"sha256:{hashlib.sha256(name).hexdigest()}"
        state.draft.history.append(
            History(created=record.created, created_by=shown, comment="labdock", empty_layer=layer is None)
        )
        return layer.size if layer is not None else 0

    async def _workdir(self, instruction: ast.Workdir) -> int:
        draft, workspace, parent = self.state.draft, self.shared.workspace, self.state.snapshot
        path = move_workdir(draft, instruction)
        user = draft.config.user
        key = make_key("workdir", parent, path, user, self.epoch)
        record = self.find(key, Trace(instruction.text, parent or "", {"the folder": path, "the user": user}))
        if record is None:
            fill_workdir = _workdir_filler(path, user)
            made = await workspace.work(workspace.make_layer, parent, fill_workdir)
            layer, snapshot = made if made is not None else (None, "")
            record = self.keep(StepRecord(key=key, created=self.shared.clock(), layer=layer, snapshot=snapshot))
        return self.advance(f"WORKDIR {path}", record)


def _workdir_filler(path: str, user: str) -> Callable[[int], bool]:
    name = os.fsencode(path.strip("/"))

    def fill_workdir(root: int) -> bool:
        if is_folder(root, name):
            return False
        owner = find_user(root, user) if user else (0, 0)
        try:
            os.close(make_folder(root, name, owner))
        except NotADirectoryError as error:
            raise InvalidRequest(f"WORKDIR {path}: it is not a directory in the image") from error
        return True

    return fill_workdir
