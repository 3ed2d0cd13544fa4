"""Logical lines to statements: keyword, flags, and arguments cut the way each keyword wants them. Pure.

The five ways: a JSON array or the text as it is; a JSON array or words between blanks; words between
blanks; quoted words; one text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]

from labdock.build.dockerfile.lines import LineReader
from labdock.build.dockerfile.source import SPACES, LogicalLine, Range, Word, refuse
from labdock.build.dockerfile.words import Lexer, LexError

_BLANKS = re.compile(r"[\t\v\f\r ]+")
_HEREDOC = re.compile(r"([0-9]*)<<(-?)\s*([^<]*)\Z")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_KEY_VALUES = ("ENV", "LABEL")
_JSON_OR_TEXT = ("CMD", "ENTRYPOINT", "RUN", "SHELL")
_JSON_OR_WORDS = ("ADD", "COPY", "VOLUME")
_WORDS = ("EXPOSE", "FROM")
_TEXT = ("MAINTAINER", "STOPSIGNAL", "USER", "WORKDIR")
_WITH_HEREDOCS = ("ADD", "COPY", "RUN")
#: Every instruction there is.
KEYWORDS = (*_KEY_VALUES, *_JSON_OR_TEXT, *_JSON_OR_WORDS, *_WORDS, *_TEXT, "ARG", "HEALTHCHECK", "ONBUILD")


@dataclass(frozen=True, slots=True)
class HeredocMark:
    """``<<NAME`` as written: ``expand`` when no part of the name was quoted, ``chomp`` for ``<<-``."""

    name: str
    expand: bool
    chomp: bool
    fd: int


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A heredoc with its body, line ends and leading tabs as written."""

    mark: HeredocMark
    body: str

    @property
    def content(self) -> str:
        """The body; without leading tabs for ``<<-``."""
        return re.sub(r"(?m)^\t+", "", self.body) if self.mark.chomp else self.body


@dataclass(frozen=True, slots=True)
class Statement:
    """One instruction, cut but not yet understood.

    ``words``: for ENV and LABEL name, value, separator ("=" or "") in turn. ``json``: they were a JSON array.
    ``text`` is the joined line, ``range`` all of it with its heredocs, ``child`` what ONBUILD holds.
    """

    keyword: Word
    flags: tuple[Word, ...]
    words: tuple[Word, ...]
    text: str
    range: Range
    json: bool = False
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()
    child: Statement | None = None

    @property
    def name(self) -> str:
        return self.keyword.text.upper()


def read_heredoc_mark(text: str) -> HeredocMark | None:
    """The heredoc that the word *text* opens; None when it opens none. Raises LexError."""
    found = _HEREDOC.match(text)
    if found is None or not found[3]:
        return None
    plain = Lexer(found[3], {}, keep_unset=True).run()[1]
    if len(plain) != 1:
        return None
    quoted = Lexer(found[3], {}, keep_unset=True, raw_quotes=True).run()[1]
    expand = [plain[0].count(mark) for mark in "'\""] == [quoted[0].count(mark) for mark in "'\""]
    return HeredocMark(plain[0], expand, found[2] == "-", int(found[1][:9] or 0))


