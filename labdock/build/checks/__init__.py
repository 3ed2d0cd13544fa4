"""BuildKit's build checks, by their names, as warnings with ranges. Pure: no I/O, any thread.

``check(dockerfile, …)`` gives findings; ``enforce`` makes them an error when the file or the build asks for that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from labdock.build.checks.bases import BaseChecker, BaseFacts, check_defaults, read_arguments
from labdock.build.checks.findings import Finding, Report
from labdock.build.checks.layout import check_layout
from labdock.build.checks.options import ARGUMENT, Options, read_options
from labdock.build.checks.rules import RULES
from labdock.build.checks.stages import Facts, StageChecker
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.source import Range, refuse
from labdock.build.patterns import PathMatcher
from labdock.build.plan import SCRATCH, platform_arguments
from labdock.build.scope import Scope
from labdock.errors import DockerfileError

_PATH = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)


def check(
    dockerfile: ast.Dockerfile,
    context_matcher: PathMatcher | None = None,
    *,
    build_args: Mapping[str, str | None] | None = None,
    target: str = "",
    platform: str = "",
    native: str = "linux/amd64",
    bases: Mapping[str, BaseFacts] | None = None,
    stages: Collection[int] | None = None,
) -> tuple[Finding, ...]:
    """What the checks find, in the order of the file; those that were asked for, that is.

    ``context_matcher``: the patterns of ``.dockerignore``. ``bases``: what is known of base images, by their
    names; of others it is not known which variables they set. ``stages``: the numbers of the stages that are
    built (None: all). Raises DockerfileError for options that can't be read.
    """
    given = {name: value for name, value in (build_args or {}).items() if value is not None}
    report = Report(read_config(dockerfile, given))
    check_layout(dockerfile, report)
    last = target or dockerfile.stages[-1].name
    defaults = read_arguments(dockerfile, platform_arguments(platform or native, native, last), {})
    if defaults is not None:
        check_defaults(dockerfile, defaults, report)
    builtin = platform_arguments(platform or native, native, last)
    arguments = read_arguments(dockerfile, {**builtin, **{k: v for k, v in given.items() if k in builtin}}, given)
    checker = BaseChecker(dockerfile, arguments if arguments is not None else builtin, report)
    facts: list[Facts] = []
    known: Mapping[str, BaseFacts] = {} if bases is None else bases
    for stage in dockerfile.stages:
        name = checker.check(stage.start)
        found = _start(dockerfile, stage, name, facts, known)
        base = known.get(name)
        if base is not None and base.platform:
            checker.check_found(stage.start, name, checker.platform(stage.start) or platform or native, base.platform)
        facts.append(found)
        wanted = stages is None or stage.index in stages
        one = StageChecker(
            report if wanted else Report(Options(skip_all=True)),
            found,
            arguments or builtin,
            given,
            dockerfile.escape,
            context_matcher,
        )
        for instruction in stage.instructions:
            one.check(instruction)
    return report.sorted()


def _start(
    dockerfile: ast.Dockerfile, stage: ast.Stage, name: str, facts: list[Facts], bases: Mapping[str, BaseFacts]
) -> Facts:
    earlier = dockerfile.find(name, stage.index)
    if earlier is not None:
        return facts[earlier].child()
    if name == SCRATCH:
        return Facts(Scope.of_image(_PATH))
    base = bases.get(name)
    if base is None:
        return Facts(Scope.of_image(_PATH), complete=False)
    return Facts(Scope.of_image((*_PATH, *base.env)), shell=bool(base.shell))


def read_config(dockerfile: ast.Dockerfile, build_args: Mapping[str, str | None]) -> Options:
    """The options of the file's ``# check=``, or of the build argument in its place. Raises DockerfileError."""
    where = Range(1, 0, 1, 0)
    text = build_args.get(ARGUMENT)
    if text is None:
        text = ""
        for directive in dockerfile.directives:
            if directive.name == "check":
                text, where = directive.value, Range(directive.line, 0, directive.line, len(directive.value))
    try:
        return read_options(text)
    except ValueError as error:
        hint = "for example: # check=skip=JSONArgsRecommended;error=true"
        raise refuse(where, f"failed to parse check options: {error}", hint=hint) from None


def enforce(
    dockerfile: ast.Dockerfile, findings: tuple[Finding, ...], build_args: Mapping[str, str | None] | None = None
) -> None:
    """Raise DockerfileError at the first of *findings* if ``error=true`` was asked for."""
    if findings and read_config(dockerfile, build_args or {}).error:
        names = ", ".join(sorted({one.name for one in findings}))
        first = findings[0]
        raise refuse(first.range, f"lint violation found for rules: {names}", hint=first.text)


__all__ = ["RULES", "BaseFacts", "DockerfileError", "Finding", "check", "enforce", "read_config"]
