"""What a build says while it runs. Docker's JSON lines are rendered from these at the border."""

from __future__ import annotations

import msgspec


class BuildEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Base of the union :data:`AnyBuildEvent`."""


class StepStarted(BuildEvent, frozen=True, kw_only=True, tag="started"):
    """``step`` counts from 1 to ``total``; ``text`` is the instruction as written; ``line`` 1-based."""

    step: int
    total: int
    text: str
    line: int
    stage: str = ""


class StepCached(BuildEvent, frozen=True, kw_only=True, tag="cached"):
    step: int


class StepExplained(BuildEvent, frozen=True, kw_only=True, tag="explained"):
    """Why the step was not found in the cache, a line each: which of its inputs changed."""

    step: int
    reasons: tuple[str, ...]


class StepRunning(BuildEvent, frozen=True, kw_only=True, tag="running"):
    """A RUN step's container exists: ``container`` is its id."""

    step: int
    container: str


class StepOutput(BuildEvent, frozen=True, kw_only=True, tag="output"):
    """Bytes a RUN step wrote, decoded with replacement. ``stream``: stdout or stderr."""

    step: int
    stream: str
    text: str


class StepDone(BuildEvent, frozen=True, kw_only=True, tag="done"):
    """``state`` is the digest that names the state after the step; ``size`` the bytes its layer added."""

    step: int
    state: str
    seconds: float
    size: int = 0


class BuildNotice(BuildEvent, frozen=True, kw_only=True, tag="notice"):
    """Something the user should know that is no error (an unused build argument, a check's warning).

    ``check`` is the build check's name ("": not from one), ``description`` what it is about; ranges as in
    DockerfileError: columns count code points from 0, -1 is unknown.
    """

    text: str
    line: int = 0
    end_line: int = 0
    column: int = -1
    end_column: int = -1
    check: str = ""
    description: str = ""


class BuildExported(BuildEvent, frozen=True, kw_only=True, tag="exported"):
    """``GET /labdock/build/exports/{token}`` gives it. ``kind``: local, tar, oci or cache.

    ``number`` counts outputs and caches, each from 0, in the order of the request.
    """

    number: int
    kind: str
    token: str


class BuildDone(BuildEvent, frozen=True, kw_only=True, tag="built"):
    image: str
    names: tuple[str, ...] = ()
    seconds: float = 0.0


class BuildFailed(BuildEvent, frozen=True, kw_only=True, tag="failed"):
    """``exit_code`` is a RUN step's (0: not a RUN failure); ``tail`` its last lines; ranges as in DockerfileError.

    ``debug``: the id of an image of the state before the step, to look around in ("": there is none).
    """

    message: str
    hint: str | None = None
    step: int = 0
    line: int = 0
    end_line: int = 0
    column: int = -1
    end_column: int = -1
    exit_code: int = 0
    tail: tuple[str, ...] = ()
    debug: str = ""


AnyBuildEvent = (
    StepStarted
    | StepCached
    | StepExplained
    | StepRunning
    | StepOutput
    | StepDone
    | BuildNotice
    | BuildExported
    | BuildDone
    | BuildFailed
)
