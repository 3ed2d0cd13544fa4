"""COPY and ADD as steps of a stage: found by what they are told, then by the content they take, then carried out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from labdock.build import StepRecord
from labdock.build.cache import make_key
from labdock.build.copies import Order, Taken, describe, fill, list_files, resolve, take
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.remotes import HttpSource
from labdock.build.mounts import Origin
from labdock.build.plan import find_source
from labdock.build.sources import Held
from labdock.build.traces import Trace
from labdock.build.trees import Tree
from labdock.schema.oci import chain_ids
from labdock.store.snapshots import Layer

if TYPE_CHECKING:
    from labdock.build.stages import StageBuilder


async def copy_step(builder: StageBuilder, instruction: ast.Transfer) -> int:
    """Carry out *instruction*, or find it in the cache; gives the bytes its layer added."""
    return await _Addition(builder, instruction).run()


class _Addition:
    """One COPY or ADD on its way."""

    def __init__(self, builder: StageBuilder, instruction: ast.Transfer) -> None:
        self._builder = builder
        self._shared = builder.shared
        self._instruction = instruction
        self._order: Order = resolve(builder.state.draft, instruction)
        # A layer of its own does not depend on what is below, but for whom names mean.
        self._apart = instruction.link and not any(map(str.isalpha, self._order.chown))
        self._parent = None if self._apart else builder.state.snapshot
        self._origin = Origin(tree=builder.shared.context)
        self._notices: list[str] = []

    @property
    def _owners(self) -> bool:
        return self._order.remote and self._origin.tree is None

    async def run(self) -> int:
        builder, order, instruction = self._builder, self._order, self._instruction
        definition: list[object] = [self._parent, describe(order), builder.epoch]
        early = await self._find_early(definition)
        if early:
            record = builder.find(early)
            if record is not None:
                return await self._advance(record)
        held = [await self._shared.remotes.look(one, order.range) if one else None for one in order.remotes]
        digest, files = await self._shared.workspace.work(self._look, held)
        key = make_key("copy", digest, *definition)
        options = {"the options": describe(order)}
        record = builder.find(key, Trace(instruction.text, self._parent or "", options, {}, files, digest))
        if record is None:
            held = [await self._shared.remotes.fetch(one) if one else None for one in held]
            layer, snapshot = await self._shared.workspace.work(self._make, held) or (None, "")
            for text in self._notices:
                builder.progress.notice(text, instruction.range.line)
            created = self._shared.clock()
            record = StepRecord(key=key, created=created, layer=layer, snapshot=snapshot, text=order.shown)
            builder.keep(record)
        if early:
            builder.keep(msgspec.structs.replace(record, key=early))
        return await self._advance(record)

    async def _find_early(self, definition: list[object]) -> str:
        """A key that needs no content to be read; "" when there is none."""
        instruction, plan = self._instruction, self._builder.state.draft.plan
        if isinstance(instruction, ast.Copy) and instruction.source is not None:
            found = find_source(plan.dockerfile, self._builder.stage.index, instruction.source, plan.contexts)
            self._origin = await self._shared.find_origin(found)
            if self._origin.tree is None:
                return make_key("copy-from", self._origin.snapshot, *definition)
        elif self._order.checksum and isinstance(self._order.remotes[0], HttpSource):
            return make_key("add-checked", *definition)
        return ""

    def _look(self, held: list[Held | None]) -> tuple[str, dict[str, str]]:
        with self._opened() as tree:
            taken = take(tree, self._order, held, owners=self._owners)
            return taken.digest, list_files(taken) if self._shared.memory.wanted else {}

    def _make(self, held: list[Held | None]) -> tuple[Layer, str] | None:
        workspace = self._shared.workspace
        with self._opened() as tree:
            taken: Taken = take(tree, self._order, held, owners=self._owners)
            return workspace.make_layer(
                self._parent, lambda root: fill(root, taken, self._order, workspace, self._notices)
            )

    async def _advance(self, record: StepRecord) -> int:
        state, apart = self._builder.state, None
        if self._apart and record.layer is not None and state.layers:
            layers = [*state.layers, record.layer]
            with self._shared.images.leases.hold(record.layer.digest, record.snapshot):
                await self._shared.workspace.work(self._shared.images.unpack_layers, layers)
            top = chain_ids(tuple(layer.diff_id for layer in layers))[-1]
            apart, record = record, msgspec.structs.replace(record, snapshot=top)
        return self._builder.advance(self._order.shown, record, apart)

    @contextmanager
    def _opened(self) -> Iterator[Tree]:
        if self._origin.tree is not None:
            yield self._origin.tree
            return
        with self._shared.workspace.viewed(self._origin.snapshot) as tree:
            yield tree
