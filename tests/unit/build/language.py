"""Short ways from a Dockerfile's text to what it means, without building anything."""

from __future__ import annotations

from typing import Any

from labdock.build.config import DEFAULT_PATH, Draft, apply, move_workdir
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile import parse
from labdock.build.plan import make_plan
from labdock.errors import DockerfileError
from labdock.schema.oci import ImageConfig, RuntimeConfig


def stages_of(text: str | bytes) -> tuple[ast.Stage, ...]:
    return parse(text).stages


def only(text: str | bytes) -> ast.Instruction:
    """The one instruction after FROM."""
    (found,) = stages_of(text)[-1].instructions
    return found


def message_of(text: str | bytes, **options: Any) -> str:
    """What is said of a Dockerfile that can't be read or planned, or whose config can't be made."""
    try:
        draft_of(text, **options)
    except DockerfileError as error:
        assert error.line >= 1
        return error.message
    raise AssertionError("it was taken")


def draft_of(text: str | bytes, base: RuntimeConfig | None = None, **options: Any) -> Draft:
    """The image of the target as far as instructions that change no file make it; each stage on its base's."""
    plan = make_plan(parse(text), **options)
    drafts: dict[int, Draft] = {}
    for entry in plan.stages:
        if isinstance(entry.base, int):
            draft = drafts[entry.base].child()
        else:
            start = base or RuntimeConfig(env=(f"PATH={DEFAULT_PATH}",) if entry.base == "scratch" else ())
            draft = Draft.of_base(plan, ImageConfig(config=start))
        for instruction in entry.stage.instructions:
            if isinstance(instruction, ast.Workdir):
                move_workdir(draft, instruction)
            else:
                apply(draft, instruction)
        drafts[entry.stage.index] = draft
    return drafts[plan.target.stage.index]
