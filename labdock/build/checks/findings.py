"""What checks find, and where. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from labdock.build.checks.options import Options
from labdock.build.checks.rules import Rule
from labdock.build.checks.words import find_near
from labdock.build.dockerfile.source import Range
from labdock.schema.build import BuildNotice

#: A file has no more findings than this: who reads them all?
MOST = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """A warning: the check's name, what it is about, what it says here, and the text it means."""

    name: str
    description: str
    text: str
    range: Range

    def notice(self) -> BuildNotice:
        """As a build says it."""
        where = self.range
        return BuildNotice(
            text=self.text,
            line=where.line,
            end_line=where.end_line,
            column=where.column,
            end_column=where.end_column,
            check=self.name,
            description=self.description,
        )


@dataclass(slots=True)
class Report:
    """Collects findings that *options* want."""

    options: Options
    found: list[Finding] = field(default_factory=list)
    _guesses: int = 200

    def guess(self, name: str, known: Iterable[str], sign: str = "") -> str:
        """The end of a message: which of *known* was meant perhaps; "" for none, and when there were many before."""
        self._guesses -= 1
        near = find_near(name, known) if self._guesses >= 0 else ""
        return f" (did you mean {sign}{near}?)" if near else ""

    def add(self, rule: Rule, where: Range, *arguments: str, comments: tuple[str, ...] = ()) -> None:
        """``comments`` are those above the instruction, which may skip checks for it."""
        if len(self.found) < MOST and self.options.narrow(comments).want(rule):
            self.found.append(Finding(rule.name, rule.description, rule.say(*arguments), where))

    def sorted(self) -> tuple[Finding, ...]:
        return tuple(sorted(self.found, key=lambda one: (one.range.line, one.range.column)))
