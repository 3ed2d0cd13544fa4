"""Checks that follow a stage's variables and config from instruction to instruction. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from labdock.build.checks import rules
from labdock.build.checks.findings import Report
from labdock.build.checks.words import find_words
from labdock.build.dockerfile import instructions as ast
from labdock.build.dockerfile.ports import read_port
from labdock.build.dockerfile.remotes import is_remote
from labdock.build.dockerfile.source import Range, Word
from labdock.build.dockerfile.words import Lexer, LexError, expand
from labdock.build.patterns import PathMatcher
from labdock.build.scope import Scope

_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|\Z)", re.IGNORECASE
)
_NO_SECRET = re.compile(r"(?:_|^)(?:public|file|version)(?:_|\Z)", re.IGNORECASE)
_EVERYTHING = frozenset({"*", "**", "**/*"})


@dataclass(slots=True)
class Facts:
    """What is known of a stage so far. ``complete``: its base's variables are known, too.

    ``shell``: the image has a SHELL of its own; ``anchored``: a WORKDIR was there.
    """

    scope: Scope = field(default_factory=Scope)
    declared: set[str] = field(default_factory=set)
    complete: bool = True
    shell: bool = False
    anchored: bool = False

    def child(self) -> Facts:
        return Facts(self.scope.child(), set(self.declared), self.complete, self.shell, self.anchored)


@dataclass(slots=True)
class StageChecker:
    """Checks the instructions of one stage, in order."""

    report: Report
    facts: Facts
    arguments: Mapping[str, str]
    build_args: Mapping[str, str]
    escape: str
    ignored: PathMatcher | None
    _last: dict[type[ast.Instruction], ast.Instruction] = field(default_factory=dict)

    def check(self, instruction: ast.Instruction) -> None:
        for word in find_words(instruction):
            self._expand(word, instruction)
        match instruction:
            case ast.Arg():
                self._arg(instruction)
            case ast.Env():
                self._env(instruction)
            case ast.Label():
                self._legacy(instruction, instruction.pairs)
            case ast.Cmd() | ast.Entrypoint():
                self._once(instruction)
                self._json(instruction, instruction.command)
            case ast.Healthcheck():
                self._once(instruction)
            case ast.Shell():
                self.facts.shell = True
            case ast.Workdir():
                self._workdir(instruction)
            case ast.Expose():
                self._expose(instruction)
            case ast.Transfer():
                self._transfer(instruction)

    def _add(self, rule: rules.Rule, where: Range, instruction: ast.Instruction, *arguments: str) -> None:
        self.report.add(rule, where, *arguments, comments=instruction.comments)

    def _expand(self, word: Word, instruction: ast.Instruction, *, body: bool = False) -> str | None:
        """*word* with its variables; None when one of them is not known. Reports those that nobody set."""
        if "$" not in word.text and not body:
            try:
                return expand(word.text, {}, self.escape)
            except LexError:
                return None
        lexer = Lexer(word.text, self.facts.scope.values, "\\" if body else self.escape, skip_quotes=body)
        try:
            text = lexer.run()[0]
        except LexError:
            text = ""
        missing = sorted(lexer.unset)
        for name in missing:
            if name not in self.facts.declared:
                self._undefined(name, word, instruction)
        return None if missing and not self.facts.complete else text

    def _undefined(self, name: str, word: Word, instruction: ast.Instruction) -> None:
        values = self.facts.scope.values
        known = values if self.facts.complete else (each for each in values if each != "PATH")
        hint = self.report.guess(name, known, "$")
        if not hint and not self.facts.complete:
            # The base may set it: only what looks like a slip is reported.
            return
        self._add(rules.UNDEFINED_VAR, word.range, instruction, name, hint)

    def _arg(self, instruction: ast.Arg) -> None:
        for one in instruction.declared:
            self._secret(one.name, one.range, instruction)
            value: str | None = self.build_args.get(one.name)
            if value is None and one.default is not None:
                value = self._expand(one.default, instruction) or ""
            elif value is None:
                value = self.arguments.get(one.name)
            if value is not None:
                self.facts.scope.set_arg(one.name, value)
            self.facts.declared.add(one.name)

    def _env(self, instruction: ast.Env) -> None:
        self._legacy(instruction, instruction.pairs)
        found: dict[str, str] = {}
        values = self.facts.scope.values
        for pair in instruction.pairs:
            try:
                name = expand(pair.name.text, values, self.escape)
                self._secret(name, pair.name.range, instruction)
                found[name] = expand(pair.value.text, values, self.escape)
            except LexError:
                continue
        for name, value in found.items():
            self.facts.scope.set_env(name, value)

    def _secret(self, name: str, where: Range, instruction: ast.Instruction) -> None:
        if _SECRET.search(name) and not _NO_SECRET.search(name):
            self._add(rules.SECRETS_USED_IN_ARG_OR_ENV, where, instruction, instruction.keyword, rules.quote(name))

    def _legacy(self, instruction: ast.Instruction, pairs: tuple[ast.Pair, ...]) -> None:
        for pair in pairs:
            if pair.old_form:
                self._add(rules.LEGACY_KEY_VALUE_FORMAT, instruction.range, instruction, instruction.head.text)

    def _once(self, instruction: ast.Instruction) -> None:
        before = self._last.get(type(instruction))
        if before is not None:
            # The earlier one is the one that does nothing.
            self._add(rules.MULTIPLE_INSTRUCTIONS_DISALLOWED, before.range, instruction, instruction.head.text)
        self._last[type(instruction)] = instruction

    def _json(self, instruction: ast.Instruction, command: ast.Command) -> None:
        if command.shell and command.args and not self.facts.shell:
            self._add(rules.JSON_ARGS_RECOMMENDED, instruction.range, instruction, instruction.head.text)

    def _workdir(self, instruction: ast.Workdir) -> None:
        path = self._value(instruction.path)
        if path is not None and not self.facts.anchored and not path.startswith("/"):
            self._add(rules.WORKDIR_RELATIVE_PATH, instruction.path.range, instruction, rules.quote(path))
        self.facts.anchored = True

    def _value(self, word: Word) -> str | None:
        """*word* with its variables; None when one of them is not known. Reports nothing."""
        unset: set[str] = set()
        try:
            text = expand(word.text, self.facts.scope.values, self.escape, unset)
        except LexError:
            return None
        return text if self.facts.complete or not unset else None

    def _expose(self, instruction: ast.Expose) -> None:
        for word in instruction.ports:
            for text in (self._value(word) or "").split():
                try:
                    found = read_port(text)
                except ValueError:
                    continue
                if found.protocol != found.protocol.lower():
                    self._add(rules.EXPOSE_PROTO_CASING, word.range, instruction, text)
                if found.mapped:
                    self._add(rules.EXPOSE_INVALID_FORMAT, word.range, instruction, text)

    def _transfer(self, instruction: ast.Transfer) -> None:
        for each in instruction.inlines:
            if each.expand:
                self._expand(Word(each.content, each.range), instruction, body=True)
        elsewhere = isinstance(instruction, ast.Copy) and instruction.source is not None
        if self.ignored is None or self.ignored.has_exceptions or elsewhere:
            return
        for word in instruction.sources:
            text = self._value(word)
            if text is None or is_remote(text):
                continue
            path = posixpath.normpath(text)
            everything = path in (".", "/")
            hidden = bool(self.ignored.texts & _EVERYTHING) if everything else self.ignored.matches(path.lstrip("/"))
            if hidden:
                shown = instruction.keyword.capitalize()
                self._add(rules.COPY_IGNORED_FILE, word.range, instruction, shown, rules.quote(path))
