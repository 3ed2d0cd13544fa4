"""Instructions that change only an image's config, as ``docker import --change`` and ``commit`` take them."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

import msgspec

from labdock.build.config import Draft, apply
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.parser import parse
from labdock.build.plan import make_plan
from labdock.errors import DockerfileError, InvalidRequest
from labdock.schema.oci import ImageConfig

#: moby/builder/dockerfile/dispatchers.go, validCommitCommands.
ALLOWED = frozenset("CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR".split())

_HINT = f"one of: {', '.join(sorted(ALLOWED))}"


def apply_changes(config: ImageConfig, changes: Sequence[str]) -> ImageConfig:
    """*config* after *changes*, each one instruction (or several lines of them). Raises InvalidRequest."""
    lines = [change for change in changes if change.strip()]
    if not lines:
        return config
    try:
        plan = make_plan(parse("\n".join(["FROM scratch", *lines]).encode()))
        if len(plan.dockerfile.stages) > 1:
            raise InvalidRequest("FROM is not a valid change command", hint=_HINT)
        draft = Draft.of_base(plan, config)
        for instruction in plan.target.stage.instructions:
            _apply(draft, instruction)
    except DockerfileError as error:
        raise InvalidRequest(f"invalid change: {error.message}", hint=error.hint) from error
    return msgspec.structs.replace(config, config=msgspec.structs.replace(draft.config, env=draft.scope.image_env()))


def _apply(draft: Draft, instruction: ast.Instruction) -> None:
    word = type(instruction).__name__.upper()
    if word not in ALLOWED:
        raise InvalidRequest(f"{word} is not a valid change command", hint=_HINT)
    if isinstance(instruction, ast.Workdir):
        # In a build it makes the folder too; here it is only written down.
        draft.change(working_dir=posixpath.normpath(posixpath.join(draft.workdir, draft.expand(instruction.path))))
    else:
        apply(draft, instruction)
