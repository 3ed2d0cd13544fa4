"""Checks of FROM lines: their arguments, their platforms, what their base images turned out to be. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from labdock.build.checks import rules
from labdock.build.checks.findings import Report
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.source import Word
from labdock.build.dockerfile.words import Lexer, LexError

_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::[\w][\w.\-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[\-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?\Z",
    re.ASCII,
)
_SYSTEMS = ("linux", "windows", "darwin", "freebsd", "openbsd", "netbsd", "android", "solaris", "plan9", "aix", "js")
_SPELLINGS = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "armhf": "arm", "armel": "arm"}
_MACHINES = ("386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le")
_ARCHITECTURES = frozenset({*_MACHINES, "riscv64", "s390x", "wasm"})
_LONGEST_NAME = 4096


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """What is known of a base image: its variables (``name=value``), its SHELL, its platform (``linux/arm64``)."""

    env: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    platform: str = ""


def read_arguments(
    dockerfile: ast.Dockerfile, arguments: dict[str, str], build_args: Mapping[str, str]
) -> dict[str, str] | None:
    """*arguments* with the global ARGs taken in; None when one of them can't be read."""
    for instruction in dockerfile.arguments:
        for one in instruction.declared:
            if one.name in build_args:
                arguments[one.name] = build_args[one.name]
            elif one.default is not None:
                try:
                    arguments[one.name] = Lexer(one.default.text, arguments, dockerfile.escape).run()[0]
                except LexError:
                    return None
    return arguments


def check_defaults(dockerfile: ast.Dockerfile, arguments: Mapping[str, str], report: Report) -> None:
    """Whether every FROM is a name when no build argument is given."""
    for stage in dockerfile.stages:
        word = stage.start.base
        if "$" not in word.text:
            continue
        try:
            name = Lexer(word.text, arguments, dockerfile.escape).run()[0]
        except LexError:
            return
        if len(name) > _LONGEST_NAME or not _REFERENCE.match(name):
            comments = stage.start.comments
            report.add(rules.INVALID_DEFAULT_ARG_IN_FROM, word.range, word.text, comments=comments)


class BaseChecker:
    """Checks FROM lines against the values of the global arguments."""

    def __init__(self, dockerfile: ast.Dockerfile, arguments: Mapping[str, str], report: Report) -> None:
        self._escape = dockerfile.escape
        self._arguments = arguments
        self._report = report
        declared = [one.name for instruction in dockerfile.arguments for one in instruction.declared]
        self._known = dict.fromkeys([*declared, *arguments])

    def check(self, start: ast.From) -> str:
        """Check *start*; gives the base's name, "" when it can't be told."""
        name, _, _ = self._expand(start.base, start)
        if start.platform is not None:
            self._check_platform(start, start.platform)
        return name

    def _expand(self, word: Word, start: ast.From) -> tuple[str, set[str], set[str]]:
        lexer = Lexer(word.text, self._arguments, self._escape)
        try:
            text = lexer.run()[0]
        except LexError:
            text = ""
        for name in sorted(lexer.unset - self._known.keys()):
            hint = self._report.guess(name, self._known)
            self._report.add(rules.UNDEFINED_ARG_IN_FROM, word.range, name, hint, comments=start.comments)
        return text, lexer.used, lexer.unset

    def _check_platform(self, start: ast.From, word: Word) -> None:
        text, used, unset = self._expand(word, start)
        if used == {"TARGETPLATFORM"} and not unset and text == self._arguments.get("TARGETPLATFORM"):
            self._report.add(rules.REDUNDANT_TARGET_PLATFORM, word.range, word.text, comments=start.comments)
        if used or unset:
            return
        parts = split_platform(text)
        if parts is not None and not any(part in start.name for part in parts):
            rule = rules.FROM_PLATFORM_FLAG_CONST_DISALLOWED
            self._report.add(rule, word.range, rules.quote(text), comments=start.comments)

    def check_found(self, start: ast.From, name: str, wanted: str, found: str) -> None:
        """Whether base *name*, which is for *found*, is for *wanted* ("" either: nothing is known)."""
        expected, actual = split_platform(wanted), split_platform(found)
        if expected is not None and actual is not None and expected != actual:
            arguments = (name, rules.quote(found), rules.quote(wanted))
            self._report.add(rules.INVALID_BASE_IMAGE_PLATFORM, start.base.range, *arguments, comments=start.comments)

    def platform(self, start: ast.From) -> str:
        """What ``--platform`` comes to; "" without one."""
        if start.platform is None:
            return ""
        try:
            return Lexer(start.platform.text, self._arguments, self._escape).run()[0]
        except LexError:
            return ""


def split_platform(text: str) -> tuple[str, str] | None:
    """System and architecture of *text* (``linux/arm64/v8``, ``arm64``); None for what is no platform."""
    parts = text.lower().split("/")
    if not 1 <= len(parts) <= 3 or not all(parts):
        return None
    if len(parts) == 1:
        if parts[0] in _SYSTEMS:
            return parts[0], ""
        parts = ["linux", *parts]
    architecture = _SPELLINGS.get(parts[1], parts[1])
    return (parts[0], architecture) if architecture in _ARCHITECTURES else None
