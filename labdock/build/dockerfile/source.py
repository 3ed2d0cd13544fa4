"""Where things stand in a Dockerfile: ranges, words with their ranges, and the logical lines they are cut from."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from labdock.errors import DockerfileError

#: What Go's unicode.IsSpace takes for a space (str.isspace also takes the separators 0x1C to 0x1F).
SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


@dataclass(frozen=True, slots=True)
class Range:
    """Lines count from 1, columns from 0 in code points; the end column is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of a Dockerfile's text, as the language means it (a flag without its quotes, say)."""

    text: str
    range: Range


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """A line with its continuations joined. ``starts[i]`` is the offset in ``text`` where the part from
    physical line ``places[i][0]``, column ``places[i][1]`` begins."""

    text: str
    starts: tuple[int, ...]
    places: tuple[tuple[int, int], ...]
    last_line: int

    @property
    def line(self) -> int:
        return self.places[0][0]

    def locate(self, offset: int) -> tuple[int, int]:
        """Line and column of the character at *offset*."""
        part = bisect_right(self.starts, offset) - 1
        line, column = self.places[part]
        return line, column + offset - self.starts[part]

    def range(self, start: int, end: int) -> Range:
        """The range of ``text[start:end]``."""
        line, column = self.locate(start)
        if end <= start:
            return Range(line, column, line, column)
        end_line, end_column = self.locate(end - 1)
        return Range(line, column, end_line, end_column + 1)

    def word(self, start: int, end: int) -> Word:
        return Word(self.text[start:end], self.range(start, end))


def refuse(where: Range, problem: str, *, hint: str | None = None) -> DockerfileError:
    """The error for *problem* at *where*, in Docker's words."""
    return DockerfileError(
        f"dockerfile parse error on line {where.line}: {problem}",
        line=where.line,
        end_line=where.end_line,
        column=where.column,
        end_column=where.end_column,
        hint=hint,
    )
