"""From a parsed Dockerfile to what must be built: global arguments, base names, the stages that are needed. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.parser import parse_trigger
from labdock.build.dockerfile.remotes import is_remote
from labdock.build.dockerfile.source import Range, Word, refuse
from labdock.build.dockerfile.words import LexError, expand
from labdock.errors import DockerfileError

#: Build arguments that RUN sees without an ARG; in no history and no cache key.
PROXIES = frozenset(
    name
    for lower in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (lower, lower.upper())
)
#: Build arguments that speak to the builder itself and need no ARG.
BUILDER_ARGS = frozenset(
    {
        "BUILDKIT_SYNTAX",
        "BUILDKIT_INLINE_CACHE",
        "BUILDKIT_CACHE_MOUNT_NS",
        "BUILDKIT_MULTI_PLATFORM",
        "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
        "BUILDKIT_SANDBOX_HOSTNAME",
        "BUILDKIT_BUILD_NAME",
        "BUILDKIT_DOCKERFILE_CHECK",
        "SOURCE_DATE_EPOCH",
    }
)
SCRATCH = "scratch"
_PLATFORM = re.compile(r"[A-Za-z0-9_.-]+(?:\([A-Za-z0-9_.-]*\))?(?:/[A-Za-z0-9_.-]+){0,2}\Z")
Source = int | str
"""Where files come from: a stage's index, or an image's name."""


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage that will be built. ``base`` is an earlier stage's index or an image's name; "" platform: native."""

    stage: ast.Stage
    base: Source
    platform: str


@dataclass(frozen=True, slots=True)
class Plan:
    """``stages`` are in file order, the needed ones only; the last is the target. ``total`` counts Docker's steps.
    ``every``: all stages up to the target, for what only a base image's triggers turn out to need.

    ``arguments``: the global ARGs with their values, and the platform's, which a stage's ``ARG name`` imports.
    ``contexts``: the names of contexts that were given; they go before stages and images.
    """

    dockerfile: ast.Dockerfile
    build_args: Mapping[str, str]
    arguments: Mapping[str, str]
    stages: tuple[PlannedStage, ...]
    total: int
    unused: tuple[str, ...]
    contexts: frozenset[str] = frozenset()
    every: tuple[PlannedStage, ...] = ()

    @property
    def target(self) -> PlannedStage:
        return self.stages[-1]


def make_plan(
    dockerfile: ast.Dockerfile,
    *,
    build_args: Mapping[str, str | None] | None = None,
    target: str = "",
    platform: str = "",
    native: str = "linux/amd64",
    contexts: frozenset[str] = frozenset(),
) -> Plan:
    """Plan *target* (a stage's name, in any case; "": the last one). Raises DockerfileError."""
    given = {name: value for name, value in (build_args or {}).items() if value is not None}
    wanted = find_target(dockerfile, target)
    arguments = platform_arguments(platform or native, native, target or wanted.name)
    arguments |= {name: given[name] for name in arguments if name in given}
    for instruction in dockerfile.arguments:
        for one in instruction.declared:
            if one.name in given:
                arguments[one.name] = given[one.name]
            elif one.default is not None:
                arguments[one.name] = expand_word(one.default, arguments, dockerfile.escape)
    planned: list[PlannedStage] = []
    for stage in dockerfile.stages[: wanted.index + 1]:
        base = _find_base(dockerfile, stage, arguments, contexts)
        chosen = _find_platform(dockerfile, stage.start.platform, arguments) or platform
        planned.append(PlannedStage(stage, base, chosen))
    needed = _reach(dockerfile, planned, contexts)
    stages = tuple(planned[index] for index in sorted(needed))
    for entry in stages:
        for instruction_ in entry.stage.instructions:
            check_supported(instruction_)
    total = len(dockerfile.arguments) + sum(1 + len(entry.stage.instructions) for entry in stages)
    return Plan(dockerfile, given, arguments, stages, total, _unused(dockerfile, given), contexts, tuple(planned))


def find_target(dockerfile: ast.Dockerfile, target: str) -> ast.Stage:
    """The stage *target* means. Raises DockerfileError."""
    if not target:
        return dockerfile.stages[-1]
    named = dockerfile.find(target, len(dockerfile.stages))
    if named is not None:
        return dockerfile.stages[named]
    if target.isascii() and target.isdigit() and int(target[:9]) < len(dockerfile.stages):
        return dockerfile.stages[int(target[:9])]
    names = [stage.name for stage in dockerfile.stages if stage.name]
    hint = f"its stages are: {', '.join(names)}" if names else "its stages have no names; add AS name to a FROM line"
    raise DockerfileError(f"target stage {target!r} could not be found", hint=hint)


def expand_word(word: Word, values: Mapping[str, str], escape: str) -> str:
    """*word* with its variables replaced; what fails is an error at the word."""
    try:
        return expand(word.text, values, escape)
    except LexError as error:
        raise refuse(word.range, str(error)) from None


def find_context(name: str, contexts: frozenset[str]) -> str | None:
    """The named context that *name*, of a stage or an image, means; None when there is none."""
    lowered = name.lower()
    return next((each for each in (lowered, lowered.removesuffix(":latest")) if each in contexts), None)