class _Cutter:
    """Cuts one logical line."""

    def __init__(self, line: LogicalLine, escape: str) -> None:
        self.line = line
        self.escape = escape

    def trim(self, start: int, end: int) -> tuple[int, int]:
        piece = self.line.text[start:end]
        start += len(piece) - len(piece.lstrip(SPACES))
        return start, max(start, end - (len(piece) - len(piece.rstrip(SPACES))))

    def statement(self, start: int, end: int, comments: tuple[str, ...]) -> Statement:
        start, end = self.trim(start, end)
        text = self.line.text
        blank = _BLANKS.search(text, start, end)
        head = blank.start() if blank else end
        keyword = self.line.word(start, head)
        flags, rest = self.flags(blank.end() if blank else end, end)
        rest, end = self.trim(rest, end)
        words, is_json, child = self.arguments(keyword.text.upper(), rest, end)
        shown, whole = text[start:end], self.line.range(start, end)
        return Statement(keyword, flags, words, shown, whole, is_json, (), comments, child)

    def flags(self, at: int, end: int) -> tuple[tuple[Word, ...], int]:
        """Leading ``--words``, without quotes and escapes, and where the rest begins."""
        text, found = self.line.text, list[Word]()
        while True:
            while at < end and text[at] in SPACES:
                at += 1
            if not text.startswith("--", at, end):
                return tuple(found), at
            start, quote, parts = at, "", []
            while at < end and (quote or text[at] not in SPACES):
                char = text[at]
                at += 1
                if quote and char == quote:
                    quote = ""
                elif not quote and char in "'\"":
                    quote = char
                elif char == self.escape:
                    parts.append(text[at : min(at + 1, end)])
                    at += 1
                else:
                    parts.append(char)
            at = min(at, end)
            if (flag := "".join(parts)) == "--":
                return tuple(found), at
            found.append(Word(flag, self.line.range(start, at)))

    def arguments(self, name: str, at: int, end: int) -> tuple[tuple[Word, ...], bool, Statement | None]:
        if at >= end:
            return (), False, None
        if name in _KEY_VALUES:
            return self.key_values(name, at, end), False, None
        if name in _JSON_OR_TEXT or name in _JSON_OR_WORDS:
            array = self.json_array(at, end)
            if array is not None:
                return array, True, None
            return ((self.line.word(at, end),) if name in _JSON_OR_TEXT else self.words(at, end)), False, None
        if name in _WORDS:
            return self.words(at, end), False, None
        if name == "ARG":
            return self.quoted_words(at, end), False, None
        if name == "HEALTHCHECK":
            return self.healthcheck(at, end)
        if name == "ONBUILD":
            return (), False, self.statement(at, end, ())
        return (self.line.word(at, end),), False, None

    def words(self, at: int, end: int) -> tuple[Word, ...]:
        found = []
        for blank in _BLANKS.finditer(self.line.text, at, end):
            found.append(self.line.word(at, blank.start()))
            at = blank.end()
        return (*found, self.line.word(at, end))

    def quoted_words(self, at: int, end: int) -> tuple[Word, ...]:
        """Words between blanks that are not in quotes; quotes and escapes stay in them."""
        text, found = self.line.text, []
        while at < end:
            if text[at] in SPACES:
                at += 1
                continue
            start, stop, quote = at, end, ""
            while at < end and (quote or text[at] not in SPACES):
                char = text[at]
                at += 1
                if char == self.escape and quote != "'":
                    # An escape character that ends the line is dropped.
                    stop = at - 1 if at == end else end
                    at += 1
                elif char == quote:
                    quote = ""
                elif not quote and char in "'\"":
                    quote = char
            at = min(at, end)
            if start < min(stop, at):
                found.append(self.line.word(start, min(stop, at)))
        return tuple(found)

    def key_values(self, name: str, at: int, end: int) -> tuple[Word, ...]:
        words = self.quoted_words(at, end)
        if not words:
            return ()
        if "=" not in words[0].text:
            blank = _BLANKS.search(self.line.text, at, end)
            if blank is None:
                raise refuse(words[0].range, f"{name} must have two arguments")
            rest = self.line.word(blank.end(), end)
            return (self.line.word(at, blank.start()), rest, Word("", rest.range))
        found = []
        for word in words:
            key, equals, value = word.text.partition("=")
            if not equals:
                problem = f'Syntax error - can\'t find = in "{word.text}". Must be of the form: name=value'
                raise refuse(word.range, problem)
            found += [Word(key, word.range), Word(value, word.range), Word(equals, word.range)]
        return tuple(found)

    def healthcheck(self, at: int, end: int) -> tuple[tuple[Word, ...], bool, None]:
        text, sep = self.line.text, at
        while sep < end and text[sep] not in SPACES:
            sep += 1
        kind = self.line.word(at, sep)
        at, end = self.trim(sep, end)
        if at >= end:
            return (kind,), False, None
        array = self.json_array(at, end)
        if array is not None:
            return (kind, *array), True, None
        return (kind, self.line.word(at, end)), False, None

    def json_array(self, at: int, end: int) -> tuple[Word, ...] | None:
        """The strings of a JSON array; None for anything else, which then is no JSON form."""
        text = self.line.text[at:end]
        if not text.startswith("["):
            return None
        try:
            values = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return None
        if not all(isinstance(value, str) for value in values):
            problem = "when using JSON array syntax, arrays must be comprised of strings only"
            raise refuse(self.line.range(at, end), problem)
        found, position = [], text.find('"') + 1
        for _ in values:
            value, after = scanstring(text, position)
            value = _LONE_SURROGATE.sub("\ufffd", value)
            found.append(Word(value, self.line.range(at + position - 1, at + after)))
            position = text.find('"', after) + 1
        return tuple(found)


def _number(_: str) -> int:
    return 0


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _with_heredocs(reader: LineReader, line: LogicalLine, statement: Statement) -> Statement:
    inner = statement.child or statement
    if inner.name not in _WITH_HEREDOCS or inner.json or "<<" not in line.text:
        return statement
    try:
        words = Lexer(line.text, {}, keep_unset=True, raw_quotes=True, raw_escapes=True).run()[1]
    except LexError:
        return statement
    try:
        marks = [mark for word in words if (mark := read_heredoc_mark(word)) is not None]
    except LexError as error:
        raise refuse(statement.range, str(error)) from None
    bodies = tuple(Heredoc(mark, reader.heredoc(mark.name, mark.chomp, statement.range)) for mark in marks)
    if not bodies:
        return statement
    here, where = reader.here(), statement.range
    return _copy(statement, bodies, Range(where.line, where.column, here.end_line, here.end_column))


def _copy(statement: Statement, heredocs: tuple[Heredoc, ...], where: Range) -> Statement:
    child = statement.child
    return Statement(
        statement.keyword,
        statement.flags,
        statement.words,
        statement.text,
        where,
        statement.json,
        heredocs,
        statement.comments,
        _copy(child, heredocs, where) if child else None,
    )


def read_statements(reader: LineReader) -> list[Statement]:
    """All statements of *reader*'s text, whether their keywords exist or not. Raises DockerfileError."""
    found = []
    while (read := reader.next()) is not None:
        line, comments = read
        statement = _Cutter(line, reader.escape).statement(0, len(line.text), comments)
        found.append(_with_heredocs(reader, line, statement))
    if not found:
        empty = not reader.text.strip()
        problem = "the Dockerfile cannot be empty" if empty else "file with no instructions"
        raise refuse(reader.here(), problem, hint="start with FROM, for example: FROM busybox")
    return found
