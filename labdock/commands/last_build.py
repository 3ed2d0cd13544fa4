"""What the last build was made of, kept in the run folder: so that its steps can be looked into afterwards."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from labdock.commands.build_view import BuildView
from labdock.schema.paths import locate

#: What a build was given that a build of a part of it needs as well.
KEPT = "add_host allow build_arg build_context cache_from network platform secret shm_size ssh".split()


class StepPlace(msgspec.Struct, frozen=True):
    """A step's number, the line where its instruction begins, and its text."""

    number: int
    line: int
    text: str


class LastBuild(msgspec.Struct, frozen=True):
    """``folder`` None: the Dockerfile alone was sent."""

    source: str
    folder: str | None
    options: dict[str, Any]
    steps: tuple[StepPlace, ...]


def remember(view: BuildView, folder: Path | None, options: dict[str, Any]) -> None:
    """Keep the build that *view* has shown; where nothing can be kept, nothing can be looked into."""
    if view.source is None or not view.steps:
        return
    last = LastBuild(
        source=view.source,
        folder=None if folder is None else str(folder.resolve()),
        options={name: options[name] for name in KEPT},
        steps=tuple(StepPlace(step.number, step.line, step.text) for step in view.steps),
    )
    with contextlib.suppress(OSError):
        path = _memory()
        # Build arguments may be meant for few eyes.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as out:
            out.write(msgspec.json.encode(last))


def recall() -> LastBuild | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(_memory().read_bytes(), type=LastBuild)
    return None


def _memory() -> Path:
    return locate(os.environ, os.getuid()).run / "last-build"
