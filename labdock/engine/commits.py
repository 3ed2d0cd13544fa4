"""``docker commit``: an image of a container's own changes over its image."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from labdock.build.changes import apply_changes
from labdock.build.job import format_time
from labdock.engine.changes import Hidden, find_stubs
from labdock.engine.conduits import run_alone
from labdock.engine.creation import add_defaults
from labdock.engine.ledger import Ledger
from labdock.engine.lifecycle import Status
from labdock.engine.records import ContainerRecord
from labdock.engine.roots import Roots
from labdock.engine.supervisor import Supervisor
from labdock.errors import Conflict, LabdockError, StorageFull
from labdock.images import references
from labdock.images.image import Image
from labdock.images.store import Images
from labdock.runtime import RuntimeDriver
from labdock.schema.container import ContainerConfig, HealthcheckConfig
from labdock.schema.oci import LAYER_TAR, History, ImageConfig, RuntimeConfig
from labdock.store.content import translate
from labdock.store.intents import Action, Intent, Intents
from labdock.store.layers.pack import RootLook, pack
from labdock.store.layers.rooted import FLAGS
from labdock.store.snapshots import Layer, Snapshotter

Tell = Callable[[str, str, str, dict[str, str]], object]


class Commits:
    """Makes images of containers. *tell*: emits an event (kind, action, subject, attributes)."""

    def __init__(
        self,
        ledger: Ledger,
        supervisor: Supervisor,
        roots: Roots,
        driver: RuntimeDriver,
        snapshotter: Snapshotter,
        images: Images,
        intents: Intents,
        tell: Tell,
    ) -> None:
        self._ledger = ledger
        self._supervisor = supervisor
        self._roots = roots
        self._driver = driver
        self._snapshotter = snapshotter
        self._images = images
        self._intents = intents
        self._tell = tell

    async def commit(
        self,
        ref: str,
        name: str,
        *,
        comment: str = "",
        author: str = "",
        pause: bool = True,
        changes: Sequence[str] = (),
        config: ContainerConfig | None = None,
    ) -> str:
        """The new image's id. *name* "": it gets none. *pause*: a running container holds still meanwhile.

        *changes*: Dockerfile instructions, over *config* (None: the container's own). Raises InvalidRequest for a
        change or a name that can't be, before anything is done.
        """
        record = self._ledger.get(ref)
        target = references.join(name) if name else None
        base = self._images.get(record.image_id)
        over = to_runtime(config) if config is not None else to_runtime(record.config, record.env)
        made = apply_changes(msgspec.structs.replace(base.config, config=over), changes)
        runtime = merge(made.config, to_runtime(record.config, record.env))
        async with self._held_still(record, pause=pause) as record:
            image = await self._make(record, base, runtime, comment, author, str(target) if target else "")
        shown = target.familiar if target else ""
        attributes = {"comment": comment, "imageID": image.id, "imageRef": str(target) if target else ""}
        self._supervisor.emit(record, "commit", **attributes)
        if target is not None:
            self._tell("image", "tag", image.id, {"name": shown})
        return image.id

    @asynccontextmanager
    async def _held_still(self, record: ContainerRecord, *, pause: bool) -> AsyncIterator[ContainerRecord]:
        """The container's record; nothing starts it, and with *pause* nothing runs in it, inside."""
        async with self._supervisor.live(record.id).lock:
            record = self._ledger.get(record.id)
            if record.state.status in (Status.REMOVING, Status.DEAD):
                raise Conflict(f"You cannot commit container {record.id} which is {record.state.status}")
            pauses = pause and record.state.status == Status.RUNNING
            intent = self._intents.begin(Action.CONTAINER_COMMIT, record.id, paused=pauses)
            try:
                if pauses:
                    with suppress(Conflict):  # it ended just now
                        await self._driver.pause(record.id)
                yield record
            finally:
                await settle(self._driver, intent)

    async def _make(
        self, record: ContainerRecord, base: Image, runtime: RuntimeConfig, comment: str, author: str, name: str
    ) -> Image:
        now = format_time(time.time_ns())
        words = record.config.cmd or ()
        step = History(
            created=now,
            created_by=words if isinstance(words, str) else " ".join(words),
            author=author,
            comment=comment,
        )
        layers = [
            Layer(x.media_type, x.digest, x.size, diff_id)
            for x, diff_id in zip(base.layers, base.config.rootfs.diff_ids, strict=True)
        ]
        config = msgspec.structs.replace(base.config, created=now, author=author, config=runtime)
        async with self._roots.below(record.id) as below:
            return await run_alone(lambda: self._write(record, base.id, config, step, layers, name, below))

    def _write(
        self,
        record: ContainerRecord,
        parent: str,
        config: ImageConfig,
        step: History,
        layers: list[Layer],
        name: str,
        below: int | None,
    ) -> Image:
        images = self._images
        with images.leases.hold(*(layer.digest for layer in layers)) as hold:
            layer = self._pack(record, below, hold.add)
            if layer is None:
                step = msgspec.structs.replace(step, empty_layer=True)
            else:
                layers = [*layers, layer]
                images.unpack_layers(layers, verified={layer.digest})
            config = msgspec.structs.replace(config, history=(*config.history, step))
            return images.assemble(config, layers, [name] if name else [], parent=parent)

    def _pack(self, record: ContainerRecord, below: int | None, hold: Callable[..., None]) -> Layer | None:
        """The layer of what *record* changed, its blob held by *hold*; None when it changed nothing."""
        tree = os.open(self._snapshotter.changes(record.id), FLAGS)
        try:
            stubs = find_stubs(tree, below, Hidden.of(record))
            look = RootLook.of(os.fstat(below)) if below is not None else RootLook()
            with self._images.content.ingest(f"commit-{record.id}-{os.urandom(4).hex()}") as ingest:
                packed = pack(tree, ingest.file, below=look, leave=stubs)
                if not packed.entries:
                    return None
                hold(packed.diff_id)
                ingest.commit_hashed(packed.diff_id)
        except OSError as error:
            raise translate(error, f"packing what container {record.id[:12]} changed") from error
        finally:
            os.close(tree)
        return Layer(LAYER_TAR, packed.diff_id, packed.size, packed.diff_id)


async def settle(driver: RuntimeDriver, intent: Intent) -> None:
    """Let the container of a commit go on. At start: the commit was cut short, and what it wrote is collected."""
    if intent.detail.get("paused"):
        with suppress(LabdockError):  # it has ended
            await driver.resume(intent.subject)
    with suppress(StorageFull):  # the next start closes it
        intent.done()


def to_runtime(config: ContainerConfig, env: Sequence[str] | None = None) -> RuntimeConfig:
    """What of a container's config belongs into an image's. *env*: instead of the config's own."""
    return RuntimeConfig(
        user=config.user or "",
        exposed_ports=dict(config.exposed_ports or {}),
        env=tuple(config.env or ()) if env is None else tuple(env),
        entrypoint=_words(config.entrypoint),
        cmd=_words(config.cmd),
        volumes=dict(config.volumes or {}),
        working_dir=config.working_dir or "",
        labels=dict(config.labels or {}),
        stop_signal=config.stop_signal or "",
        shell=config.shell,
        healthcheck=config.healthcheck,
    )


def _words(value: tuple[str, ...] | str | None) -> tuple[str, ...] | None:
    return (value,) if isinstance(value, str) else value


def merge(wanted: RuntimeConfig, own: RuntimeConfig) -> RuntimeConfig:
    """*wanted* with the container's *own* config where it says nothing (moby: daemon/commit.go, merge)."""
    entrypoint, cmd = wanted.entrypoint, wanted.cmd
    if not entrypoint:
        cmd = cmd or own.cmd
        if entrypoint is None:
            entrypoint = own.entrypoint
    return msgspec.structs.replace(
        wanted,
        user=wanted.user or own.user,
        exposed_ports={**own.exposed_ports, **wanted.exposed_ports},
        env=add_defaults(wanted.env, own.env),
        entrypoint=entrypoint,
        cmd=cmd,
        volumes={**own.volumes, **wanted.volumes},
        working_dir=wanted.working_dir or own.working_dir,
        labels={**own.labels, **wanted.labels},
        stop_signal=wanted.stop_signal or own.stop_signal,
        shell=wanted.shell or own.shell,
        healthcheck=_merge_check(wanted.healthcheck, own.healthcheck),
    )


def _merge_check(wanted: HealthcheckConfig | None, own: HealthcheckConfig | None) -> HealthcheckConfig | None:
    if wanted is None or own is None:
        return wanted or own
    return HealthcheckConfig(
        test=wanted.test or own.test,
        interval=wanted.interval or own.interval,
        timeout=wanted.timeout or own.timeout,
        start_period=wanted.start_period or own.start_period,
        start_interval=wanted.start_interval or own.start_interval,
        retries=wanted.retries or own.retries,
    )