def find_source(dockerfile: ast.Dockerfile, before: int, word: Word, contexts: frozenset[str] = frozenset()) -> Source:
    """What ``--from=`` names, seen from stage number *before*. Raises DockerfileError."""
    if "$" in word.text:
        raise refuse(
            word.range,
            f"variable expansion is not supported for --from ({word.text})",
            hint="add a stage `FROM image:$ARG AS name` with a global ARG, and use --from=name",
        )
    name = word.text.lower()
    if (given := find_context(name, contexts)) is not None:
        return given
    earlier = dockerfile.find(name, before)
    if earlier is not None:
        return earlier
    if name.isascii() and name.isdigit():
        index = int(name[:9])
        if index >= before:
            hint = f"stages before this one: 0 to {before - 1}" if before else "this is the first stage"
            raise refuse(word.range, f"invalid from flag value {word.text}: no such stage before this one", hint=hint)
        return index
    if name in dockerfile.named:
        if before in dockerfile.named[name]:
            raise refuse(word.range, f"circular dependency: stage {word.text} copies from itself")
        raise refuse(word.range, f"stage {word.text} must be defined before it is copied from")
    return word.text


def platform_arguments(target: str, native: str, stage: str) -> dict[str, str]:
    """The arguments that are there without an ARG: for FROM at once, in a stage after ``ARG name``."""
    found = {"TARGETSTAGE": stage or "default"}
    for prefix, value in (("TARGET", target), ("BUILD", native)):
        os_name, _, rest = value.partition("/")
        architecture, _, variant = rest.partition("/")
        found[f"{prefix}PLATFORM"] = value
        found[f"{prefix}OS"] = os_name
        found[f"{prefix}OSVERSION"] = ""
        found[f"{prefix}ARCH"] = architecture
        found[f"{prefix}VARIANT"] = variant
    return found


def _find_platform(dockerfile: ast.Dockerfile, word: Word | None, arguments: Mapping[str, str]) -> str:
    if word is None:
        return ""
    found = expand_word(word, arguments, dockerfile.escape)
    if not found:
        hint = "an ARG for FROM must be declared before the first FROM and have a value"
        raise refuse(word.range, f"empty platform value from expression {word.text}", hint=hint)
    if not _PLATFORM.match(found):
        hint = "for example linux/amd64 or linux/arm/v7"
        raise refuse(word.range, f'failed to parse platform {word.text}: "{found}" is an invalid OS/Arch', hint=hint)
    return found


def _find_base(
    dockerfile: ast.Dockerfile, stage: ast.Stage, arguments: Mapping[str, str], contexts: frozenset[str]
) -> Source:
    word = stage.start.base
    name = expand_word(word, arguments, dockerfile.escape).strip()
    if not name:
        hint = "an ARG for FROM must be declared before the first FROM and have a value"
        raise refuse(word.range, f"base name ({word.text}) should not be blank", hint=hint)
    if (given := find_context(stage.name or name, contexts) or find_context(name, contexts)) is not None:
        return given
    earlier = dockerfile.find(name, stage.index)
    return name if earlier is None else earlier


def _reach(dockerfile: ast.Dockerfile, planned: list[PlannedStage], contexts: frozenset[str]) -> set[int]:
    needed: set[int] = set()
    todo = [len(planned) - 1]
    while todo:
        index = todo.pop()
        if index in needed:
            continue
        needed.add(index)
        base = planned[index].base
        words = [word for instruction in planned[index].stage.instructions for word in _origins(instruction)]
        if isinstance(base, int):
            words += _trigger_origins(planned[base].stage)
        sources: list[Source] = [base, *(find_source(dockerfile, index, word, contexts) for word in words)]
        todo += [source for source in sources if isinstance(source, int)]
    return needed


def _origins(instruction: ast.Instruction) -> list[Word]:
    """The ``from`` of a COPY or of a RUN's mounts."""
    if isinstance(instruction, ast.Copy):
        return [instruction.source] if instruction.source is not None else []
    if isinstance(instruction, ast.Run):
        return [Word(mount.origin, mount.range) for mount in instruction.mounts if mount.origin]
    return []


def _trigger_origins(stage: ast.Stage) -> list[Word]:
    """What the triggers of *stage* copy from: a name that is of the stages in front of the one that is based on it."""
    found = []
    for instruction in stage.instructions:
        if isinstance(instruction, ast.Onbuild):
            words = _origins(parse_trigger(instruction.trigger))
            found += [Word(word.text, instruction.range) for word in words]
    return found


def _unused(dockerfile: ast.Dockerfile, given: Mapping[str, str]) -> tuple[str, ...]:
    declared = {one.name for instruction in dockerfile.arguments for one in instruction.declared}
    for stage in dockerfile.stages:
        for instruction in stage.instructions:
            if isinstance(instruction, ast.Arg):
                declared |= {one.name for one in instruction.declared}
    return tuple(sorted(set(given) - declared - PROXIES - BUILDER_ARGS))


def check_supported(instruction: ast.Instruction) -> None:
    """Raise DockerfileError for what the language has and labdock has not yet."""
    if isinstance(instruction, ast.Run):
        if instruction.devices:
            raise _unsupported(instruction.devices[0].range, "RUN --device")
        if instruction.security != "sandbox":
            raise refuse(
                instruction.range,
                "RUN --security=insecure is not granted: a step must not get more than the sandbox has",
                hint="run the build without it; a container of your own may be --privileged",
            )
    elif isinstance(instruction, ast.Copy):
        for word in instruction.sources:
            if is_remote(word.text):
                raise refuse(word.range, "source can't be a URL for COPY", hint="ADD takes URLs")


def _unsupported(where: Range, what: str) -> DockerfileError:
    return refuse(where, f"{what} is not supported yet")
