"""Building images from Dockerfiles: a pure parser, a plan, a solver. Knows containers only as an injected Runner."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from labdock.build.trees import MemoryTree
from labdock.errors import LabdockError
from labdock.schema.build import BuildEvent
from labdock.schema.container import HostConfig
from labdock.schema.oci import Descriptor, ImageConfig
from labdock.store.leases import Leases
from labdock.store.snapshots import Layer

OnEvent = Callable[[BuildEvent], None]
OnOutput = Callable[[str, bytes], None]
#: Connects to an agent's socket on the client's machine.
DialAgent = Callable[[], Awaitable[socket.socket]]


@dataclass(frozen=True, slots=True)
class BaseImage:
    """What FROM found: its id, its config and the committed snapshot of its top layer (None: scratch)."""

    id: str
    config: ImageConfig
    snapshot: str | None


@dataclass(frozen=True, slots=True)
class StepMount:
    """A mount of a RUN step: ``kind`` bind takes *source*, a path that is there; options are mount(8)'s words."""

    target: str
    source: str
    kind: str = "bind"
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One RUN step. ``snapshot`` is an active snapshot's key; the rest as in a container.

    ``hosts`` are ``name:address``; ``shm_size`` in bytes, 0 the default; ``limits``: memory, processors and ulimits.
    """

    container: str
    snapshot: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    network: str = "default"
    mounts: tuple[StepMount, ...] = ()
    hosts: tuple[str, ...] = ()
    shm_size: int = 0
    limits: HostConfig = HostConfig()


class Runner(Protocol):
    """Runs RUN steps on the same runtime as containers."""

    async def run(self, request: RunRequest, on_output: OnOutput) -> int:
        """Run to the end and give the exit code; cancelling stops and removes the container."""


class Puller(Protocol):
    """Finds base images, here or elsewhere."""

    async def resolve(self, name: str, platform: str | None, *, pull: bool) -> BaseImage:
        """The image *name*; NoSuchImage when there is none."""


class BuiltImage(Protocol):
    """What the builder needs to know of an image. ``layers`` bottom first, with their ``chain_ids``."""

    @property
    def id(self) -> str: ...

    @property
    def config(self) -> ImageConfig: ...

    @property
    def layers(self) -> tuple[Descriptor, ...]: ...

    @property
    def chain_ids(self) -> tuple[str, ...]: ...


class ImageStore(Protocol):
    """What the images room offers the builder. All methods block and are called in worker threads."""

    leases: Leases

    def get(self, ref: str) -> BuiltImage:
        """The image of that id or name; NoSuchImage."""

    def unpack_layers(self, layers: Sequence[Layer]) -> object:
        """Unpack *layers*, bottom first, where their chain ids are no snapshots yet."""

    def commit_layer(self, key: str, parent: str | None) -> tuple[Layer, str]:
        """Make a layer of active snapshot *key*, and commit it; gives the layer and its chain id, now its name."""

    def assemble(self, config: ImageConfig, layers: Sequence[Layer], names: Sequence[str]) -> BuiltImage:
        """Write an image and give it *names*, all at once."""


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a step once made. ``layer`` None: it changed no file. ``snapshot``: the chain id after it; "" is empty.

    ``text`` is for people; ``used_ns`` the time of the last use, about; ``uses`` counts them.
    """

    key: str
    created: str
    layer: Layer | None = None
    snapshot: str = ""
    text: str = ""
    used_ns: int = 0
    uses: int = 0


class StepRecords(Protocol):
    """Where step records are kept (a Records[StepRecord] of the store). Quick enough for the event loop."""

    def get(self, id: str) -> StepRecord | None: ...

    def put(self, id: str, value: StepRecord, name: str | None = None) -> None: ...

    def delete(self, id: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Finished:
    """A build that is done but for its last word. ``image`` "": none was wanted. ``records``: the steps it is made of,
    each with the layers up to it; the target's own last. ``sources``: base images by name, with their ids."""

    image: str
    snapshot: str | None
    records: tuple[tuple[StepRecord, tuple[Layer, ...], bool], ...]
    sources: Mapping[str, str]
    exported: Callable[[int, str, str], None]


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """A build as asked for. ``context`` is a folder that holds the context, for this build alone.

    ``tree`` is what :func:`labdock.build.context.receive` made of it (None: the folder itself is the context).
    ``build_args``: None = named without a value by a client that has none. ``dockerfile`` is relative to the
    context. ``cache_from`` None: every step made before may be used again; else only those in the named images.
    ``secrets`` and ``agents`` are what RUN --mount=type=secret and ssh find. ``contexts``:
    named ones, trees or the names of images. ``explain``: say why steps are not cached; ``debug``: keep an image of the
    state before a RUN that fails; ``reproducible``: SOURCE_DATE_EPOCH is 0 unless given; ``finish`` gets what was
    built, before the last event. ``notices``: what of the request is not kept, for the user.
    """

    context: Path
    dockerfile: str = "Dockerfile"
    names: tuple[str, ...] = ()
    build_args: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    no_cache: bool = False
    pull: bool = False
    network: str = "default"
    platform: str = ""
    cache_from: tuple[str, ...] | None = None
    tree: MemoryTree | None = None
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    agents: Mapping[str, DialAgent] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    shm_size: int = 0
    limits: HostConfig = HostConfig()
    notices: tuple[str, ...] = ()
    contexts: Mapping[str, MemoryTree | str] = field(default_factory=dict)
    explain: bool = False
    debug: bool = False
    reproducible: bool = False
    wants_image: bool = True
    finish: Callable[[Finished], Awaitable[None]] | None = None


class BuildStepFailed(LabdockError):
    """A RUN step ended with an exit code other than 0. BuildFailed was emitted with the same words before."""

    code = "build_failed"

    def __init__(self, message: str, *, exit_code: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


Build = Callable[[BuildRequest, OnEvent], Awaitable[str]]
