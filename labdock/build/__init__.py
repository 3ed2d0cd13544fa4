"""Building images from Dockerfiles: a pure parser, a plan, a solver. Knows containers only as an injected Runner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from labdock.schema.build import BuildEvent
from labdock.schema.oci import ImageConfig

OnEvent = Callable[[BuildEvent], None]
OnOutput = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class BaseImage:
    """What FROM found: its id, its config and the committed snapshot of its top layer (None: scratch)."""

    id: str
    config: ImageConfig
    snapshot: str | None


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One RUN step. ``snapshot`` is an active snapshot's key; the rest as in a container."""

    container: str
    snapshot: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    network: str = "default"


class Runner(Protocol):
    """Runs RUN steps on the same runtime as containers."""

    async def run(self, request: RunRequest, on_output: OnOutput) -> int:
        """Run to the end and give the exit code; cancelling stops and removes the container."""


class Puller(Protocol):
    """Finds base images, here or elsewhere."""

    async def resolve(self, name: str, platform: str | None, *, pull: bool) -> BaseImage:
        """The image *name*; NoSuchImage when there is none."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """A build as asked for. ``context`` is a folder that holds the unpacked context.

    ``build_args``: None = named without a value by a client that has none. ``dockerfile`` is relative to the context.
    """

    context: Path
    dockerfile: str = "Dockerfile"
    names: tuple[str, ...] = ()
    build_args: dict[str, str | None] = None  # type: ignore[assignment]
    labels: dict[str, str] = None  # type: ignore[assignment]
    target: str = ""
    no_cache: bool = False
    pull: bool = False
    network: str = "default"
    platform: str = ""


Build = Callable[[BuildRequest, OnEvent], Awaitable[str]]
