"""Words with quotes, escapes and variables: the shell-like lexer of Dockerfiles. Pure, linear in input and output.

``expand`` makes one text of a word; ``split`` makes words of a text (blanks in unquoted variables split,
too). All of ``$x ${x} ${x:-w} ${x-w} ${x:+w} ${x+w} ${x:?w} ${x?w} ${x#p} ${x##p} ${x%p} ${x%%p} ${x/p/w} ${x//p/w}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from labdock.build.dockerfile.globs import BadGlob, replace, strip_prefix, strip_suffix
from labdock.build.dockerfile.source import SPACES

#: A single text grows no longer than this by its variables (execve(2) takes 128 KiB for one argument).
LONGEST = 1 << 20
_DEEPEST = 60
_SPECIAL = "@*#?-$!0"


class LexError(ValueError):
    """A word that can't be read; the text says why, in Docker's words."""


@dataclass(slots=True)
class _Words:
    """Collects words: blanks end a word, unless they were quoted."""

    done: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def open(self, text: str) -> None:
        """Text whose blanks separate words."""
        for char in text:
            if char not in SPACES:
                self.parts.append(char)
            elif self.parts:
                self.close()

    def close(self) -> None:
        word = "".join(self.parts)
        if word:
            self.done.append(word)
            self.parts.clear()


@dataclass(slots=True)
class Lexer:
    """One text being read. ``raw_quotes``/``raw_escapes`` keep them in the result; ``keep_unset`` leaves
    variables that have no value as they are written; ``unset`` collects their names."""

    text: str
    env: Mapping[str, str]
    escape: str = "\\"
    raw_quotes: bool = False
    raw_escapes: bool = False
    skip_quotes: bool = False
    keep_unset: bool = False
    unset: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    _at: int = 0
    _depth: int = 0
    _grown: int = 0

    def run(self) -> tuple[str, list[str]]:
        """The text with everything applied, and its words. Raises LexError."""
        try:
            return self._read_until("", self.raw_escapes)
        except LexError as error:
            raise LexError(f'failed to process "{self.text}": {error}') from None

    def _peek(self) -> str:
        return self.text[self._at] if self._at < len(self.text) else ""

    def _next(self) -> str:
        char = self._peek()
        self._at += 1 if char else 0
        return char

    def _grow(self, value: str) -> str:
        self._grown += len(value)
        if self._grown > LONGEST:
            raise LexError(f"variables grow the text beyond {LONGEST} characters")
        return value

    def _read_until(self, stop: str, raw_escapes: bool) -> tuple[str, list[str]]:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise LexError(f"substitutions nested deeper than {_DEEPEST}")
        result: list[str] = []
        words = _Words()
        kept, self.raw_escapes = self.raw_escapes, raw_escapes
        while char := self._peek():
            if stop and char == stop:
                self._at += 1
                break
            if char == "$":
                value = self._dollar()
                words.open(value)
            elif char == "<":
                value = self._heredoc_mark()
                words.parts.append(value)
            elif char in "'\"" and not self.skip_quotes:
                value = self._single() if char == "'" else self._double()
                words.parts.append(value)
            else:
                value = self._plain(words)
            result.append(value)
        else:
            if stop:
                raise LexError(f"unexpected end of statement while looking for matching {stop}")
        words.close()
        self.raw_escapes = kept
        self._depth -= 1
        return "".join(result), words.done

    def _plain(self, words: _Words) -> str:
        char = self._next()
        if char != self.escape:
            words.open(char)
            return char
        value = (char if self.raw_escapes else "") + self._next()
        words.parts.append(value)
        return value

    def _single(self) -> str:
        end = self.text.find("'", self._at + 1)
        if end < 0:
            self._at = len(self.text)
            raise LexError("unexpected end of statement while looking for matching single-quote")
        inner = self.text[self._at + 1 : end]
        self._at = end + 1
        return f"'{inner}'" if self.raw_quotes else inner

    def _double(self) -> str:
        self._at += 1
        result = ['"'] if self.raw_quotes else []
        while char := self._peek():
            if char == "$":
                result.append(self._dollar())
                continue
            self._at += 1
            if char == '"':
                return "".join([*result, '"'] if self.raw_quotes else result)
            if char == self.escape:
                following = self._peek()
                if self.raw_escapes:
                    result.append(char)
                if not following:
                    break
                if following in ('"', "$", self.escape):
                    char = self._next()
                elif self.raw_escapes:
                    continue
            result.append(char)
        raise LexError("unexpected end of statement while looking for matching double-quote")

    def _heredoc_mark(self) -> str:
        self._at += 1
        if self._peek() != "<":
            return "<"
        start = self._at
        self._at += 1
        while self._peek() in ("\t", "\r", " "):
            self._at += 1
        return "<" + self.text[start : self._at]

    def _name(self) -> str:
        start = self._at
        first = self._peek()
        if first.isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif first and first in _SPECIAL:
            self._at += 1
        else:
            while (char := self._peek()) and (char.isalpha() or char.isdecimal() or char == "_"):
                self._at += 1
        return self.text[start : self._at]

    def _value(self, name: str) -> tuple[str, bool]:
        if name in self.env:
            self.used.add(name)
            return self._grow(self.env[name]), True
        self.unset.add(name)
        return "", False

    def _dollar(self) -> str:
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value, found = self._value(name)
            return value if found or not self.keep_unset else "$" + name
        self._at += 1
        if not self._peek():
            raise LexError("syntax error: missing '}'")
        if self._peek() in "{}:":
            raise LexError("syntax error: bad substitution")
        name = self._name()
        operator = self._next()
        if operator == "}":
            value, found = self._value(name)
            return value if found or not self.keep_unset else f"${{{name}}}"
        if operator == "/":
            return self._replace(name)
        empty_is_unset = operator == ":"
        if empty_is_unset:
            operator = self._next()
        shown = ":" * empty_is_unset + operator
        if not operator:
            raise LexError("syntax error: missing '}'")
        if operator not in ("-+?" if empty_is_unset else "-+?#%"):
            raise LexError(f"unsupported modifier ({shown}) in substitution")
        word = self._operand("}", raw=operator in "#%", missing="syntax error: missing '}'")
        value, found = self._value(name)
        if not found and self.keep_unset:
            return f"${{{name}{shown}{word}}}"
        return self._modify(name, operator, word, value, found, empty_is_unset)

    def _operand(self, stop: str, *, raw: bool, missing: str) -> str:
        try:
            return self._read_until(stop, raw)[0]
        except LexError:
            if not self._peek():
                raise LexError(missing) from None
            raise

    def _modify(self, name: str, operator: str, word: str, value: str, found: bool, empty_is_unset: bool) -> str:
        there = found and not (empty_is_unset and not value)
        if operator == "-":
            return value if there else word
        if operator == "+":
            return word if there else ""
        if operator == "?":
            if not there:
                state = "unset" if not found else "empty"
                raise LexError(f"{name}: {word or f'is not allowed to be {state}'}")
            return value
        greedy = word.startswith(operator)
        strip = strip_prefix if operator == "#" else strip_suffix
        try:
            return strip(word[1:] if greedy else word, value, greedy=greedy)
        except BadGlob as error:
            raise LexError(f"invalid pattern ({word}) in substitution: {error}") from None

    def _replace(self, name: str) -> str:
        everywhere = self._peek() == "/"
        self._at += int(everywhere)
        pattern = self._operand("/", raw=True, missing="syntax error: missing '/' in ${}")
        new = self._operand("}", raw=True, missing="syntax error: missing '}'")
        value, found = self._value(name)
        if not found and self.keep_unset:
            return f"${{{name}/{pattern}/{new}}}"
        try:
            return self._grow(replace(pattern, new, value, everywhere=everywhere, limit=LONGEST))
        except BadGlob as error:
            raise LexError(f"invalid pattern ({pattern}) in substitution: {error}") from None


def expand(text: str, env: Mapping[str, str], escape: str = "\\", unset: set[str] | None = None) -> str:
    """*text* with variables replaced and quotes removed. Adds the names that had no value to *unset*.

    Raises LexError.
    """
    lexer = Lexer(text, env, escape)
    if unset is not None:
        lexer.unset = unset
    return lexer.run()[0]


def split(text: str, env: Mapping[str, str], escape: str = "\\", unset: set[str] | None = None) -> list[str]:
    """The words of *text* after expansion. Raises LexError."""
    lexer = Lexer(text, env, escape)
    if unset is not None:
        lexer.unset = unset
    return lexer.run()[1]
