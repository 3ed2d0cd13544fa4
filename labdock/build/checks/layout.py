"""Checks of how a file is written: casing, names of stages, comments, forms that are going away. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from labdock.build.checks import rules
from labdock.build.checks.findings import Report
from labdock.build.dockerfile import instructions as ast

_RESERVED = ("context", "scratch")


def check_layout(dockerfile: ast.Dockerfile, report: Report) -> None:
    """What needs no variables."""
    _check_continuations(dockerfile, report)
    _check_casing(dockerfile, report)
    seen: set[str] = set()
    for stage in dockerfile.stages:
        _check_start(stage.start, report)
        if stage.name in _RESERVED:
            report.add(rules.RESERVED_STAGE_NAME, stage.start.marks[1].range, rules.quote(stage.name))
        if stage.name and stage.name in seen:
            report.add(rules.DUPLICATE_STAGE_NAME, stage.start.marks[1].range, rules.quote(stage.name))
        seen.add(stage.name)
    for instruction in _instructions(dockerfile):
        if isinstance(instruction, ast.Maintainer):
            report.add(rules.MAINTAINER_DEPRECATED, instruction.range, comments=instruction.comments)
        elif isinstance(instruction, ast.Arg):
            names = [one.name for one in instruction.declared]
            _check_description(instruction, names, report)


def _instructions(dockerfile: ast.Dockerfile) -> Iterator[ast.Instruction]:
    yield from dockerfile.arguments
    for stage in dockerfile.stages:
        yield stage.start
        yield from stage.instructions


def _check_continuations(dockerfile: ast.Dockerfile, report: Report) -> None:
    empty = dict(dockerfile.empty_continuations)
    for instruction in _instructions(dockerfile):
        where = empty.get(instruction.range.line)
        if where is not None:
            report.add(rules.NO_EMPTY_CONTINUATION, where, comments=instruction.comments)


def _check_casing(dockerfile: ast.Dockerfile, report: Report) -> None:
    heads = [instruction.head for stage in dockerfile.stages for instruction in (stage.start, *stage.instructions)]
    lower = sum(head.text.islower() for head in heads)
    upper = sum(head.text.isupper() for head in heads)
    for head in heads:
        if lower > upper and not head.text.islower():
            report.add(rules.CONSISTENT_INSTRUCTION_CASING, head.range, head.text, "lowercase")
        elif lower <= upper and not head.text.isupper():
            report.add(rules.CONSISTENT_INSTRUCTION_CASING, head.range, head.text, "uppercase")


def _check_start(start: ast.From, report: Report) -> None:
    if not start.marks:
        return
    mark, name = start.marks
    if name.text != name.text.lower():
        report.add(rules.STAGE_NAME_CASING, name.range, name.text, comments=start.comments)
    head = start.head.text
    wanted = mark.text.lower() if head.islower() else mark.text.upper() if head.isupper() else mark.text
    if mark.text != wanted:
        report.add(rules.FROM_AS_CASING, mark.range, mark.text, head, comments=start.comments)
    _check_description(start, [start.name], report)


def _check_description(instruction: ast.Instruction, names: list[str], report: Report) -> None:
    if not instruction.comments or instruction.comments[-1].split(" ")[0] in names:
        return
    shown = names[0] if len(names) == 1 else "<arg_key>"
    report.add(
        rules.INVALID_DEFINITION_DESCRIPTION,
        instruction.range,
        instruction.keyword,
        shown,
        comments=instruction.comments,
    )
